/* SPDX-License-Identifier: MIT
 * The configuration's fields as text. A new field is one row; its range is a rule in check.c. */
#include "nat/nat.h"

#include <stddef.h>
#include <string.h>

struct choice {
    const char *text;
    int value;
};

static const struct choice mapping_choices[] = {{"eim", NAT_EI},
                                                {"adm", NAT_AD},
                                                {"apdm", NAT_APD},
                                                {"connection", NAT_DEP_CONNECTION},
                                                {"time", NAT_DEP_TIME},
                                                {"hash", NAT_DEP_HASH},
                                                {NULL, 0}};
static const struct choice tcp_mapping_choices[] = {{"as-udp", NAT_DEP_AS_UDP},
                                                    {"eim", NAT_EI},
                                                    {"adm", NAT_AD},
                                                    {"apdm", NAT_APD},
                                                    {"connection", NAT_DEP_CONNECTION},
                                                    {"time", NAT_DEP_TIME},
                                                    {"hash", NAT_DEP_HASH},
                                                    {NULL, 0}};
static const struct choice filtering_choices[] = {
    {"eif", NAT_EI}, {"adf", NAT_AD}, {"apdf", NAT_APD}, {NULL, 0}};
static const struct choice tcp_filtering_choices[] = {
    {"as-udp", NAT_DEP_AS_UDP}, {"eif", NAT_EI}, {"adf", NAT_AD}, {"apdf", NAT_APD}, {NULL, 0}};
static const struct choice port_choices[] = {{"preserve", NAT_PORT_PRESERVE},
                                             {"preserve-strict", NAT_PORT_PRESERVE_STRICT},
                                             {"preserve-next", NAT_PORT_PRESERVE_NEXT},
                                             {"sequential", NAT_PORT_SEQUENTIAL},
                                             {"random", NAT_PORT_RANDOM},
                                             {"hash", NAT_PORT_HASH},
                                             {"hash-remote", NAT_PORT_HASH_REMOTE},
                                             {"time", NAT_PORT_TIME},
                                             {NULL, 0}};
static const struct choice tcp_port_choices[] = {{"as-udp", NAT_PORT_AS_UDP},
                                                 {"preserve", NAT_PORT_PRESERVE},
                                                 {"preserve-strict", NAT_PORT_PRESERVE_STRICT},
                                                 {"preserve-next", NAT_PORT_PRESERVE_NEXT},
                                                 {"sequential", NAT_PORT_SEQUENTIAL},
                                                 {"random", NAT_PORT_RANDOM},
                                                 {"hash", NAT_PORT_HASH},
                                                 {"hash-remote", NAT_PORT_HASH_REMOTE},
                                                 {"time", NAT_PORT_TIME},
                                                 {NULL, 0}};
static const struct choice space_choices[] = {
    {"range", NAT_SPACE_RANGE}, {"blocks", NAT_SPACE_BLOCKS}, {"map-e", NAT_SPACE_PSID}, {NULL, 0}};
static const struct choice overload_choices[] = {
    {"off", NAT_OVERLOAD_OFF}, {"per-destination", NAT_OVERLOAD_REMOTE}, {NULL, 0}};
static const struct choice pooling_choices[] = {
    {"paired", NAT_POOL_PAIRED}, {"arbitrary", NAT_POOL_ARBITRARY}, {NULL, 0}};
static const struct choice hairpin_choices[] = {{"off", NAT_HAIRPIN_OFF},
                                                {"external", NAT_HAIRPIN_EXTERNAL},
                                                {"internal", NAT_HAIRPIN_INTERNAL},
                                                {NULL, 0}};
static const struct choice unsolicited_choices[] = {{"drop", NAT_UNSOLICITED_DROP},
                                                    {"reject", NAT_UNSOLICITED_REJECT},
                                                    {"icmp", NAT_UNSOLICITED_ICMP},
                                                    {"reset", NAT_UNSOLICITED_RESET},
                                                    {NULL, 0}};
