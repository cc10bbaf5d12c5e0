/* SPDX-License-Identifier: MIT
 * What follows from what four endpoints saw, from an outside address told twice, from who was alive
 * after how long. */
#include "../test.h"

#include "base/rng.h"
#include "natcheck/verdict.h"

/* ---- mapping ---- */

/* Endpoints: 0 and 1 are the two ports of one address, 2 and 3 of the other; 4 is another server.
 * `seen`: the outside port that each told; 0: not asked. */
static const struct {
    const char *name;
    uint16_t seen[5];
    enum bk_nat_dep dep;
    enum bk_nat_reason reason;
    enum bk_maybe port_specific;
} mapping_cases[] = {
    {"full cone", {7, 7, 7, 7}, BK_NAT_EI, BK_NAT_REASON_NONE, BK_NO},
    {"by address", {7, 7, 8, 8}, BK_NAT_AD, BK_NAT_REASON_NONE, BK_NO},
    {"by address and port", {7, 8, 9, 10}, BK_NAT_APD, BK_NAT_REASON_NONE, BK_NO},
    {"two of four fell together", {7, 8, 7, 9}, BK_NAT_APD, BK_NAT_REASON_NONE, BK_NO},
    {"by port alone", {7, 8, 7, 8}, BK_NAT_APD, BK_NAT_REASON_NONE, BK_YES},
    {"one address, same", {7, 7}, BK_NAT_EI, BK_NAT_REASON_ONE_ADDRESS, BK_NO},
    {"one address, differs", {7, 8}, BK_NAT_APD, BK_NAT_REASON_NONE, BK_NO},
    {"one answer", {7}, BK_NAT_DEP_UNKNOWN, BK_NAT_REASON_TOO_FEW, BK_UNKNOWN},
    {"nobody", {0}, BK_NAT_DEP_UNKNOWN, BK_NAT_REASON_TOO_FEW, BK_UNKNOWN},
    {"two addresses, one port each", {7, 0, 8}, BK_NAT_APD, BK_NAT_REASON_TOO_FEW, BK_NO},
    {"two addresses, one port each, same", {7, 0, 7}, BK_NAT_EI, BK_NAT_REASON_NONE, BK_NO},
    {"another server helps", {7, 7, 0, 0, 7}, BK_NAT_EI, BK_NAT_REASON_NONE, BK_NO},
    {"another server tells", {7, 7, 0, 0, 8}, BK_NAT_AD, BK_NAT_REASON_NONE, BK_NO},
};

static void test_mapping(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof mapping_cases / sizeof *mapping_cases; i++) {
        struct mapping_sample s[5];
        size_t n = 0;
        for (uint8_t e = 0; e < 5; e++) {
            if (mapping_cases[i].seen[e] == 0)
                continue;
            uint16_t port = e == 4 ? 19302 : (uint16_t)(3478 + e % 2);
            s[n].remote = bk_addr(bk_ipv4(198, 51, 100, (uint8_t)(e / 2)), port);
            s[n++].seen = bk_addr(bk_ipv4(203, 0, 113, 1), mapping_cases[i].seen[e]);
        }
        struct mapping_verdict v = mapping_judge(s, n);
        if (v.dep != mapping_cases[i].dep || v.reason != mapping_cases[i].reason ||
            v.port_specific != mapping_cases[i].port_specific)
            fail_msg("%s: %d %d %d", mapping_cases[i].name, v.dep, v.reason, v.port_specific);
    }
}

/* The order of the answers plays no part. */
static void test_mapping_order(void **state) {
    (void)state;
    struct rng_seeded seed;
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    for (int run = 0; run < 2000; run++) {
        struct mapping_sample s[4];
        for (uint8_t e = 0; e < 4; e++) {
            s[e].remote =
                bk_addr(bk_ipv4(198, 51, 100, (uint8_t)(e / 2)), (uint16_t)(3478 + e % 2));
            s[e].seen = bk_addr(bk_ipv4(203, 0, 113, 1), (uint16_t)(1 + rng_below(&rng, 3)));
        }
        struct mapping_verdict a = mapping_judge(s, 4);
        uint32_t i = rng_below(&rng, 4), j = rng_below(&rng, 4);
        struct mapping_sample t = s[i];
        s[i] = s[j];
        s[j] = t;
        struct mapping_verdict b = mapping_judge(s, 4);
        assert_true(a.dep == b.dep && a.reason == b.reason && a.port_specific == b.port_specific);
    }
}

/* ---- two NATs ---- */

static struct bk_ip ip(const char *text) {
    struct bk_ip out = {0};
    if (text != NULL)
        assert_int_equal(bk_ip_parse(text, &out), BK_OK);
    return out;
}

