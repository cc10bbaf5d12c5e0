/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include <bodkin/oracle.h>

#include <math.h>
#include <stdio.h>

static struct bk_nat_traits nat(enum bk_nat_dep mapping, enum bk_nat_dep filtering,
                                enum bk_nat_ports ports) {
    return (struct bk_nat_traits){
        .translated = BK_YES,
        .udp_blocked = BK_NO,
        .mapping = mapping,
        .filtering = filtering,
        .ports = ports,
        .step = 1,
        .paired = BK_YES,
        .hairpin = BK_NAT_HAIRPIN_NONE,
        .inbound_first = BK_NO,
        .two_nats = BK_NO,
        .port_mapping = BK_NO,
        .tcp_punch = BK_YES,
        .ipv6 = BK_NO,
    };
}

static struct bk_nat_traits block(uint16_t ports) {
    struct bk_nat_traits t = nat(BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_RANDOM);
    t.port_min = 20480;
    t.port_max = (uint16_t)(20480 + ports - 1);
    return t;
}

static struct bk_oracle_verdict ask(const struct bk_nat_traits *a, const struct bk_nat_traits *b,
                                    const struct bk_oracle_budget *budget) {
    struct bk_oracle_verdict v;
    assert_int_equal(bk_oracle(a, b, budget, &v), BK_OK);
    assert_true(v.p_low >= 0 && v.p_low <= v.p_high && v.p_high <= 1);
    assert_true(v.time_mean_us >= 0);
    assert_non_null(v.why);
    return v;
}

/* Symmetric in its arguments, and sure. */
static struct bk_oracle_verdict sure(const struct bk_nat_traits *a, const struct bk_nat_traits *b) {
    struct bk_oracle_verdict v = ask(a, b, NULL), w = ask(b, a, NULL);
    assert_true(v.certain);
    assert_int_equal(v.method, w.method);
    assert_true(fabs(v.p_low - w.p_low) < 1e-12);
    return v;
}

static void near(double got, double wanted, double within) {
    if (!(fabs(got - wanted) <= within))
        fail_msg("%.6f instead of %.6f", got, wanted);
}

#define OPEN nat(BK_NAT_EI, BK_NAT_EI, BK_NAT_PORTS_PRESERVE)
#define CONE_AD nat(BK_NAT_EI, BK_NAT_AD, BK_NAT_PORTS_PRESERVE)
#define CONE nat(BK_NAT_EI, BK_NAT_APD, BK_NAT_PORTS_PRESERVE)
#define SEQ nat(BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_SEQUENTIAL)
#define KEEP nat(BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_PRESERVE)
#define HARD nat(BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_RANDOM)
#define HARD_AD nat(BK_NAT_APD, BK_NAT_AD, BK_NAT_PORTS_RANDOM)
#define HARD_OPEN nat(BK_NAT_APD, BK_NAT_EI, BK_NAT_PORTS_RANDOM)
#define HOST_SEQ nat(BK_NAT_AD, BK_NAT_APD, BK_NAT_PORTS_SEQUENTIAL)
#define HOST_HARD nat(BK_NAT_AD, BK_NAT_APD, BK_NAT_PORTS_RANDOM)
#define CLOCK nat(BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_TIME)

