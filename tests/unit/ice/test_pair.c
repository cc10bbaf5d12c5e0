/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "ice/pair.h"

static char last_line[128];

static void keep_line(void *ctx, const char *text) {
    (void)ctx;
    strncpy(last_line, text, sizeof last_line - 1);
}

static const struct bk_trace trace = {keep_line, NULL};

/* RFC 8445 section 6.1.2.3: 2^32*MIN(G,D) + 2*MAX(G,D) + (G>D?1:0). */
static void pair_priority_follows_the_formula(void **state) {
    (void)state;
    assert_true(ice_pair_priority(1, 2) == (UINT64_C(1) << 32) + 4);
    assert_true(ice_pair_priority(2, 1) == (UINT64_C(1) << 32) + 5);
    assert_true(ice_pair_priority(7, 7) == (UINT64_C(7) << 32) + 14);
    assert_true(ice_pair_priority(UINT32_MAX, UINT32_MAX) ==
                (UINT64_C(0xffffffff) << 32) + UINT64_C(0x1fffffffe));
    struct ice_cand a = {.priority = 5}, b = {.priority = 9};
    assert_true(ice_pair_priority_of(&a, &b, true) == ice_pair_priority(5, 9));
    assert_true(ice_pair_priority_of(&a, &b, false) == ice_pair_priority(9, 5));
}

static void moves_outside_the_table_do_not_exist(void **state) {
    (void)state;
    static const char may[ICE_PAIR_STATES][ICE_PAIR_STATES + 1] = {
        /* to: F W P S X */
        "-w--x", /* from frozen */
        "--psx", /* waiting */
        "-w-sx", /* in progress */
        "----x", /* succeeded */
        "-w---", /* failed */
    };
    for (int from = 0; from < ICE_PAIR_STATES; from++) {
        for (int to = 0; to < ICE_PAIR_STATES; to++)
            assert_int_equal(ice_pair_may((enum bk_ice_pair_state)from, (enum bk_ice_pair_state)to),
                             may[from][to] != '-');
    }
}

static void a_move_sets_what_belongs_to_the_state(void **state) {
    (void)state;
    struct ice_pair p = {.id = 3, .rtt_us = -1, .started = test_at_ms(0)};
    ice_pair_move(&p, BK_ICE_PAIR_WAITING, &trace, test_at_ms(1));
    assert_string_equal(last_line, "pair 3 -> waiting");
    ice_pair_move(&p, BK_ICE_PAIR_IN_PROGRESS, &trace, test_at_ms(1));
    ice_pair_measure(&p, 41000, true);
    p.failure = BK_ICE_FAILURE_TIMEOUT;
    ice_pair_move(&p, BK_ICE_PAIR_SUCCEEDED, &trace, test_at_ms(42));
    assert_string_equal(last_line, "pair 3 -> succeeded, rtt 41.0 ms");
    assert_int_equal(p.valid_since.us, 42000);
    assert_int_equal(p.failure, BK_ICE_FAILURE_NONE);
    p.next_check = p.consent_until = test_at_ms(99);
    p.failure = BK_ICE_FAILURE_CONSENT;
    ice_pair_move(&p, BK_ICE_PAIR_FAILED, &trace, test_at_ms(50));
    assert_string_equal(last_line, "pair 3 -> failed: consent expired");
    assert_true(bk_is_never(p.next_check) && bk_is_never(p.consent_until));
    assert_true(p.was_valid);
    ice_pair_check(&p);
}

static void round_trips_are_smoothed_and_rough_ones_replaced(void **state) {
    (void)state;
    struct ice_pair p = {.rtt_us = -1};
    ice_pair_measure(&p, 300000, false); /* after a retransmission: an upper bound */
    assert_int_equal(p.rtt_us, 300000);
    ice_pair_measure(&p, 200000, false);
    assert_int_equal(p.rtt_us, 200000);
    ice_pair_measure(&p, 80000, true); /* the first exact one */
    assert_int_equal(p.rtt_us, 80000);
    ice_pair_measure(&p, 88000, true);
    assert_int_equal(p.rtt_us, 81000);
    ice_pair_measure(&p, 500000, false); /* bounds nothing */
    assert_int_equal(p.rtt_us, 81000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pair_priority_follows_the_formula),
        cmocka_unit_test(moves_outside_the_table_do_not_exist),
        cmocka_unit_test(a_move_sets_what_belongs_to_the_state),
        cmocka_unit_test(round_trips_are_smoothed_and_rough_ones_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
