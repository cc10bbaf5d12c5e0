/* SPDX-License-Identifier: MIT */
#include "cli/nat_json.h"

#include "cli/nat_meaning.h"
#include <cjson/cJSON.h>

/* --- values: the words of the schema, which never change --- */

static const char *const udp_words[] = {NULL, "open", "some-ports", "blocked"};
static const char *const dep_words[] = {NULL, "endpoint-independent", "address-dependent",
                                        "address-and-port-dependent"};
static const char *const ports_words[] = {NULL, "preserving", "sequential", "random", "time"};
static const char *const hairpin_words[] = {NULL, "none", "external", "internal"};
static const char *const unsolicited_words[] = {NULL, "drop", "reject"};
static const char *const double_words[] = {NULL, "no-sign", "yes", "carrier"};

#define COUNT(words) (sizeof(words) / sizeof *(words))

/* The word for `value`, or null where there is none. */
static cJSON *word(const char *const *words, size_t count, int64_t value) {
    if (value <= 0 || (uint64_t)value >= count)
        return cJSON_CreateNull();
    return cJSON_CreateString(words[value]);
}

static cJSON *maybe(int64_t value) {
    if (value != BK_YES && value != BK_NO)
        return cJSON_CreateNull();
    return cJSON_CreateBool(value == BK_YES);
}

static double ms(int64_t us) {
    return (double)(us / 100) / 10; /* tenths are as fine as clocks and schedulers allow */
}

static cJSON *value_of(enum bk_nat_attr attr, int64_t value) {
    switch (bk_nat_attr_kind(attr)) {
    case BK_NAT_KIND_MAYBE:
        return maybe(value);
    case BK_NAT_KIND_UDP:
        return word(udp_words, COUNT(udp_words), value);
    case BK_NAT_KIND_DEP:
        return word(dep_words, COUNT(dep_words), value);
    case BK_NAT_KIND_PORTS:
        return word(ports_words, COUNT(ports_words), value);
    case BK_NAT_KIND_HAIRPIN:
        return word(hairpin_words, COUNT(hairpin_words), value);
    case BK_NAT_KIND_UNSOLICITED:
        return word(unsolicited_words, COUNT(unsolicited_words), value);
    case BK_NAT_KIND_DOUBLE:
        return word(double_words, COUNT(double_words), value);
    case BK_NAT_KIND_TIME:
        return cJSON_CreateNumber(ms(value));
    }
    return cJSON_CreateNull();
}

/* --- parts --- */

static cJSON *ip_text(const struct bk_ip *ip) {
    char text[BK_ADDR_TEXT_MAX];
    return ip->family == BK_FAMILY_NONE ? cJSON_CreateNull()
                                        : cJSON_CreateString(bk_ip_format(ip, text));
}

static cJSON *addr_text(const struct bk_addr *addr) {
    char text[BK_ADDR_TEXT_MAX];
    return addr->ip.family == BK_FAMILY_NONE ? cJSON_CreateNull()
                                             : cJSON_CreateString(bk_addr_format(addr, text));
}

static size_t observations_in(const struct bk_nat_record *r) {
    return r->observation_count < BK_NATCHECK_OBSERVATIONS_MAX ? r->observation_count
                                                               : BK_NATCHECK_OBSERVATIONS_MAX;
}

static const char *status_word(const struct bk_nat_finding *f) {
    switch (f->status) {
    case BK_NAT_NOT_ASKED:
        return "not-asked";
    case BK_NAT_PENDING:
        return "pending";
    case BK_NAT_KNOWN:
        return "known";
    case BK_NAT_UNCLEAR:
        break;
    }
    return "unclear";
}

static bool is_lifetime(enum bk_nat_attr attr) {
    return attr == BK_NAT_LIFE_FIRST || attr == BK_NAT_LIFE_REPLIED;
}