static const struct choice refresh_choices[] = {
    {"out", NAT_REFRESH_OUT}, {"in", NAT_REFRESH_IN}, {"both", NAT_REFRESH_BOTH}, {NULL, 0}};
static const struct choice mode_choices[] = {{"translate", NAT_MODE_TRANSLATE},
                                             {"firewall", NAT_MODE_FIREWALL},
                                             {"route", NAT_MODE_ROUTE},
                                             {"block", NAT_MODE_BLOCK},
                                             {NULL, 0}};
static const struct choice reset_choices[] = {{"shorten", NAT_RESET_SHORTENS},
                                              {"doubt", NAT_RESET_DOUBTED},
                                              {"kill", NAT_RESET_KILLS},
                                              {"ignore", NAT_RESET_IGNORED},
                                              {NULL, 0}};
static const struct choice icmp_choices[] = {{"translate", NAT_ICMP_ERRORS_TRANSLATE},
                                             {"drop", NAT_ICMP_ERRORS_DROP},
                                             {"kill", NAT_ICMP_ERRORS_KILL},
                                             {NULL, 0}};
static const struct choice fragment_choices[] = {{"drop", NAT_FRAGMENTS_DROP},
                                                 {"in-order", NAT_FRAGMENTS_IN_ORDER},
                                                 {"any-order", NAT_FRAGMENTS_ANY_ORDER},
                                                 {NULL, 0}};
static const struct choice refusal_choices[] = {{"silent", NAT_REFUSAL_SILENT},
                                                {"admin", NAT_REFUSAL_ADMIN},
                                                {"host", NAT_REFUSAL_HOST},
                                                {NULL, 0}};
static const struct choice full_choices[] = {{"drop", NAT_FULL_DROP},
                                             {"evict-oldest", NAT_FULL_EVICT_OLDEST},
                                             {"evict-random", NAT_FULL_EVICT_RANDOM},
                                             {NULL, 0}};
static const struct choice alg_choices[] = {{"off", NAT_ALG_OFF},
                                            {"address", NAT_ALG_ADDRESS},
                                            {"endpoint", NAT_ALG_ENDPOINT},
                                            {"text", NAT_ALG_TEXT},
                                            {NULL, 0}};
static const struct choice bool_choices[] = {{"off", 0}, {"on", 1}, {NULL, 0}};

enum kind { KIND_CHOICE, KIND_BOOL, KIND_RANGE, KIND_SECONDS, KIND_COUNT, KIND_STEP, KIND_ALLOW };

#define AT(member) offsetof(struct nat_config, member)