/* Budget: 256 sockets, 1024 probes. */
static void test_every_kind_of_pair(void **state) {
    (void)state;
    struct bk_nat_traits fresh = KEEP; /* keeps the first port, nothing known of the next */
    fresh.step = 0;
    const struct {
        struct bk_nat_traits a, b;
        enum bk_oracle_method method;
        double p, within;
    } rows[] = {
        {OPEN, OPEN, BK_ORACLE_DIRECT, 1, 0},
        {OPEN, HARD, BK_ORACLE_DIRECT, 1, 0},
        {HARD_OPEN, HARD, BK_ORACLE_DIRECT, 1, 0},
        {CONE, CONE, BK_ORACLE_PUNCH, 1, 0},
        {CONE_AD, CONE, BK_ORACLE_PUNCH, 1, 0},
        {CONE_AD, SEQ, BK_ORACLE_PRFLX, 1, 0},
        {CONE_AD, HARD, BK_ORACLE_PRFLX, 1, 0},
        {CONE_AD, HARD_AD, BK_ORACLE_PRFLX, 1, 0},
        {CONE, KEEP, BK_ORACLE_PREDICT, 1, 0},
        {CONE, SEQ, BK_ORACLE_PREDICT, 1, 0.0002},
        {CONE, CLOCK, BK_ORACLE_BIRTHDAY_ONE, 0.9835, 5e-5},
        {HARD, nat(BK_NAT_APD, BK_NAT_AD, BK_NAT_PORTS_SEQUENTIAL), BK_ORACLE_PREDICT, 1, 0.0002},
        {CONE, HARD, BK_ORACLE_BIRTHDAY_ONE, 0.9835, 5e-5},
        {HARD_AD, HARD, BK_ORACLE_BIRTHDAY_ONE, 0.9835, 5e-5},
        {HARD_AD, SEQ, BK_ORACLE_BIRTHDAY_ONE, 0.9835, 5e-5},
        {HOST_SEQ, HARD, BK_ORACLE_BIRTHDAY_ONE, 0.966, 0.03}, /* K sockets x 3 ports */
        {CONE, block(1024), BK_ORACLE_BLOCK, 1, 0},
        {CONE, block(64), BK_ORACLE_BLOCK, 1, 0},
        {KEEP, KEEP, BK_ORACLE_FAN, 1, 0},
        {SEQ, SEQ, BK_ORACLE_FAN, 0.99, 0.0005}, /* others' ports among ours: 1 of 201 a side */
        {SEQ, HARD, BK_ORACLE_BIRTHDAY_MIXED, 1024.0 / 64512, 0.0003},
        {KEEP, block(1024), BK_ORACLE_BIRTHDAY_MIXED, 0.632, 0.0005},
        {fresh, block(1024), BK_ORACLE_BIRTHDAY_MIXED, 0.25, 0}, /* 256 sockets, a port each */
        {SEQ, block(1024), BK_ORACLE_BIRTHDAY_MIXED, 0.680, 0.0005},
        {block(1024), block(1024), BK_ORACLE_BLOCK, 0.684, 0.0005},
        {HARD, HARD, BK_ORACLE_BIRTHDAY_TWO, 0.00025, 0.00001},
        {HOST_HARD, HARD, BK_ORACLE_BIRTHDAY_TWO, 0.00025, 0.00001},
        {CLOCK, HARD, BK_ORACLE_BIRTHDAY_TWO, 0.00025, 0.00001},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bk_oracle_verdict v = sure(&rows[i].a, &rows[i].b);
        if (v.method != rows[i].method)
            fail_msg("row %zu: %s instead of %s", i, bk_oracle_method_name(v.method),
                     bk_oracle_method_name(rows[i].method));
        near(v.p_low, rows[i].p, rows[i].within + 1e-12);
    }
}

/* {EI, AD, APD} mapping x {preserving, sequential, random} x {EI, AD, APD} filtering, as in
 * NATCracker (doi 10.1109/ICCCN.2009.5235278). */
