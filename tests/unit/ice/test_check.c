/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "base/rng.h"
#include "ice/check.h"

static struct ice_check slots[3];
static struct ice_checks checks;
static struct rng_seeded seed;
static struct bk_rng rng;

static int fresh(void **state) {
    (void)state;
    memset(slots, 0, sizeof slots);
    ice_checks_init(&checks, slots, 3);
    rng_seed(&seed, 7);
    rng = rng_from_seeded(&seed);
    return 0;
}

static struct ice_check *begin(uint8_t tries, int64_t gap_max_ms, int64_t at_ms) {
    struct ice_check_plan plan = {.tries = tries,
                                  .gap_max_us = (uint32_t)(gap_max_ms * 1000),
                                  .rto_us = 100000,
                                  .wait_us = 1600000};
    return ice_checks_start(&checks, &plan, &rng, test_at_ms(at_ms));
}

/* When each send happens and when it is given up, driven by the deadline alone. */
static void run_schedule(struct ice_check *c, const int64_t *want_ms, size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(c->deadline.us, want_ms[i] * 1000);
        struct bk_time early = {c->deadline.us - 1};
        assert_int_equal(ice_check_advance(&checks, c, early), ICE_CHECK_QUIET);
        enum ice_check_turn turn = ice_check_advance(&checks, c, c->deadline);
        assert_int_equal(turn, i + 1 < count ? ICE_CHECK_RESENT : ICE_CHECK_ENDED);
    }
}

static void gaps_double_and_the_last_wait_follows(void **state) {
    (void)state;
    static const int64_t want[] = {100, 300, 700, 1500, 3100, 6300, 7900};
    run_schedule(begin(7, 0, 0), want, 7); /* RFC 8489 section 6.2.1 with RTO 100 ms */
}

static void probes_keep_a_constant_gap(void **state) {
    (void)state;
    static const int64_t want[] = {100, 200, 1800};
    run_schedule(begin(3, 100, 0), want, 3);
}

static void a_gap_grows_to_its_limit(void **state) {
    (void)state;
    static const int64_t want[] = {100, 300, 500, 700, 2300};
    run_schedule(begin(5, 200, 0), want, 5);
}

static void checks_leave_in_the_order_they_were_wanted(void **state) {
    (void)state;
    struct ice_check *a = begin(7, 0, 0), *b = begin(7, 0, 0);
    assert_ptr_equal(ice_checks_take_send(&checks), a);
    assert_int_equal(ice_check_advance(&checks, a, test_at_ms(100)), ICE_CHECK_RESENT);
    assert_ptr_equal(ice_checks_take_send(&checks), b);
    assert_ptr_equal(ice_checks_take_send(&checks), a);
    assert_null(ice_checks_take_send(&checks));
    ice_checks_check(&checks);
}

static void a_cancelled_check_only_listens(void **state) {
    (void)state;
    struct ice_check *a = begin(7, 0, 0);
    uint8_t txid[STUN_TXID_LEN];
    memcpy(txid, a->txid, sizeof txid);
    ice_check_cancel(&checks, a, test_at_ms(4));
    assert_null(ice_checks_take_send(&checks));
    assert_ptr_equal(ice_checks_find(&checks, txid), a);
    assert_null(ice_checks_active(&checks, 0, ICE_CHECK_CONNECT));
    assert_int_equal(ice_check_advance(&checks, a, test_at_ms(20000)), ICE_CHECK_QUIET);
    assert_null(ice_checks_find(&checks, txid));
    ice_checks_check(&checks);
}

static void a_listening_slot_is_reused_an_active_one_is_not(void **state) {
    (void)state;
    struct ice_check *a = begin(7, 0, 0), *b = begin(7, 0, 1), *c = begin(7, 0, 2);
    assert_non_null(c);
    assert_null(begin(7, 0, 3));
    ice_check_cancel(&checks, b, test_at_ms(3));
    ice_check_cancel(&checks, a, test_at_ms(4));
    assert_ptr_equal(begin(7, 0, 4), a); /* the one that ends first */
    assert_ptr_equal(begin(7, 0, 5), b);
    assert_null(begin(7, 0, 6));
    ice_checks_check(&checks);
    ice_checks_drop_pair(&checks, 0);
    assert_int_equal(ice_checks_count(&checks, ICE_CHECK_FREE), 3);
    assert_true(bk_is_never(ice_checks_deadline(&checks)));
    ice_checks_check(&checks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(gaps_double_and_the_last_wait_follows, fresh),
        cmocka_unit_test_setup(probes_keep_a_constant_gap, fresh),
        cmocka_unit_test_setup(a_gap_grows_to_its_limit, fresh),
        cmocka_unit_test_setup(checks_leave_in_the_order_they_were_wanted, fresh),
        cmocka_unit_test_setup(a_cancelled_check_only_listens, fresh),
        cmocka_unit_test_setup(a_listening_slot_is_reused_an_active_one_is_not, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