static const struct {
    const char *external, *portmap, *hops[3];
    bool not_translated;
    enum bk_nat_double value;
} double_cases[] = {
    {.external = "203.0.113.1", .value = BK_NAT_DOUBLE_NO_SIGN},
    {.external = "203.0.113.1", .portmap = "203.0.113.1", .value = BK_NAT_DOUBLE_NO_SIGN},
    {.external = "203.0.113.1", .portmap = "192.168.0.2", .value = BK_NAT_DOUBLE_YES},
    {.external = "203.0.113.1", .portmap = "100.64.1.2", .value = BK_NAT_DOUBLE_CARRIER},
    {.external = "203.0.113.1", .portmap = "100.127.255.1", .value = BK_NAT_DOUBLE_CARRIER},
    {.external = "203.0.113.1", .portmap = "100.128.0.1", .value = BK_NAT_DOUBLE_YES},
    {.external = "203.0.113.1", .hops = {"192.168.1.1"}, .value = BK_NAT_DOUBLE_NO_SIGN},
    {.external = "203.0.113.1", .hops = {"192.168.1.1", "10.0.0.1"}, .value = BK_NAT_DOUBLE_YES},
    {.external = "203.0.113.1",
     .hops = {"192.168.1.1", "100.64.0.1"},
     .value = BK_NAT_DOUBLE_CARRIER},
    {.external = "100.64.3.3", .value = BK_NAT_DOUBLE_CARRIER},
    {.external = "10.0.0.7", .value = BK_NAT_DOUBLE_NO_SIGN},
    {.external = "203.0.113.1",
     .portmap = "100.64.1.2",
     .not_translated = true,
     .value = BK_NAT_DOUBLE_NO_SIGN},
};

static void test_two_nats(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof double_cases / sizeof *double_cases; i++) {
        struct bk_ip hops[3];
        struct double_nat_facts f = {.translated = !double_cases[i].not_translated,
                                     .external = ip(double_cases[i].external),
                                     .portmap_external = ip(double_cases[i].portmap),
                                     .hops = hops};
        while (f.hop_count < 3 && double_cases[i].hops[f.hop_count] != NULL) {
            hops[f.hop_count] = ip(double_cases[i].hops[f.hop_count]);
            f.hop_count++;
        }
        uint16_t permille = 0;
        if (double_nat_judge(&f, &permille) != double_cases[i].value)
            fail_msg("case %zu", i);
        assert_true(permille > 0 && permille <= 1000);
    }
}

/* ---- lifetimes ---- */

static void test_life_range(void **state) {
    (void)state;
    struct life_range r = {0, INT64_MAX};
    int64_t error;
    life_add(&r, 40, true);
    life_add(&r, 160, false);
    life_add(&r, 10, true);   /* known already */
    life_add(&r, 200, false); /* known already */
    assert_true(r.alive_us == 40 && r.dead_us == 160);
    life_add(&r, 170, true); /* so the silence at 160 was a lost packet */
    assert_true(r.alive_us == 170 && r.dead_us == INT64_MAX);
    assert_int_equal(life_estimate(&r, &error), 170);
    assert_int_equal(error, 0);
}

/* Any lifetime between the first and the last rung comes out within 10 %. */
static void test_ladder_and_split(void **state) {
    (void)state;
    for (int64_t truth = 5000000; truth < 550000000; truth += 1234567) {
        struct life_range r = {0, INT64_MAX};
        int64_t fine[4], error;
        for (int64_t rung = 4000000; rung < 960000000; rung = rung / 5 * 8)
            life_add(&r, rung, rung < truth);
        life_split(&r, fine, 4);
        for (int i = 0; i < 4; i++) {
            assert_true(fine[i] > r.alive_us && fine[i] < r.dead_us);
            assert_true(i == 0 || fine[i] > fine[i - 1]);
        }
        for (int i = 0; i < 4; i++)
            life_add(&r, fine[i], fine[i] < truth);
        int64_t off = life_estimate(&r, &error) - truth;
        assert_true((off < 0 ? -off : off) <= truth / 10);
        assert_true(r.alive_us < truth && truth <= r.dead_us && error <= truth / 10);
    }
}

/* ---- prefixes ---- */

static const struct {
    const char *inside, *outside;
    bool prefix;
} prefix_cases[] = {
    {"fd01:203:405:1::1234", "2001:db8:1:d550::1234", true}, /* RFC 6296 appendix B */
    {"fd01:203:405:1::1234", "2001:db8:1:1::1234", true},    /* with no thought of checksums */
    {"fd01:203:405:1:0:0:0:1234", "2001:db8:1:1:d54f::1234", true}, /* a /64, section 3.5 */
    {"fd01:203:405:1:0:0:0:1234", "2001:db8:1:1:d54e::1234", false},
    {"fd01:203:405:1::1234", "2001:db8:1:d550::1235", false}, /* one address for all */
    {"fd01:203:405:1::1234", "2001:db8::1", false},
    {"fd01:203:405:1::1234", "fd01:203:405:1::1234", false},
    {"192.168.1.2", "203.0.113.2", false},
};

static void test_prefixes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof prefix_cases / sizeof *prefix_cases; i++) {
        struct bk_ip inside, outside;
        assert_int_equal(bk_ip_parse(prefix_cases[i].inside, &inside), BK_OK);
        assert_int_equal(bk_ip_parse(prefix_cases[i].outside, &outside), BK_OK);
        if (prefix_is_all(&inside, &outside) != prefix_cases[i].prefix)
            fail_msg("%s to %s", prefix_cases[i].inside, prefix_cases[i].outside);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapping),          cmocka_unit_test(test_mapping_order),
        cmocka_unit_test(test_two_nats),         cmocka_unit_test(test_life_range),
        cmocka_unit_test(test_ladder_and_split), cmocka_unit_test(test_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
