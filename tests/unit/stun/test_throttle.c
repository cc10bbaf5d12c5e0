/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "base/rng.h"
#include "stun/throttle.h"

static struct rng_seeded seed;

static void start(struct throttle *t, uint32_t per_s, uint32_t burst) {
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    assert_int_equal(throttle_init(t, 1024, per_s, burst, &rng, &test_alloc), BK_OK);
}

static unsigned take_all(struct throttle *t, const struct bk_ip *who, int64_t at_ms) {
    unsigned taken = 0;
    while (taken < 10000 && throttle_take(t, who, test_at_ms(at_ms)))
        taken++;
    return taken;
}

static void a_burst_and_then_the_rate(void **state) {
    (void)state;
    struct throttle t;
    struct bk_ip who = bk_ipv4(192, 0, 2, 1);
    start(&t, 10, 5);
    assert_int_equal(take_all(&t, &who, 0), 5);
    assert_int_equal(take_all(&t, &who, 99), 0);
    assert_int_equal(take_all(&t, &who, 100), 1);
    assert_int_equal(take_all(&t, &who, 399), 2);
    assert_int_equal(take_all(&t, &who, 1000000), 5); /* credit does not pile up */
    throttle_fini(&t);
}

static void what_was_given_back_can_be_taken_again(void **state) {
    (void)state;
    struct throttle t;
    struct bk_ip who = bk_ipv4(192, 0, 2, 1);
    start(&t, 10, 5);
    throttle_give_back(&t, &who, test_at_ms(0)); /* there is no more than all */
    assert_int_equal(take_all(&t, &who, 0), 5);
    throttle_give_back(&t, &who, test_at_ms(0));
    throttle_give_back(&t, &who, test_at_ms(0));
    assert_int_equal(take_all(&t, &who, 0), 2);
    assert_int_equal(take_all(&t, &who, 99), 0);
    throttle_fini(&t);
}

static void the_rate_changes(void **state) {
    (void)state;
    struct throttle t;
    struct bk_ip who = bk_ipv4(192, 0, 2, 1);
    start(&t, 0, 0);
    assert_int_equal(take_all(&t, &who, 0), 10000); /* any number */
    throttle_set_rate(&t, 10, 5);
    assert_int_equal(take_all(&t, &who, 0), 5);
    throttle_set_rate(&t, 1000, 5);
    assert_int_equal(take_all(&t, &who, 10000), 5);
    assert_int_equal(take_all(&t, &who, 10001), 1);
    throttle_set_rate(&t, 0, 0);
    assert_int_equal(take_all(&t, &who, 10001), 10000);
    throttle_fini(&t);
}

static void one_address_does_not_use_up_anothers_credit(void **state) {
    (void)state;
    struct throttle t;
    struct bk_ip a = bk_ipv4(192, 0, 2, 1), b = bk_ipv4(192, 0, 2, 2);
    start(&t, 1, 3);
    assert_int_equal(take_all(&t, &a, 0), 3);
    assert_int_equal(take_all(&t, &b, 0), 3);
    throttle_fini(&t);
}

static void networks_are_counted_as_one(void **state) {
    (void)state;
    struct throttle t;
    uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0x12, 0x34};
    struct bk_ip a = bk_ipv4(192, 0, 2, 1), b = bk_ipv4(192, 0, 2, 200), c = bk_ipv4(192, 0, 3, 1);
    start(&t, 1000000, 2000);
    throttle_by_network(&t);
    assert_int_equal(take_all(&t, &a, 0), 2000);
    assert_int_equal(take_all(&t, &b, 0), 0);
    assert_int_equal(take_all(&t, &b, 1), 1000);
    assert_int_equal(take_all(&t, &c, 0), 2000);
    struct bk_ip d = bk_ipv6(six);
    six[7] = 0xff;
    six[15] = 1;
    struct bk_ip e = bk_ipv6(six);
    assert_int_equal(take_all(&t, &d, 0), 2000);
    assert_int_equal(take_all(&t, &e, 0), 0);
    throttle_fini(&t);
}

static void its_clock_may_run_for_years(void **state) {
    (void)state;
    struct throttle t;
    struct bk_ip who = bk_ipv4(192, 0, 2, 1);
    start(&t, 10, 5);
    for (int64_t at = 0; at < INT64_C(400000000000); at += INT64_C(777777777)) {
        assert_int_equal(take_all(&t, &who, at), 5);
        assert_int_equal(take_all(&t, &who, at + 100), 1);
    }
    throttle_fini(&t);
}

static void ipv6_counts_by_64_bits(void **state) {
    (void)state;
    struct throttle t;
    uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    struct bk_ip a = bk_ipv6(bytes), b, c;
    bytes[15] = 2;
    b = bk_ipv6(bytes);
    bytes[7] = 1;
    c = bk_ipv6(bytes);
    start(&t, 1, 3);
    assert_int_equal(take_all(&t, &a, 0), 3);
    assert_int_equal(take_all(&t, &b, 0), 0);
    assert_int_equal(take_all(&t, &c, 0), 3);
    throttle_fini(&t);
}

/* Ten thousand addresses in a table for a thousand: whoever is limited is still limited enough. */
static void a_flood_of_addresses_is_bounded(void **state) {
    (void)state;
    struct throttle t;
    unsigned taken = 0;
    start(&t, 1, 2);
    for (unsigned i = 0; i < 10000; i++) {
        struct bk_ip who = bk_ipv4(10, 0, (uint8_t)(i >> 8), (uint8_t)i);
        taken += take_all(&t, &who, 0);
    }
    assert_true(taken <= 20000);
    throttle_fini(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_counted_as_one),
        cmocka_unit_test(its_clock_may_run_for_years),
        cmocka_unit_test(a_burst_and_then_the_rate),
        cmocka_unit_test(what_was_given_back_can_be_taken_again),
        cmocka_unit_test(the_rate_changes),
        cmocka_unit_test(one_address_does_not_use_up_anothers_credit),
        cmocka_unit_test(ipv6_counts_by_64_bits),
        cmocka_unit_test(a_flood_of_addresses_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