static void test_378_pairs_by_technique(void **state) {
    (void)state;
    enum { TYPES = 27 };
    unsigned count[BK_ORACLE_METHODS] = {0}, likely = 0;
    struct bk_nat_traits types[TYPES];
    for (int i = 0; i < TYPES; i++)
        types[i] =
            nat((enum bk_nat_dep)(BK_NAT_EI + i / 9), (enum bk_nat_dep)(BK_NAT_EI + i / 3 % 3),
                (enum bk_nat_ports)(BK_NAT_PORTS_PRESERVE + i % 3));
    for (int i = 0; i < TYPES; i++) {
        for (int j = i; j < TYPES; j++) {
            struct bk_oracle_verdict v = sure(&types[i], &types[j]);
            count[v.method]++;
            likely += v.p_low >= 0.95 ? 1 : 0;
        }
    }
    assert_int_equal(count[BK_ORACLE_DIRECT], 207);
    assert_int_equal(count[BK_ORACLE_PUNCH], 21);
    assert_int_equal(count[BK_ORACLE_PRFLX], 36);
    assert_int_equal(count[BK_ORACLE_PREDICT], 66);
    assert_int_equal(count[BK_ORACLE_FAN], 10);
    assert_int_equal(count[BK_ORACLE_BIRTHDAY_ONE], 31);
    assert_int_equal(count[BK_ORACLE_BIRTHDAY_MIXED], 4);
    assert_int_equal(count[BK_ORACLE_BIRTHDAY_TWO], 3);
    assert_int_equal(likely, 371);
}

static void test_roles_and_price(void **state) {
    (void)state;
    struct bk_nat_traits a = CONE, b = HARD, open = OPEN;
    struct bk_oracle_verdict v = ask(&a, &b, NULL);
    assert_int_equal(v.side[0].role, BK_ORACLE_ROLE_PROBE);
    assert_int_equal(v.side[0].ports, 1024);
    assert_int_equal(v.side[1].role, BK_ORACLE_ROLE_OPEN);
    assert_int_equal(v.side[1].sockets, 256);
    assert_int_equal(v.space, 64512);
    assert_int_equal(v.needs, BK_ORACLE_NEEDS_FRESH);
    near(v.side[0].packets_mean, 277, 2); /* half are done after 211 */
    near(v.side[0].packets_p95, 750, 2);
    assert_true(v.side[1].packets_mean <= 256 && v.side[1].packets_p95 <= 256);
    near((double)v.time_p95_us / 1e6, v.side[0].packets_p95 / 200 + 0.04, 0.02);
    v = ask(&open, &b, NULL);
    assert_int_equal(v.side[0].role, BK_ORACLE_ROLE_ANSWER);
    near(v.side[0].packets_mean, 0, 0);
    near(v.side[1].packets_mean, 1, 0);
    assert_int_equal(v.time_p95_us, 40000);
    v = ask(&a, &a, NULL);
    assert_int_equal(v.time_mean_us, 40000);
    near(v.side[0].packets_p95, 1, 0);
}

/* With a filter by address on the guessed side and an unknown port on the other, what opens
 * mappings is aimed at nothing: it comes first. */
static void test_unaimed_openers_come_first(void **state) {
    (void)state;
    struct bk_nat_traits a = HARD_AD, b = HARD;
    struct bk_oracle_verdict v = ask(&a, &b, NULL);
    assert_int_equal(v.needs, BK_ORACLE_NEEDS_FRESH | BK_ORACLE_NEEDS_ORDER);
    assert_int_equal(v.reached, 0);
    near(v.side[0].packets_mean, 256, 0.001);
    near(v.side[1].packets_mean, 247, 1); /* (S + 1) / (K + 1) = 251, cut off at 1024 */
    near((double)v.time_mean_us / 1e6, 0.04 + (256 + 246) / 200.0, 0.05);
}

static void test_more_budget_is_never_worse(void **state) {
    (void)state;
    const struct bk_nat_traits all[] = {CONE,     SEQ,       HARD,       HARD_AD,
                                        HOST_SEQ, HOST_HARD, block(512), KEEP};
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < 8; j++) {
            double last = -1;
            for (uint32_t k = 1; k <= 65536; k *= 4) {
                struct bk_oracle_budget b = bk_oracle_budget_default;
                b.sockets = k;
                b.probes = 4 * k;
                struct bk_oracle_verdict v = ask(&all[i], &all[j], &b);
                if (v.p_low < last - 0.0011) /* within which a cheaper method is preferred */
                    fail_msg("%zu x %zu, %u sockets: %f after %f", i, j, k, v.p_low, last);
                last = v.p_low;
            }
        }
    }
}

