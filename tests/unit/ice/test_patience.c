/* SPDX-License-Identifier: MIT
 * When failure is said (RFC 8863), how long more candidates are waited for (RFC 8838), and who may
 * nominate again. */
#include "mini.h"

static struct mini m;
static struct bk_rng rng[2];

static void set_up(struct bk_checker_config config) {
    mini_two_public(&m, 11, rng, config, true, false);
}

static struct bk_time first_state(int side, enum bk_ice_state state) {
    for (size_t i = 0; i < m.side[side].event_count; i++) {
        const struct bk_checker_event *e = &m.side[side].events[i];
        if (e->kind == BK_CHECKER_STATE && e->state == state)
            return m.side[side].event_at[i];
    }
    return BK_NEVER;
}

/* RFC 8863 section 4: not even with no pair left, or none at all. */
static void failure_is_not_said_before_the_patience_ends(void **state) {
    (void)state;
    for (int with_pairs = 0; with_pairs < 2; with_pairs++) {
        struct bk_checker_config config = mini_config();
        config.patience_us = 39500000;
        config.check_tries = 2;
        set_up(config);
        m.side[1].dead[0] = true;
        struct bk_time start = m.now;
        mini_signal_credentials(&m, 1);
        if (with_pairs == 1)
            mini_signal_candidates(&m, 1);
        bk_checker_end_of_local_candidates(m.side[0].ice, m.now);
        bk_checker_end_of_remote_candidates(m.side[0].ice, m.now);
        mini_run(&m, 60000);
        assert_int_equal(first_state(0, BK_ICE_FAILED).us, start.us + 39500000);
        mini_fini(&m);
    }
}

static void a_check_of_the_peers_within_the_patience_saves_the_session(void **state) {
    (void)state;
    struct bk_checker_config config = mini_config();
    config.patience_us = 39500000;
    set_up(config);
    for (int i = 0; i < 2; i++)
        mini_signal_credentials(&m, i);
    for (int i = 0; i < 2; i++) { /* side 0 is told of no candidate at all */
        bk_checker_end_of_local_candidates(m.side[i].ice, m.now);
        bk_checker_end_of_remote_candidates(m.side[i].ice, m.now);
    }
    mini_run(&m, 30000);
    mini_signal_candidates(&m, 0);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    assert_true(bk_is_never(first_state(0, BK_ICE_FAILED)));
    mini_fini(&m);
}

/* RFC 8838 section 8.1: only both ends of candidates make failure certain. */
static void half_trickle_waits_for_both_ends(void **state) {
    (void)state;
    for (int missing = 0; missing < 2; missing++) {
        set_up(mini_config());
        m.side[1].dead[0] = true;
        mini_signal_credentials(&m, 1);
        mini_signal_candidates(&m, 1);
        if (missing != 0)
            bk_checker_end_of_local_candidates(m.side[0].ice, m.now);
        if (missing != 1)
            bk_checker_end_of_remote_candidates(m.side[0].ice, m.now);
        mini_run(&m, 60000);
        assert_int_equal(bk_checker_get_state(m.side[0].ice), BK_ICE_CHECKING);
        bk_checker_end_of_local_candidates(m.side[0].ice, m.now);
        bk_checker_end_of_remote_candidates(m.side[0].ice, m.now);
        assert_int_equal(bk_checker_get_state(m.side[0].ice), BK_ICE_FAILED);
        mini_fini(&m);
    }
}

static void a_restart_starts_the_patience_anew(void **state) {
    (void)state;
    struct bk_checker_config config = mini_config();
    config.patience_us = 20000000;
    set_up(config);
    m.side[1].dead[0] = true;
    for (int round = 0; round < 2; round++) {
        struct bk_time start = m.now;
        mini_forget_events(&m);
        mini_signal(&m);
        mini_run(&m, 60000);
        assert_true(first_state(0, BK_ICE_FAILED).us >= start.us + 20000000);
        for (int i = 0; i < 2; i++)
            assert_int_equal(bk_checker_restart(m.side[i].ice, NULL, NULL, m.now), BK_OK);
    }
    mini_fini(&m);
}

/* A better pair appears after nomination. */
static void a_better_pair_comes_late(bool renominate) {
    struct bk_checker_config config = mini_config();
    config.renominate = !renominate;
    set_up(config);
    bk_checker_set_renominate(m.side[0].ice, renominate, m.now);
    mini_signal(&m);
    mini_run(&m, 2000);
    mini_assert_connected(&m);
    mini_socket(&m, 0, "[2001:db8::1]:5000");
    mini_socket(&m, 1, "[2001:db8::2]:6000");
    for (int i = 0; i < 2; i++)
        mini_signal_candidates(&m, i);
    mini_run(&m, 5000);
    mini_assert_connected(&m);
}

static void renomination_is_switched_on_and_off(void **state) {
    (void)state;
    a_better_pair_comes_late(true);
    assert_int_equal(mini_selected(&m, 1).remote.addr.ip.family, BK_IPV6);
    mini_fini(&m);
    a_better_pair_comes_late(false); /* RFC 8445 section 8.1.1: once */
    assert_int_equal(mini_selected(&m, 1).remote.addr.ip.family, BK_IPV4);
    mini_fini(&m);
}

/* The switch is the controlling side's; the controlled one follows whatever comes. */
static void a_peer_that_renominates_anyway_is_followed(void **state) {
    (void)state;
    struct bk_checker_config config = mini_config();
    set_up(config);
    bk_checker_set_renominate(m.side[1].ice, false, m.now);
    mini_signal(&m);
    mini_run(&m, 2000);
    mini_socket(&m, 0, "[2001:db8::1]:5000");
    mini_socket(&m, 1, "[2001:db8::2]:6000");
    for (int i = 0; i < 2; i++)
        mini_signal_candidates(&m, i);
    mini_run(&m, 5000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 1).remote.addr.ip.family, BK_IPV6);
    mini_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_is_not_said_before_the_patience_ends),
        cmocka_unit_test(a_check_of_the_peers_within_the_patience_saves_the_session),
        cmocka_unit_test(half_trickle_waits_for_both_ends),
        cmocka_unit_test(a_restart_starts_the_patience_anew),
        cmocka_unit_test(renomination_is_switched_on_and_off),
        cmocka_unit_test(a_peer_that_renominates_anyway_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
