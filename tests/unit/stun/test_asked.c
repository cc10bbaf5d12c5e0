/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "base/rng.h"
#include "stun/asked.h"

static struct rng_seeded seed;

static void start(struct asked *a, uint32_t entries) {
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    assert_int_equal(asked_init(a, entries, &rng, &test_alloc), BK_OK);
}

static struct bk_addr from(uint32_t n) {
    return bk_addr(bk_ipv4(192, 0, (uint8_t)(n >> 8), (uint8_t)n), (uint16_t)(n + 1));
}

static void only_who_asked_has_asked(void **state) {
    (void)state;
    struct asked a;
    struct bk_addr who = from(1), port = who, ip = who, v6 = who;
    port.port++;
    ip.ip.bytes[3]++;
    v6.ip.family = BK_IPV6;
    start(&a, 1024);
    assert_false(asked_lately(&a, &who, BK_US_PER_S, test_at_ms(0)));
    asked_note(&a, &who, test_at_ms(0));
    assert_true(asked_lately(&a, &who, BK_US_PER_S, test_at_ms(0)));
    assert_false(asked_lately(&a, &port, BK_US_PER_S, test_at_ms(0)));
    assert_false(asked_lately(&a, &ip, BK_US_PER_S, test_at_ms(0)));
    assert_false(asked_lately(&a, &v6, BK_US_PER_S, test_at_ms(0)));
    asked_fini(&a);
}

static void an_asker_is_forgotten_in_time(void **state) {
    (void)state;
    struct asked a;
    struct bk_addr who = from(1);
    start(&a, 1024);
    asked_note(&a, &who, test_at_ms(500));
    assert_true(asked_lately(&a, &who, 60 * BK_US_PER_S, test_at_ms(60000)));
    assert_false(asked_lately(&a, &who, 60 * BK_US_PER_S, test_at_ms(62000)));
    asked_note(&a, &who, test_at_ms(62000));
    assert_true(asked_lately(&a, &who, 60 * BK_US_PER_S, test_at_ms(120000)));
    asked_fini(&a);
}

/* A million strangers cost no memory, and push out the oldest, not the newest. */
static void a_flood_is_bounded_and_the_newest_are_kept(void **state) {
    (void)state;
    enum { ENTRIES = 1024, FLOOD = 20000, LAST = 256 };
    struct asked a;
    size_t kept = 0, old = 0;
    start(&a, ENTRIES);
    for (uint32_t i = 0; i < FLOOD; i++) {
        struct bk_addr who = from(i);
        asked_note(&a, &who, test_at_ms(1000 * (int64_t)i));
    }
    for (uint32_t i = 0; i < FLOOD; i++) {
        struct bk_addr who = from(i);
        bool there = asked_lately(&a, &who, INT64_C(1000000) * BK_US_PER_S, test_at_ms(0));
        kept += there && i >= FLOOD - LAST;
        old += there && i < FLOOD - 4 * ENTRIES;
    }
    assert_true(kept > LAST * 95 / 100);
    assert_int_equal(old, 0);
    asked_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_who_asked_has_asked),
        cmocka_unit_test(an_asker_is_forgotten_in_time),
        cmocka_unit_test(a_flood_is_bounded_and_the_newest_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
