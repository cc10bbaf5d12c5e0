/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "peer/targets.h"

static struct targets t;

static int setup(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    return 0;
}

static uint32_t take_all(const struct bk_ip *ip, struct bk_time now) {
    uint32_t n = 0;
    while (n < 2 * TARGETS_BUDGET && targets_take(&t, ip, now))
        n++;
    return n;
}

static void an_address_that_is_silent_has_enough_at_last(void **state) {
    (void)state;
    const struct bk_ip victim = bk_ipv4(198, 51, 100, 7), other = bk_ipv4(198, 51, 100, 8);
    struct bk_time now = test_at_ms(0);
    assert_int_equal(take_all(&victim, now), TARGETS_BUDGET);
    assert_true(targets_take(&t, &other, now));
    now = bk_after(now, 3600 * BK_US_PER_S);
    assert_in_range(take_all(&victim, now), TARGETS_PER_HOUR - 1, TARGETS_PER_HOUR + 1);
    now = bk_after(now, 1000 * 3600 * BK_US_PER_S);
    assert_int_equal(take_all(&victim, now), TARGETS_BUDGET);
}

static void an_answer_gives_everything_back(void **state) {
    (void)state;
    const struct bk_ip peer = bk_ipv4(198, 51, 100, 7);
    (void)take_all(&peer, test_at_ms(0));
    targets_proved(&t, &peer);
    assert_int_equal(take_all(&peer, test_at_ms(0)), TARGETS_BUDGET);
    const struct bk_ip stranger = bk_ipv4(198, 51, 100, 9);
    targets_proved(&t, &stranger); /* nothing is known of it, and nothing becomes known */
}

/* Slow refilling is not lost in small steps. */
static void often_asking_earns_as_much(void **state) {
    (void)state;
    const struct bk_ip ip = bk_ipv4(198, 51, 100, 7);
    struct bk_time now = test_at_ms(0);
    uint32_t got = 0;
    (void)take_all(&ip, now);
    for (int i = 0; i < 3600; i++) {
        now = bk_after(now, BK_US_PER_S);
        got += take_all(&ip, now);
    }
    assert_in_range(got, TARGETS_PER_HOUR - 2, TARGETS_PER_HOUR + 2);
}

static void the_oldest_gives_way(void **state) {
    (void)state;
    struct bk_ip first = bk_ipv4(10, 0, 0, 1);
    (void)take_all(&first, test_at_ms(0));
    for (uint8_t i = 0; i < TARGETS_MAX; i++) {
        const struct bk_ip ip = bk_ipv4(10, 0, 1, i);
        assert_true(targets_take(&t, &ip, test_at_ms(1 + i)));
    }
    assert_true(targets_take(&t, &first, test_at_ms(100))); /* forgotten */
    const struct bk_ip last = bk_ipv4(10, 0, 1, TARGETS_MAX - 1);
    assert_int_equal(take_all(&last, test_at_ms(100)), TARGETS_BUDGET - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_address_that_is_silent_has_enough_at_last, setup),
        cmocka_unit_test_setup(an_answer_gives_everything_back, setup),
        cmocka_unit_test_setup(often_asking_earns_as_much, setup),
        cmocka_unit_test_setup(the_oldest_gives_way, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
