/* SPDX-License-Identifier: MIT
 * The configuration's fields as text, and their ranges. A new field is one row. */
#include "nat/nat.h"

#include <stddef.h>
#include <string.h>

struct choice {
    const char *text;
    int value;
};

static const struct choice mapping_choices[] = {
    {"eim", NAT_EI}, {"adm", NAT_AD}, {"apdm", NAT_APD}, {NULL, 0}};
static const struct choice filtering_choices[] = {
    {"eif", NAT_EI}, {"adf", NAT_AD}, {"apdf", NAT_APD}, {NULL, 0}};
static const struct choice port_choices[] = {{"preserve", NAT_PORT_PRESERVE},
                                             {"sequential", NAT_PORT_SEQUENTIAL},
                                             {"random", NAT_PORT_RANDOM},
                                             {NULL, 0}};
static const struct choice hairpin_choices[] = {{"off", NAT_HAIRPIN_OFF},
                                                {"external", NAT_HAIRPIN_EXTERNAL},
                                                {"internal", NAT_HAIRPIN_INTERNAL},
                                                {NULL, 0}};
static const struct choice unsolicited_choices[] = {
    {"drop", NAT_UNSOLICITED_DROP}, {"reject", NAT_UNSOLICITED_REJECT}, {NULL, 0}};
static const struct choice refresh_choices[] = {
    {"out", NAT_REFRESH_OUT}, {"in", NAT_REFRESH_IN}, {"both", NAT_REFRESH_BOTH}, {NULL, 0}};
static const struct choice mode_choices[] = {{"translate", NAT_MODE_TRANSLATE},
                                             {"firewall", NAT_MODE_FIREWALL},
                                             {"route", NAT_MODE_ROUTE},
                                             {"block", NAT_MODE_BLOCK},
                                             {NULL, 0}};
static const struct choice udp_choices[] = {{"on", 0}, {"blocked", 1}, {NULL, 0}};
static const struct choice bool_choices[] = {{"off", 0}, {"on", 1}, {NULL, 0}};

enum kind { KIND_CHOICE, KIND_BOOL, KIND_RANGE, KIND_SECONDS, KIND_COUNT };

static const struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    const struct choice *choices;
} fields[] = {
    {"mapping", KIND_CHOICE, offsetof(struct nat_config, mapping), mapping_choices},
    {"filtering", KIND_CHOICE, offsetof(struct nat_config, filtering), filtering_choices},
    {"ports", KIND_CHOICE, offsetof(struct nat_config, ports), port_choices},
    {"port-range", KIND_RANGE, 0, NULL},
    {"hairpin", KIND_CHOICE, offsetof(struct nat_config, hairpin), hairpin_choices},
    {"unsolicited", KIND_CHOICE, offsetof(struct nat_config, unsolicited), unsolicited_choices},
    {"refresh", KIND_CHOICE, offsetof(struct nat_config, refresh), refresh_choices},
    {"ipv4", KIND_CHOICE, offsetof(struct nat_config, ipv4), mode_choices},
    {"ipv6", KIND_CHOICE, offsetof(struct nat_config, ipv6), mode_choices},
    {"udp", KIND_BOOL, offsetof(struct nat_config, udp_blocked), udp_choices},
    {"tcp-simultaneous-open", KIND_BOOL, offsetof(struct nat_config, tcp_simultaneous_open),
     bool_choices},
    {"tcp-pickup", KIND_BOOL, offsetof(struct nat_config, tcp_pickup), bool_choices},
    {"udp-first", KIND_SECONDS, offsetof(struct nat_config, udp_first_us), NULL},
    {"udp-replied", KIND_SECONDS, offsetof(struct nat_config, udp_replied_us), NULL},
    {"tcp-partial", KIND_SECONDS, offsetof(struct nat_config, tcp_partial_us), NULL},
    {"tcp-established", KIND_SECONDS, offsetof(struct nat_config, tcp_established_us), NULL},
    {"tcp-transitory", KIND_SECONDS, offsetof(struct nat_config, tcp_transitory_us), NULL},
    {"icmp", KIND_SECONDS, offsetof(struct nat_config, icmp_us), NULL},
    {"mappings", KIND_COUNT, offsetof(struct nat_config, mappings_max), NULL},
    {"sessions", KIND_COUNT, offsetof(struct nat_config, sessions_max), NULL},
    {"mappings-per-host", KIND_COUNT, offsetof(struct nat_config, mappings_per_host_max), NULL},
};

