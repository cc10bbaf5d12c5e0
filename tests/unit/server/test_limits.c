/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "base/rng.h"
#include "server/limits.h"

static struct rng_seeded seed;

static void start(struct limits *l, uint32_t total, uint32_t each) {
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    assert_int_equal(limits_init(l, total, each, &rng), BK_OK);
}

static void one_address_has_a_limit_and_others_do_not_feel_it(void **state) {
    struct limits l;
    struct bk_ip a = bk_ipv4(192, 0, 2, 1), b = bk_ipv4(192, 0, 2, 2);
    (void)state;
    start(&l, 100, 2);
    assert_int_equal(limits_enter(&l, &a), LIMITS_WELCOME);
    assert_int_equal(limits_enter(&l, &a), LIMITS_WELCOME);
    assert_int_equal(limits_enter(&l, &a), LIMITS_ADDRESS);
    assert_int_equal(limits_enter(&l, &b), LIMITS_WELCOME);
    limits_leave(&l, &a);
    assert_int_equal(limits_enter(&l, &a), LIMITS_WELCOME);
    limits_fini(&l);
}

static void the_total_has_a_limit(void **state) {
    struct limits l;
    (void)state;
    start(&l, 3, 0);
    for (uint8_t i = 0; i < 4; i++) {
        struct bk_ip ip = bk_ipv4(192, 0, 2, i);
        assert_int_equal(limits_enter(&l, &ip), i < 3 ? LIMITS_WELCOME : LIMITS_TOTAL);
    }
    for (uint8_t i = 0; i < 3; i++) {
        struct bk_ip ip = bk_ipv4(192, 0, 2, i);
        limits_leave(&l, &ip);
    }
    assert_int_equal(l.total, 0);
    assert_int_equal(l.per_address.count, 0); /* nothing is remembered of who is gone */
    limits_fini(&l);
}

static void an_ipv6_customer_is_a_64(void **state) {
    struct limits l;
    struct bk_ip a, b, c;
    (void)state;
    assert_int_equal(bk_ip_parse("2001:db8:1:2::1", &a), BK_OK);
    assert_int_equal(bk_ip_parse("2001:db8:1:2:ffff::9", &b), BK_OK);
    assert_int_equal(bk_ip_parse("2001:db8:1:3::1", &c), BK_OK);
    start(&l, 100, 1);
    assert_int_equal(limits_enter(&l, &a), LIMITS_WELCOME);
    assert_int_equal(limits_enter(&l, &b), LIMITS_ADDRESS);
    assert_int_equal(limits_enter(&l, &c), LIMITS_WELCOME);
    limits_fini(&l);
}

static void relay_ports_have_descriptors(void **state) {
    (void)state;
    assert_int_equal(limits_divide(30000, 20000, 10000), 20000);
    assert_int_equal(limits_divide(19000, 20000, 0), 19000);
    assert_int_equal(limits_divide(19000, 20000, 5000), 14000);
    assert_int_equal(limits_divide(19000, 20000, 64512), 9500);
    assert_int_equal(limits_divide(19000, 100, 64512), 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_address_has_a_limit_and_others_do_not_feel_it),
        cmocka_unit_test(the_total_has_a_limit),
        cmocka_unit_test(an_ipv6_customer_is_a_64),
        cmocka_unit_test(relay_ports_have_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