static const struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    const struct choice *choices;
} fields[] = {
    {"mapping", KIND_CHOICE, AT(mapping), mapping_choices},
    {"filtering", KIND_CHOICE, AT(filtering), filtering_choices},
    {"ports", KIND_CHOICE, AT(ports), port_choices},
    {"tcp-mapping", KIND_CHOICE, AT(tcp_mapping), tcp_mapping_choices},
    {"tcp-filtering", KIND_CHOICE, AT(tcp_filtering), tcp_filtering_choices},
    {"tcp-ports", KIND_CHOICE, AT(tcp_ports), tcp_port_choices},
    {"icmp-filtering", KIND_CHOICE, AT(icmp_filtering), tcp_filtering_choices},
    {"icmp-ports", KIND_CHOICE, AT(icmp_ports), tcp_port_choices},
    {"mapping-epoch", KIND_SECONDS, AT(mapping_epoch_us), NULL},
    {"port-range", KIND_RANGE, 0, NULL},
    {"port-step", KIND_STEP, AT(port_step), NULL},
    {"port-rate", KIND_COUNT, AT(port_rate), NULL},
    {"port-parity", KIND_BOOL, AT(port_parity), bool_choices},
    {"port-class", KIND_BOOL, AT(port_class), bool_choices},
    {"port-contiguity", KIND_BOOL, AT(port_contiguity), bool_choices},
    {"port-hold", KIND_SECONDS, AT(port_hold_us), NULL},
    {"port-space", KIND_CHOICE, AT(port_space), space_choices},
    {"block-size", KIND_COUNT, AT(block_size), NULL},
    {"blocks-per-host", KIND_COUNT, AT(blocks_per_host), NULL},
    {"psid-offset", KIND_COUNT, AT(psid_offset), NULL},
    {"psid-length", KIND_COUNT, AT(psid_len), NULL},
    {"psid", KIND_COUNT, AT(psid), NULL},
    {"overload", KIND_CHOICE, AT(overload), overload_choices},
    {"inbound-first", KIND_BOOL, AT(inbound_first), bool_choices},
    {"pooling", KIND_CHOICE, AT(pooling), pooling_choices},
    {"hairpin", KIND_CHOICE, AT(hairpin), hairpin_choices},
    {"unsolicited", KIND_CHOICE, AT(unsolicited), unsolicited_choices},
    {"unsolicited-inside", KIND_CHOICE, AT(unsolicited_inside), unsolicited_choices},
    {"refresh", KIND_CHOICE, AT(refresh), refresh_choices},
    {"refresh-strangers", KIND_BOOL, AT(refresh_strangers), bool_choices},
    {"ipv4", KIND_CHOICE, AT(ipv4), mode_choices},
    {"ipv6", KIND_CHOICE, AT(ipv6), mode_choices},
    {"udp", KIND_ALLOW, AT(udp_allow), NULL},
    {"tcp", KIND_ALLOW, AT(tcp_allow), NULL},
    {"icmp-errors", KIND_CHOICE, AT(icmp_errors), icmp_choices},
    {"fragments", KIND_CHOICE, AT(fragments), fragment_choices},
    {"fragments-max", KIND_COUNT, AT(fragments_max), NULL},
    {"alg", KIND_CHOICE, AT(alg), alg_choices},
    {"udp-first", KIND_SECONDS, AT(udp_first_us), NULL},
    {"udp-replied", KIND_SECONDS, AT(udp_replied_us), NULL},
    {"udp-replied-after", KIND_SECONDS, AT(udp_replied_after_us), NULL},
    {"udp-well-known", KIND_SECONDS, AT(udp_well_known_us), NULL},
    {"tcp-simultaneous-open", KIND_BOOL, AT(tcp_simultaneous_open), bool_choices},
    {"tcp-pickup", KIND_BOOL, AT(tcp_pickup), bool_choices},
    {"tcp-reset", KIND_CHOICE, AT(tcp_reset), reset_choices},
    {"tcp-reset-in-window", KIND_BOOL, AT(tcp_reset_in_window), bool_choices},
    {"tcp-larger-isn", KIND_BOOL, AT(tcp_larger_isn), bool_choices},
    {"tcp-syn-wait", KIND_SECONDS, AT(tcp_syn_wait_us), NULL},
    {"tcp-partial", KIND_SECONDS, AT(tcp_partial_us), NULL},
    {"tcp-established", KIND_SECONDS, AT(tcp_established_us), NULL},
    {"tcp-transitory", KIND_SECONDS, AT(tcp_transitory_us), NULL},
    {"tcp-closing", KIND_SECONDS, AT(tcp_closing_us), NULL},
    {"tcp-after-reset", KIND_SECONDS, AT(tcp_reset_us), NULL},
    {"icmp", KIND_SECONDS, AT(icmp_us), NULL},
    {"mappings", KIND_COUNT, AT(mappings_max), NULL},
    {"sessions", KIND_COUNT, AT(sessions_max), NULL},
    {"mappings-per-host", KIND_COUNT, AT(mappings_per_host_max), NULL},
    {"sessions-per-host", KIND_COUNT, AT(sessions_per_host_max), NULL},
    {"mappings-per-second", KIND_COUNT, AT(mappings_per_s), NULL},
    {"mappings-per-second-host", KIND_COUNT, AT(mappings_per_s_host), NULL},
    {"full", KIND_CHOICE, AT(full), full_choices},
    {"refusal", KIND_CHOICE, AT(refusal), refusal_choices},
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

static enum bk_err set_count(char *at, const char *value) {
    uint32_t number;
    if (!read_number(&value, '\0', 1000000000, &number))
        return BK_ERR_ARGUMENT;
    memcpy(at, &number, sizeof number);
    return BK_OK;
}

static enum bk_err set_step(char *at, const char *value) {
    uint32_t number;
    bool minus = *value == '-';
    value += minus || *value == '+' ? 1 : 0;
    if (!read_number(&value, '\0', 65535, &number))
        return BK_ERR_ARGUMENT;
    int32_t step = minus ? -(int32_t)number : (int32_t)number;
    memcpy(at, &step, sizeof step);
    return BK_OK;
}

/* "30", "0.25": seconds with up to six decimals. */
static enum bk_err set_seconds(char *at, const char *value) {
    uint32_t whole, unit = BK_US_PER_S;
    int64_t us = 0;
    if (strchr(value, '.') != NULL) {
        if (!read_number(&value, '.', 1000000000, &whole) || *value == '\0')
            return BK_ERR_ARGUMENT;
        for (; *value >= '0' && *value <= '9' && unit > 1; value++) {
            unit /= 10;
            us += (int64_t)(*value - '0') * unit;
        }
        if (*value != '\0')
            return BK_ERR_ARGUMENT;
    } else if (!read_number(&value, '\0', 1000000000, &whole)) {
        return BK_ERR_ARGUMENT;
    }
    us += (int64_t)whole * BK_US_PER_S;
    memcpy(at, &us, sizeof us);
    return BK_OK;
}

/* "on", "blocked", or the remote ports that are allowed: "53,443". */
static enum bk_err set_allow(struct nat_config *config, struct nat_allow *at, const char *value) {
    bool udp = at == &config->udp_allow, blocked = same_word(value, "blocked");
    struct nat_allow allow = {.limited = blocked && !udp};
    if (!blocked && !same_word(value, "on")) {
        allow.limited = true;
        for (const char *end = value; end != NULL; allow.count++) {
            uint32_t port;
            end = strchr(value, ',');
            if (allow.count == NAT_ALLOW_MAX ||
                !read_number(&value, end == NULL ? '\0' : ',', 65535, &port) || port == 0)
                return BK_ERR_ARGUMENT;
            allow.ports[allow.count] = (uint16_t)port;
        }
    }
    if (udp)
        config->udp_blocked = blocked; /* a switch of its own: nat_block_udp() */
    *at = allow;
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
        return set_seconds(at, value);
    case KIND_COUNT:
        return set_count(at, value);
    case KIND_STEP:
        return set_step(at, value);
    case KIND_ALLOW:
        return set_allow(
            config, f->offset == AT(udp_allow) ? &config->udp_allow : &config->tcp_allow, value);
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

static const char *kind_text(enum kind kind) {
    switch (kind) {
    case KIND_RANGE:
        return "MIN-MAX";
    case KIND_SECONDS:
        return "seconds";
    case KIND_COUNT:
        return "a number";
    case KIND_STEP:
        return "a number, may be negative";
    case KIND_ALLOW:
        return "on, blocked, or remote ports such as 53,443";
    case KIND_CHOICE:
    case KIND_BOOL:
        break;
    }
    return "";
}

/* Appends as much of `text` as fits. */
static void add_text(char *out, size_t cap, const char *text) {
    size_t len = strlen(out), more = strlen(text);
    if (len + 1 >= cap)
        return;
    if (more > cap - 1 - len)
        more = cap - 1 - len;
    memcpy(out + len, text, more);
    out[len + more] = '\0';
}

const char *nat_option(size_t index, char *values, size_t cap) {
    if (index >= sizeof fields / sizeof *fields)
        return NULL;
    const struct field *f = &fields[index];
    if (cap == 0)
        return f->name;
    values[0] = '\0';
    add_text(values, cap, kind_text(f->kind));
    for (const struct choice *c = f->choices; c != NULL && c->text != NULL; c++) {
        add_text(values, cap, c == f->choices ? "" : ", ");
        add_text(values, cap, c->text);
    }
    return f->name;
}