/* {status, value, confidence, evidence}, all of them always. */
static cJSON *attribute(const struct bk_nat_record *r, enum bk_nat_attr attr) {
    const struct bk_nat_finding *f = &r->findings[attr];
    bool known = f->status == BK_NAT_KNOWN;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "status", status_word(f));
    cJSON_AddItemToObject(object, "value", known ? value_of(attr, f->value) : cJSON_CreateNull());
    cJSON_AddItemToObject(object, "confidence",
                          known ? cJSON_CreateNumber((double)f->permille / 1000)
                                : cJSON_CreateNull());
    if (f->status == BK_NAT_UNCLEAR)
        cJSON_AddStringToObject(object, "reason", bk_nat_reason_text(f->reason));
    if (known && is_lifetime(attr))
        cJSON_AddBoolToObject(object, "at_least", f->at_least);
    cJSON *evidence = cJSON_AddArrayToObject(object, "evidence");
    for (size_t i = 0; i < observations_in(r); i++)
        if ((r->observations[i].attrs & (UINT32_C(1) << attr)) != 0)
            cJSON_AddItemToArray(evidence, cJSON_CreateNumber((double)i));
    return object;
}

static cJSON *observation(const struct bk_nat_observation *o) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "test", bk_nat_test_name(o->test));
    cJSON_AddItemToObject(object, "local", addr_text(&o->local));
    cJSON_AddItemToObject(object, "remote", addr_text(&o->remote));
    cJSON_AddItemToObject(object, "from", addr_text(&o->from));
    cJSON_AddItemToObject(object, "seen", addr_text(&o->seen));
    cJSON_AddNumberToObject(object, "sends", o->sends);
    cJSON_AddNumberToObject(object, "sent_ms", ms(o->sent_us));
    cJSON_AddItemToObject(object, "answered_ms",
                          o->answered_us < 0 ? cJSON_CreateNull()
                                             : cJSON_CreateNumber(ms(o->answered_us)));
    if (o->test == BK_NAT_TEST_LIFE)
        cJSON_AddNumberToObject(object, "idle_ms", ms(o->idle_us));
    return object;
}

static void add_addresses(cJSON *object, const struct bk_nat_record *r) {
    cJSON *list = cJSON_AddArrayToObject(object, "external");
    for (size_t i = 0; i < r->external_count && i < COUNT(r->externals); i++)
        cJSON_AddItemToArray(list, ip_text(&r->externals[i]));
    cJSON_AddItemToObject(object, "external6", ip_text(&r->traits6.external));
    cJSON_AddItemToObject(object, "router_external", ip_text(&r->portmap_external));
}

static void add_costs(cJSON *object, const struct bk_nat_record *r) {
    cJSON_AddItemToObject(object, "rtt_ms",
                          r->rtt_us > 0 ? cJSON_CreateNumber(ms(r->rtt_us)) : cJSON_CreateNull());
    cJSON_AddNumberToObject(object, "took_ms", ms(r->took_us));
    cJSON_AddNumberToObject(object, "packets", r->packets_sent);
    cJSON_AddNumberToObject(object, "tcp_connections", r->tcp_dials);
    cJSON_AddNumberToObject(object, "deep_took_ms", ms(r->deep_took_us));
    cJSON_AddNumberToObject(object, "deep_packets", r->deep_packets_sent);
}

cJSON *nat_json_record(const struct bk_nat_record *record, const struct bk_addr *server) {
    const char *cone = bk_nat_cone_text(&record->traits), *sentences[NAT_MEANINGS_MAX];
    size_t count = nat_meaning(record, sentences);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "bodkin_nat", NAT_JSON_VERSION);
    cJSON_AddItemToObject(object, "server", addr_text(server));
    cJSON_AddItemToObject(object, "other", addr_text(&record->other));
    cJSON_AddItemToObject(object, "cone",
                          cone[0] == '\0' ? cJSON_CreateNull() : cJSON_CreateString(cone));
    cJSON *list = cJSON_AddArrayToObject(object, "meaning");
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(sentences[i]));
    add_addresses(object, record);
    cJSON *attributes = cJSON_AddObjectToObject(object, "attributes");
    for (unsigned i = 0; i < BK_NAT_ATTRS; i++)
        cJSON_AddItemToObject(attributes, bk_nat_attr_name((enum bk_nat_attr)i),
                              attribute(record, (enum bk_nat_attr)i));
    list = cJSON_AddArrayToObject(object, "observations");
    for (size_t i = 0; i < observations_in(record); i++)
        cJSON_AddItemToArray(list, observation(&record->observations[i]));
    add_costs(object, record);
    return object;
}