/* What is known of none is worth anything from nothing to everything. */
static void test_unknown_traits_widen(void **state) {
    (void)state;
    struct bk_nat_traits none = {0}, a = CONE, b = CONE;
    struct bk_oracle_verdict v = ask(&none, &none, NULL);
    near(v.p_low, 0, 0);
    near(v.p_high, 1, 0);
    assert_false(v.certain);
    b.mapping = BK_NAT_DEP_UNKNOWN; /* from EIM to symmetric and random */
    b.ports = BK_NAT_PORTS_UNKNOWN;
    v = ask(&a, &b, NULL);
    near(v.p_low, 0.9835, 5e-5);
    near(v.p_high, 1, 0);
    assert_int_equal(v.method, BK_ORACLE_BIRTHDAY_ONE);
    assert_int_equal(v.method_best, BK_ORACLE_PUNCH);
    assert_false(v.certain);
    b = CONE;
    b.filtering = BK_NAT_DEP_UNKNOWN; /* does not matter much */
    v = ask(&a, &b, NULL);
    near(v.p_low, 1, 0);
    assert_int_equal(v.method, BK_ORACLE_PUNCH);
    assert_int_equal(v.method_best, BK_ORACLE_DIRECT);
    b = CONE;
    b.ports = BK_NAT_PORTS_UNKNOWN; /* an EIM port is known, however it was chosen */
    assert_true(ask(&a, &b, NULL).certain);
    b.port_mapping = BK_UNKNOWN; /* worth nothing here */
    assert_true(ask(&a, &b, NULL).certain);
    struct bk_nat_traits hard = HARD;
    v = ask(&hard, &b, NULL);
    assert_false(v.certain);
    assert_int_equal(v.method_best, BK_ORACLE_PORT_MAPPING);
}

/* Measured: with both boxes delicate, 20 ms of skew within a flight of 40 ms met, 60 ms never did,
 * a first packet of low TTL cured every skew; with one such box the order decides. */
static void test_inbound_first(void **state) {
    (void)state;
    struct bk_nat_traits a = CONE, b = CONE, ad = CONE_AD;
    struct bk_oracle_budget budget = bk_oracle_budget_default;
    a.inbound_first = BK_YES;
    struct bk_oracle_verdict v = ask(&a, &b, &budget);
    near(v.p_low, 1, 0);
    assert_int_equal(v.needs, BK_ORACLE_NEEDS_LOW_TTL);
    near(v.side[0].packets_mean, 2, 0);
    assert_int_equal(v.time_mean_us, 120000); /* a round trip later */
    budget.low_ttl = false;
    v = ask(&a, &b, &budget);
    near(v.p_low, 1, 0);
    assert_int_equal(v.needs, BK_ORACLE_NEEDS_START);
    budget.synchronised = false;
    near(ask(&a, &b, &budget).p_low, 0.7, 1e-9); /* late by more than 40 of 100 ms: 0.6 / 2 */
    near(ask(&b, &a, &budget).p_low, 0.7, 1e-9);
    near(ask(&a, &ad, &budget).p_low, 1, 1e-9); /* a moved port may enter there */
    b.inbound_first = BK_YES;
    near(ask(&a, &b, &budget).p_low, 0.4, 1e-9);
    budget.skew_us = 40000;
    near(ask(&a, &b, &budget).p_low, 1, 1e-9);
}