static int lower(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static bool same_word(const char *a, const char *b) {
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

/* Reads digits up to `end`, which must follow them. false: not a number, or above `max`. */
static bool read_number(const char **text, char end, uint32_t max, uint32_t *out) {
    const char *s = *text;
    uint64_t value = 0;
    while (*s >= '0' && *s <= '9' && value <= max)
        value = value * 10 + (uint64_t)(*s++ - '0');
    if (s == *text || *s != end || value > max)
        return false;
    *out = (uint32_t)value;
    *text = s + (end == '\0' ? 0 : 1);
    return true;
}

static enum bk_err set_range(struct nat_config *config, const char *value) {
    uint32_t low, high;
    if (!read_number(&value, '-', 65535, &low) || !read_number(&value, '\0', 65535, &high))
        return BK_ERR_ARGUMENT;
    if (low == 0 || low > high)
        return BK_ERR_ARGUMENT;
    config->port_min = (uint16_t)low;
    config->port_max = (uint16_t)high;
    return BK_OK;
}

static enum bk_err set_choice(const struct field *f, char *at, const char *value) {
    for (const struct choice *c = f->choices; c->text != NULL; c++) {
        if (!same_word(c->text, value))
            continue;
        bool flag = c->value != 0;
        if (f->kind == KIND_BOOL)
            memcpy(at, &flag, sizeof flag);
        else
            memcpy(at, &c->value, sizeof c->value); /* enums are int-sized here */
        return BK_OK;
    }
    return BK_ERR_ARGUMENT;
}

_Static_assert(sizeof(enum nat_dep) == sizeof(int), "set_choice() copies an int");

static enum bk_err set_number(const struct field *f, char *at, const char *value) {
    uint32_t number;
    if (!read_number(&value, '\0', 1000000000, &number))
        return BK_ERR_ARGUMENT;
    int64_t us = (int64_t)number * BK_US_PER_S;
    if (f->kind == KIND_SECONDS)
        memcpy(at, &us, sizeof us);
    else
        memcpy(at, &number, sizeof number);
    return BK_OK;
}

static enum bk_err set_field(const struct field *f, struct nat_config *config, const char *value) {
    char *at = (char *)config + f->offset;
    switch (f->kind) {
    case KIND_CHOICE:
    case KIND_BOOL:
        return set_choice(f, at, value);
    case KIND_RANGE:
        return set_range(config, value);
    case KIND_SECONDS:
    case KIND_COUNT:
        return set_number(f, at, value);
    }
    return BK_ERR_ARGUMENT;
}

enum bk_err nat_config_set(struct nat_config *config, const char *field, const char *value) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (same_word(fields[i].name, field))
            return set_field(&fields[i], config, value);
    }
    return BK_ERR_NOT_FOUND;
}

static bool has_external(const struct nat_config *c, enum bk_family family) {
    for (size_t i = 0; i < c->external_count && i < NAT_EXTERNAL_MAX; i++) {
        if (c->external[i].family == family)
            return true;
    }
    return false;
}

static bool times_positive(const struct nat_config *c) {
    return c->udp_first_us > 0 && c->udp_replied_us > 0 && c->udp_replied_after_us >= 0 &&
           c->tcp_partial_us > 0 && c->tcp_established_us > 0 && c->tcp_transitory_us > 0 &&
           c->icmp_us > 0;
}

enum bk_err nat_config_check(const struct nat_config *c, const char **field) {
    bool v4 = c->ipv4 != NAT_MODE_TRANSLATE || has_external(c, BK_IPV4);
    bool v6 = c->ipv6 != NAT_MODE_TRANSLATE || has_external(c, BK_IPV6);
    const struct {
        bool right;
        const char *name;
    } rules[] = {
        {c->external_count <= NAT_EXTERNAL_MAX, "external_count"},
        {v4 && v6, "external"},
        {c->port_min > 0 && c->port_min <= c->port_max, "port_min"},
        {times_positive(c), "timers"},
        {c->mappings_max > 0 && c->mappings_max <= 65536 * 16, "mappings_max"},
        {c->sessions_max >= c->mappings_max && c->sessions_max <= 65536 * 64, "sessions_max"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].right)
            continue;
        if (field != NULL)
            *field = rules[i].name;
        return BK_ERR_ARGUMENT;
    }
    return BK_OK;
}
