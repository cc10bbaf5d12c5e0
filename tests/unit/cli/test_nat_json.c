/* SPDX-License-Identifier: MIT
 * The record and the verdict as JSON: the names and types that docs/nat-json.md promises. */
#include "../test.h"
#include "cli/nat_card.h"
#include "cli/nat_json.h"
#include "cli/nat_pair.h"
#include "nat_records.h"

#include <cjson/cJSON.h>

static const cJSON *attribute(const cJSON *root, enum bk_nat_attr attr, const char *member) {
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(root, "attributes");
    const cJSON *one = cJSON_GetObjectItemCaseSensitive(all, bk_nat_attr_name(attr));
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(one, member);
    assert_non_null(found);
    return found;
}

static void every_attribute_has_value_confidence_evidence(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    r.findings[BK_NAT_FILTERING].permille = 985;
    cannot_tell(&r, BK_NAT_HAIRPIN, BK_NAT_REASON_ONE_ADDRESS);
    cJSON *root = nat_json_record(&r, &nat_test_server);
    assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(root, "bodkin_nat")), 1);
    const cJSON *all = cJSON_GetObjectItem(root, "attributes");
    assert_int_equal(cJSON_GetArraySize(all), BK_NAT_ATTRS);
    const cJSON *one;
    cJSON_ArrayForEach(one, all) {
        assert_true(cJSON_IsString(cJSON_GetObjectItem(one, "status")));
        assert_non_null(cJSON_GetObjectItem(one, "value"));
        assert_non_null(cJSON_GetObjectItem(one, "confidence"));
        assert_true(cJSON_IsArray(cJSON_GetObjectItem(one, "evidence")));
    }
    assert_string_equal(attribute(root, BK_NAT_MAPPING, "value")->valuestring,
                        "endpoint-independent");
    assert_string_equal(attribute(root, BK_NAT_FILTERING, "value")->valuestring,
                        "address-and-port-dependent");
    assert_true(attribute(root, BK_NAT_FILTERING, "confidence")->valuedouble == 0.985);
    assert_true(cJSON_IsTrue(attribute(root, BK_NAT_TRANSLATED, "value")));
    assert_string_equal(attribute(root, BK_NAT_HAIRPIN, "status")->valuestring, "unclear");
    assert_true(cJSON_IsNull(attribute(root, BK_NAT_HAIRPIN, "value")));
    assert_true(cJSON_IsString(attribute(root, BK_NAT_HAIRPIN, "reason")));
    assert_string_equal(attribute(root, BK_NAT_LIFE_FIRST, "status")->valuestring, "not-asked");
    const cJSON *evidence = attribute(root, BK_NAT_FILTERING, "evidence");
    assert_int_equal(cJSON_GetArraySize(evidence), 1);
    assert_int_equal(cJSON_GetArrayItem(evidence, 0)->valueint, 1);
    cJSON_Delete(root);
}

static void observations_keep_silence_apart_from_zero(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    cJSON *root = nat_json_record(&r, &nat_test_server);
    const cJSON *list = cJSON_GetObjectItem(root, "observations");
    const cJSON *answered = cJSON_GetArrayItem(list, 0), *silent = cJSON_GetArrayItem(list, 1);
    assert_true(cJSON_GetObjectItem(answered, "answered_ms")->valuedouble == 40.3);
    assert_string_equal(cJSON_GetObjectItem(answered, "seen")->valuestring, "203.0.113.7:45001");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(silent, "answered_ms")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(silent, "from")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(silent, "seen")));
    assert_int_equal(cJSON_GetObjectItem(silent, "sends")->valueint, 3);
    cJSON_Delete(root);
}

static void lifetimes_are_milliseconds(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    finds(&r, BK_NAT_LIFE_REPLIED, 120 * BK_US_PER_S);
    r.findings[BK_NAT_LIFE_REPLIED].at_least = true;
    cJSON *root = nat_json_record(&r, &nat_test_server);
    assert_true(attribute(root, BK_NAT_LIFE_REPLIED, "value")->valuedouble == 120000);
    assert_true(cJSON_IsTrue(attribute(root, BK_NAT_LIFE_REPLIED, "at_least")));
    cJSON_Delete(root);
}

/* `bodkin nat --json >peer.json` on one machine, `bodkin nat --with peer.json` on the other. */
static void a_full_report_is_a_card(void **state) {
    (void)state;
    static struct bk_nat_record r;
    make_home(&r);
    for (r.observation_count = 0; r.observation_count < 40;)
        sees(&r, UINT32_MAX, 65535, 65535, 3600000000, 3600040300);
    const struct nat_card card = {.ipv4 = r.traits, .ipv6 = r.traits6};
    cJSON *root = nat_json_record(&r, &nat_test_server);
    cJSON_AddItemToObject(root, "card", nat_card_json(&card));
    char *text = cJSON_PrintUnformatted(root), reason[NAT_CARD_REASON_MAX];
    struct nat_card back;
    assert_int_equal(nat_card_parse(text, strlen(text), &back, reason), BK_OK);
    assert_int_equal(back.ipv4.filtering, BK_NAT_APD);
    cJSON_free(text);
    cJSON_Delete(root);
}

static void values_outside_their_enum_are_null(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    for (unsigned i = 0; i < BK_NAT_ATTRS; i++)
        finds(&r, (enum bk_nat_attr)i, i % 2 == 0 ? 77 : -1);
    cJSON *root = nat_json_record(&r, &nat_test_server);
    assert_true(cJSON_IsNull(attribute(root, BK_NAT_MAPPING, "value")));
    assert_true(cJSON_IsNull(attribute(root, BK_NAT_PCP, "value")));
    cJSON_Delete(root);
}