static void test_same_nat(void **state) {
    (void)state;
    struct bk_nat_traits a = CONE, b = CONE;
    a.external = b.external = bk_ipv4(203, 0, 113, 1);
    assert_int_equal(ask(&a, &b, NULL).method, BK_ORACLE_INNER);
    a.two_nats = b.two_nats = BK_YES;
    assert_int_equal(ask(&a, &b, NULL).method, BK_ORACLE_RELAY);
    a.inner = bk_ipv4(100, 64, 1, 2);
    assert_int_equal(ask(&a, &b, NULL).method, BK_ORACLE_RELAY);
    b.inner = bk_ipv4(100, 64, 1, 3);
    assert_int_equal(ask(&a, &b, NULL).method, BK_ORACLE_INNER);
    b.inner.family = BK_FAMILY_NONE;
    a.hairpin = b.hairpin = BK_NAT_HAIRPIN_EXTERNAL;
    assert_int_equal(ask(&a, &b, NULL).method, BK_ORACLE_HAIRPIN);
    b.external = bk_ipv4(203, 0, 113, 2);
    assert_int_equal(ask(&a, &b, NULL).method, BK_ORACLE_PUNCH);
    a.external.family = b.external.family = BK_FAMILY_NONE;
    assert_int_equal(ask(&a, &b, NULL).method, BK_ORACLE_PUNCH);
}

static void test_other_roads(void **state) {
    (void)state;
    struct bk_nat_traits a = CONE, b = HARD, c = CONE;
    a.ipv6 = b.ipv6 = BK_YES;
    assert_int_equal(sure(&a, &b).method, BK_ORACLE_IPV6);
    a.ipv6 = BK_NO;
    a.port_mapping = BK_YES;
    struct bk_oracle_verdict v = ask(&a, &b, NULL);
    assert_int_equal(v.method, BK_ORACLE_PORT_MAPPING);
    assert_int_equal(v.side[0].role, BK_ORACLE_ROLE_MAP);
    c.udp_blocked = BK_YES;
    a.port_mapping = BK_NO;
    v = ask(&a, &c, NULL);
    assert_int_equal(v.method, BK_ORACLE_TCP);
    near(v.p_low, 1, 0);
    c.tcp_punch = BK_UNKNOWN;
    near(ask(&a, &c, NULL).p_low, 0.6, 1e-12);
    c.tcp_punch = BK_NO;
    assert_int_equal(ask(&a, &c, NULL).method, BK_ORACLE_RELAY);
    c.tcp_punch = BK_YES;
    assert_int_equal(ask(&b, &c, NULL).method, BK_ORACLE_RELAY);
}

/* Which of the pool's addresses a packet leaves from is drawn for each mapping. */
static void test_unpaired_pool(void **state) {
    (void)state;
    struct bk_nat_traits a = CONE_AD, b = HARD, open = OPEN, cone = CONE;
    b.paired = BK_NO;
    assert_int_equal(ask(&a, &b, NULL).method, BK_ORACLE_RELAY);
    assert_int_equal(ask(&open, &b, NULL).method, BK_ORACLE_DIRECT);
    cone.paired = BK_NO; /* one mapping, one address: STUN showed it */
    assert_int_equal(sure(&a, &cone).method, BK_ORACLE_PUNCH);
    b.paired = BK_UNKNOWN;
    struct bk_oracle_verdict v = ask(&a, &b, NULL);
    near(v.p_low, 0, 0);
    near(v.p_high, 1, 0);
}

static void test_udp_to_some_ports_only(void **state) {
    (void)state;
    struct bk_nat_traits a = CONE, b = CONE;
    b.udp_limited = BK_YES;
    assert_int_equal(sure(&a, &b).method, BK_ORACLE_TCP);
}

