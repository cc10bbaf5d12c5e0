/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "ice/cand.h"

static struct ice_cand slots[8];
static struct ice_cands cands;

static int fresh(void **state) {
    (void)state;
    memset(slots, 0, sizeof slots);
    struct ice_cands empty = {.slots = slots, .cap = 8};
    cands = empty;
    return 0;
}

static struct bk_addr addr(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

static const struct ice_cand *add(enum bk_ice_kind kind, const char *at, const char *base,
                                  const char *server) {
    struct bk_ice_candidate c = {.kind = kind, .addr = addr(at)};
    if (base != NULL)
        c.base = addr(base);
    if (server != NULL)
        c.server = addr(server);
    uint16_t i = ice_cands_add(&cands, &c, 0);
    assert_int_not_equal(i, ICE_NONE);
    return &slots[i];
}

/* RFC 8445 section 5.1.2.1: (2^24)*type + (2^8)*local + (256 - component). */
static void priorities_follow_the_formula(void **state) {
    (void)state;
    assert_int_equal(ice_priority(BK_ICE_HOST, BK_ICE_UDP, 65535, 1), 2130706431);
    assert_int_equal(ice_priority(BK_ICE_PRFLX, BK_ICE_UDP, 65535, 1), 1862270975);
    assert_int_equal(ice_priority(BK_ICE_SRFLX, BK_ICE_UDP, 65535, 1), 1694498815);
    assert_int_equal(ice_priority(BK_ICE_RELAYED, BK_ICE_UDP, 65535, 1), 16777215);
    struct ice_cand c = {.priority = ice_priority(BK_ICE_HOST, BK_ICE_UDP, 777, 1)};
    assert_int_equal(ice_prflx_priority(&c), ice_priority(BK_ICE_PRFLX, BK_ICE_UDP, 777, 1));
}

static void default_preferences_are_unique_and_put_ipv6_first(void **state) {
    (void)state;
    const struct ice_cand *a = add(BK_ICE_HOST, "192.0.2.1:5", NULL, NULL);
    const struct ice_cand *b = add(BK_ICE_HOST, "[2001:db8::1]:5", NULL, NULL);
    const struct ice_cand *c = add(BK_ICE_HOST, "192.0.2.2:5", NULL, NULL);
    const struct ice_cand *d = add(BK_ICE_SRFLX, "198.51.100.1:5", "192.0.2.1:5", NULL);
    assert_int_equal(a->preference, 65534);
    assert_int_equal(b->preference, 65535);
    assert_int_equal(c->preference, 65532);
    assert_int_equal(d->preference, 65534);
    assert_true(b->priority > a->priority && a->priority > c->priority);
}

/* RFC 8445 sections 5.1.2.1 and 5.1.2.2: also after one has gone, and where the caller gave the
 * same to candidates of several servers. */
static void preferences_stay_unique(void **state) {
    (void)state;
    const struct ice_cand *a = add(BK_ICE_HOST, "192.0.2.1:5", NULL, NULL);
    const struct ice_cand *b = add(BK_ICE_HOST, "192.0.2.2:5", NULL, NULL);
    ice_cands_remove(&cands, (uint16_t)(a - slots));
    const struct ice_cand *c = add(BK_ICE_HOST, "192.0.2.3:5", NULL, NULL);
    assert_int_not_equal(b->preference, c->preference);
    assert_int_not_equal(b->priority, c->priority);
    struct bk_ice_candidate relay = {.kind = BK_ICE_RELAYED, .preference = 7};
    relay.addr = addr("198.51.100.1:5");
    uint16_t first = ice_cands_add(&cands, &relay, 0);
    relay.addr = addr("198.51.100.2:5");
    uint16_t second = ice_cands_add(&cands, &relay, 0);
    assert_int_equal(slots[first].preference, 7);
    assert_int_not_equal(slots[second].priority, slots[first].priority);
    uint16_t other = ice_cands_add(&cands, &relay, 1); /* another component may have the same */
    assert_int_equal(slots[other].preference, 7);
}

/* Section 5.1.1.3: kind, base address, server. The port does not matter. */
static void foundations_are_equal_only_for_like_candidates(void **state) {
    (void)state;
    const struct ice_cand *host = add(BK_ICE_HOST, "10.0.0.1:5", NULL, NULL);
    const struct ice_cand *port = add(BK_ICE_HOST, "10.0.0.1:6", NULL, NULL);
    const struct ice_cand *other = add(BK_ICE_HOST, "10.0.0.2:5", NULL, NULL);
    const struct ice_cand *s1 = add(BK_ICE_SRFLX, "1.1.1.1:5", "10.0.0.1:5", "9.9.9.1:1");
    const struct ice_cand *s1b = add(BK_ICE_SRFLX, "1.1.1.1:6", "10.0.0.1:6", "9.9.9.1:2");
    const struct ice_cand *s2 = add(BK_ICE_SRFLX, "1.1.1.1:7", "10.0.0.1:5", "9.9.9.2:1");
    assert_string_equal(host->foundation, port->foundation);
    assert_string_not_equal(host->foundation, other->foundation);
    assert_string_not_equal(host->foundation, s1->foundation);
    assert_string_equal(s1->foundation, s1b->foundation);
    assert_string_not_equal(s1->foundation, s2->foundation);
}

static void pairing_rules(void **state) {
    (void)state;
    static const struct {
        const char *local, *remote;
        bool want;
    } cases[] = {
        {"192.0.2.1:5", "198.51.100.1:5", true},      {"192.0.2.1:5", "[2001:db8::1]:5", false},
        {"[2001:db8::1]:5", "[2001:db8::2]:5", true}, {"[fe80::1%2]:5", "[fe80::2]:5", true},
        {"[fe80::1%2]:5", "[2001:db8::2]:5", false},  {"[2001:db8::1]:5", "[fe80::2]:5", false},
        {"127.0.0.1:5", "127.0.0.1:6", true},         {"192.0.2.1:5", "127.0.0.1:6", false},
        {"127.0.0.1:5", "192.0.2.1:6", false},        {"[2001:db8::1]:5", "[::1]:6", false},
        {"169.254.1.1:5", "192.0.2.1:5", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ice_cand l = {.addr = addr(cases[i].local), .base = addr(cases[i].local)};
        struct ice_cand r = {.addr = addr(cases[i].remote)};
        assert_int_equal(ice_cands_fit(&l, &r), cases[i].want);
    }
}

static void zones_count_only_if_both_are_known(void **state) {
    (void)state;
    struct bk_addr a = addr("[fe80::1%2]:5"), b = addr("[fe80::1]:5"), c = addr("[fe80::1%3]:5");
    assert_true(ice_addr_same(&a, &b));
    assert_false(ice_addr_same(&a, &c));
}

static void a_base_is_found_by_its_socket(void **state) {
    (void)state;
    (void)add(BK_ICE_SRFLX, "198.51.100.1:9", "10.0.0.1:5", NULL);
    const struct ice_cand *host = add(BK_ICE_HOST, "10.0.0.1:5", NULL, NULL);
    struct bk_addr exact = addr("10.0.0.1:5"), any = addr("0.0.0.0:5"), port = addr("0.0.0.0:6");
    struct bk_addr any6 = addr("[::]:5"), seen = addr("198.51.100.1:9");
    assert_ptr_equal(&slots[ice_cands_find_base(&cands, &exact, false)], host);
    assert_ptr_equal(&slots[ice_cands_find_base(&cands, &any, false)], host);
    assert_int_equal(ice_cands_find_base(&cands, &port, false), ICE_NONE);
    assert_int_equal(ice_cands_find_base(&cands, &any6, false), ICE_NONE);
    assert_int_equal(ice_cands_find_base(&cands, &seen, false), ICE_NONE);
}

static void a_full_table_refuses_and_a_removed_slot_is_reused(void **state) {
    (void)state;
    struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = addr("10.0.0.1:1")};
    for (uint16_t i = 0; i < 8; i++) {
        assert_int_equal(ice_cands_add(&cands, &c, 0), i);
        c.addr.port++;
    }
    assert_int_equal(ice_cands_add(&cands, &c, 0), ICE_NONE);
    ice_cands_remove(&cands, 3);
    assert_int_equal(ice_cands_add(&cands, &c, 0), 3);
    for (uint16_t i = 0; i < 8; i++)
        ice_cands_remove(&cands, i);
    assert_int_equal(cands.top, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(priorities_follow_the_formula, fresh),
        cmocka_unit_test_setup(default_preferences_are_unique_and_put_ipv6_first, fresh),
        cmocka_unit_test_setup(preferences_stay_unique, fresh),
        cmocka_unit_test_setup(foundations_are_equal_only_for_like_candidates, fresh),
        cmocka_unit_test_setup(pairing_rules, fresh),
        cmocka_unit_test_setup(zones_count_only_if_both_are_known, fresh),
        cmocka_unit_test_setup(a_base_is_found_by_its_socket, fresh),
        cmocka_unit_test_setup(a_full_table_refuses_and_a_removed_slot_is_reused, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