static const struct bk_oracle_verdict birthday = {
    .method = BK_ORACLE_BIRTHDAY_ONE,
    .method_best = BK_ORACLE_BIRTHDAY_ONE,
    .p_low = 0.98351,
    .p_high = 0.98351,
    .certain = true,
    .side = {{BK_ORACLE_ROLE_PROBE, 1, 1024, 251.2, 750}, {BK_ORACLE_ROLE_OPEN, 256, 1, 256, 256}},
    .time_mean_us = 1300000,
    .time_p95_us = 3800000,
    .space = 64512,
    .needs = BK_ORACLE_NEEDS_FRESH,
    .why = "a reason",
};

static void a_verdict_names_method_and_price(void **state) {
    (void)state;
    cJSON *pair = nat_pair_json(&birthday);
    assert_string_equal(cJSON_GetObjectItem(pair, "kind")->valuestring, "direct");
    assert_string_equal(cJSON_GetObjectItem(pair, "method")->valuestring,
                        bk_oracle_method_name(BK_ORACLE_BIRTHDAY_ONE));
    assert_true(cJSON_GetObjectItem(pair, "probability")->valuedouble == 0.98351);
    assert_true(cJSON_GetObjectItem(pair, "time_mean_ms")->valuedouble == 1300);
    const cJSON *there = cJSON_GetObjectItem(pair, "there");
    assert_int_equal(cJSON_GetObjectItem(there, "sockets")->valueint, 256);
    assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(pair, "needs"), 0)->valuestring,
                        "fresh-sockets");
    cJSON_Delete(pair);
}

static void a_verdict_in_words(void **state) {
    (void)state;
    char out[2048];
    struct text t = text_in(out, sizeof out);
    nat_pair_text(&birthday, "carol.card", &t);
    const char *line = flat(out);
    assert_non_null(strstr(line, "With carol.card: direct with a probability of 98.4 %, by: "));
    assert_non_null(strstr(line, " why a reason here "));
    assert_non_null(strstr(line, ": 251 packets on average, up to 750 in 95 of 100 cases there "));
    assert_non_null(strstr(line, ": 256 packets, from 256 sockets takes 1300.0 ms on average, "));
    assert_non_null(strstr(line, ", 3800.0 ms in 95 of 100 cases needs fresh sockets "));
}

static void a_side_that_waits_sends_nothing(void **state) {
    (void)state;
    char out[2048];
    struct text t = text_in(out, sizeof out);
    struct bk_oracle_verdict v = birthday;
    v.side[0] = (struct bk_oracle_side){.role = BK_ORACLE_ROLE_ANSWER, .sockets = 1, .ports = 1};
    v.side[1] = (struct bk_oracle_side){BK_ORACLE_ROLE_SEND, 1, 1, 1, 1};
    nat_pair_text(&v, "x", &t);
    assert_null(strstr(out, "0 packet"));
    assert_non_null(strstr(out, ": 1 packet\n"));
}

static void probabilities_never_promise_too_much(void **state) {
    (void)state;
    static const struct {
        double low, high;
        const char *words;
    } cases[] = {
        {1, 1, "direct with a probability of 100 %, by"},
        {0.99999, 0.99999, "direct with a probability of 99.9 %, by"},
        {0.004, 0.004, "relayed, most likely; direct with a probability of 0.4 %, by"},
        {0.00001, 0.00001, "with a probability of less than 0.1 %, by"},
        {0.6, 1, "; what is not known could make it 100 %, by: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bk_oracle_verdict v = birthday;
        char out[2048];
        struct text t = text_in(out, sizeof out);
        v.p_low = cases[i].low;
        v.p_high = cases[i].high;
        nat_pair_text(&v, "x", &t);
        if (strstr(flat(out), cases[i].words) == NULL)
            fail_msg("not \"%s\": %s", cases[i].words, out);
        cJSON *pair = nat_pair_json(&v);
        assert_string_equal(cJSON_GetObjectItem(pair, "kind")->valuestring,
                            v.p_low < 0.5 ? "relayed" : "direct");
        cJSON_Delete(pair);
    }
}

static void relayed_is_said_as_such(void **state) {
    (void)state;
    char out[2048];
    struct text t = text_in(out, sizeof out);
    struct bk_oracle_verdict v = {
        .method = BK_ORACLE_RELAY, .method_best = BK_ORACLE_RELAY, .why = "nothing works"};
    nat_pair_text(&v, "preset:udp-blocked", &t);
    assert_string_equal(out, "\nWith preset:udp-blocked: relayed.\n  why     nothing works\n");
    v.method_best = BK_ORACLE_PUNCH;
    v.p_high = 1;
    t = text_in(out, sizeof out);
    nat_pair_text(&v, "x", &t);
    assert_non_null(
        strstr(flat(out), "With x: relayed; what is not known could make it 100 %, by: "));
    cJSON *pair = nat_pair_json(&v);
    assert_string_equal(cJSON_GetObjectItem(pair, "kind")->valuestring, "relayed");
    cJSON_Delete(pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attribute_has_value_confidence_evidence),
        cmocka_unit_test(observations_keep_silence_apart_from_zero),
        cmocka_unit_test(lifetimes_are_milliseconds),
        cmocka_unit_test(a_full_report_is_a_card),
        cmocka_unit_test(values_outside_their_enum_are_null),
        cmocka_unit_test(a_verdict_names_method_and_price),
        cmocka_unit_test(a_verdict_in_words),
        cmocka_unit_test(a_side_that_waits_sends_nothing),
        cmocka_unit_test(probabilities_never_promise_too_much),
        cmocka_unit_test(relayed_is_said_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