static void test_methods_one_has_not(void **state) {
    (void)state;
    struct bk_nat_traits a = CONE, b = block(1024), hard = HARD;
    struct bk_oracle_budget budget = bk_oracle_budget_default;
    budget.methods &= ~(1U << BK_ORACLE_BLOCK);
    struct bk_oracle_verdict v = ask(&a, &b, &budget); /* searches all ports for it */
    assert_int_equal(v.method, BK_ORACLE_BIRTHDAY_ONE);
    near(v.p_low, 0.9835, 5e-5);
    struct bk_nat_traits clock = CLOCK;
    budget.methods &= ~(1U << BK_ORACLE_BIRTHDAY_ONE);
    v = ask(&a, &clock, &budget);
    assert_int_equal(v.method, BK_ORACLE_PREDICT);
    near(v.p_low, 0.8, 0.0005);
    near((double)v.time_mean_us / 1e6, 6.4, 0.1); /* a trial a second, 12 at most */
    budget.methods = 1U << BK_ORACLE_DIRECT | 1U << BK_ORACLE_PUNCH;
    v = ask(&a, &hard, &budget);
    assert_int_equal(v.method, BK_ORACLE_RELAY);
    near(v.p_high, 0, 0);
    near(v.side[0].packets_mean, 0, 0);
    budget.methods = 0;
    assert_int_equal(ask(&a, &a, &budget).method, BK_ORACLE_RELAY);
}

static void test_bad_arguments(void **state) {
    (void)state;
    struct bk_nat_traits good = CONE, bad = CONE;
    struct bk_oracle_verdict v = {.p_low = 7};
    struct bk_oracle_budget b = bk_oracle_budget_default;
    bad.port_min = 5000;
    bad.port_max = 4000;
    assert_int_equal(bk_oracle(&good, &bad, NULL, &v), BK_ERR_ARGUMENT);
    bad = good;
    bad.port_min = 1000;
    bad.port_max = 1009;
    bad.port_count = 11;
    assert_int_equal(bk_oracle(&bad, &good, NULL, &v), BK_ERR_ARGUMENT);
    bad = good;
    bad.foreign_per_s = NAN;
    assert_int_equal(bk_oracle(&bad, &good, NULL, &v), BK_ERR_ARGUMENT);
    bad = good;
    bad.mapping = (enum bk_nat_dep)9;
    assert_int_equal(bk_oracle(&bad, &good, NULL, &v), BK_ERR_ARGUMENT);
    b.pace_pps = 0;
    assert_int_equal(bk_oracle(&good, &good, &b, &v), BK_ERR_ARGUMENT);
    b = bk_oracle_budget_default;
    b.tcp_success = NAN;
    assert_int_equal(bk_oracle(&good, &good, &b, &v), BK_ERR_ARGUMENT);
    b = bk_oracle_budget_default;
    b.sockets = 65537;
    assert_int_equal(bk_oracle(&good, &good, &b, &v), BK_ERR_ARGUMENT);
    assert_true(v.p_low > 6); /* untouched */
}

static void test_words(void **state) {
    (void)state;
    for (int m = 0; m < BK_ORACLE_METHODS; m++) {
        assert_true(strlen(bk_oracle_method_name((enum bk_oracle_method)m)) > 1);
        assert_true(strlen(bk_oracle_method_text((enum bk_oracle_method)m)) > 1);
        for (int n = 0; n < m; n++)
            assert_string_not_equal(bk_oracle_method_name((enum bk_oracle_method)m),
                                    bk_oracle_method_name((enum bk_oracle_method)n));
    }
    assert_string_equal(bk_oracle_method_name((enum bk_oracle_method)99), "unknown");
    assert_string_equal(bk_oracle_role_text(BK_ORACLE_ROLE_NONE), "does nothing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_pair),
        cmocka_unit_test(test_378_pairs_by_technique),
        cmocka_unit_test(test_roles_and_price),
        cmocka_unit_test(test_unaimed_openers_come_first),
        cmocka_unit_test(test_more_budget_is_never_worse),
        cmocka_unit_test(test_unknown_traits_widen),
        cmocka_unit_test(test_inbound_first),
        cmocka_unit_test(test_same_nat),
        cmocka_unit_test(test_other_roads),
        cmocka_unit_test(test_unpaired_pool),
        cmocka_unit_test(test_udp_to_some_ports_only),
        cmocka_unit_test(test_methods_one_has_not),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
