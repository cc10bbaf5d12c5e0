/* SPDX-License-Identifier: MIT
 * Two agents find each other: through NATs, with loss, late candidates, conflicts of role. */
#include "mini.h"

static struct mini m;
static struct bk_rng rng[2];

static void two_nats_connect_in_one_and_a_half_round_trips(void **state) {
    (void)state;
    mini_two_nats(&m, 1, rng, mini_config());
    struct bk_time start = m.now;
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    for (int i = 0; i < 2; i++) {
        int64_t valid = mini_when_us(&m, i, BK_CHECKER_PAIR_VALID, start);
        int64_t selected = mini_when_us(&m, i, BK_CHECKER_SELECTED, start);
        /* virtual time: 40 ms one way */
        assert_in_range(valid, 80000, 85000);
        assert_in_range(selected, 80000, 125000);
        assert_int_equal(mini_selected(&m, i).local.kind, BK_ICE_SRFLX);
    }
    mini_fini(&m);
}

/* RFC 8445 as written: one check per Ta, nominate after success, once. */
static void strict_agents_connect_too(void **state) {
    (void)state;
    struct bk_checker_config c = bk_checker_config_default;
    c.burst = 1;
    c.eager = c.renominate = false;
    mini_two_nats(&m, 2, rng, c);
    struct bk_time start = m.now;
    mini_run(&m, 3000);
    mini_assert_connected(&m);
    assert_int_equal(bk_checker_stats(m.side[0].ice)->nominations, 1);
    assert_in_range(mini_when_us(&m, 0, BK_CHECKER_SELECTED, start), 160000, 500000);
    mini_fini(&m);
}

static void a_lan_connects_in_three_milliseconds(void **state) {
    (void)state;
    mini_init(&m, 3);
    m.delay_us = 500;
    rng[0] = rng[1] = rng_from_seeded(&m.agent_seed);
    for (int i = 0; i < 2; i++)
        mini_agent(&m, i, &rng[i], mini_config(), i == 1);
    mini_socket(&m, 0, "10.0.0.2:5000");
    mini_socket(&m, 1, "10.0.0.3:6000");
    struct bk_time start = m.now;
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    for (int i = 0; i < 2; i++)
        assert_in_range(mini_when_us(&m, i, BK_CHECKER_SELECTED, start), 1000, 3000);
    mini_fini(&m);
}

static void ipv6_wins_where_both_families_work(void **state) {
    (void)state;
    mini_two_public(&m, 4, rng, mini_config(), true, false);
    mini_socket(&m, 0, "[2001:db8::1]:5000");
    mini_socket(&m, 1, "[2001:db8::2]:6000");
    mini_signal(&m);
    mini_run(&m, 2000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV6);
    mini_fini(&m);
}

static void link_local_addresses_work_within_their_zone(void **state) {
    (void)state;
    mini_init(&m, 5);
    rng[0] = rng[1] = rng_from_seeded(&m.agent_seed);
    for (int i = 0; i < 2; i++)
        mini_agent(&m, i, &rng[i], mini_config(), i == 0);
    mini_socket(&m, 0, "[fe80::1%7]:5000");
    mini_socket(&m, 1, "[fe80::2%7]:6000");
    m.side[0].cands[0].addr.ip.zone = 3; /* zones mean nothing on the other machine */
    m.side[1].cands[0].addr.ip.zone = 0;
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 0).remote.addr.ip.zone, 7);
    mini_fini(&m);
}

/* Side 1 sits behind a NAT that gives each destination its own port. */
static void a_symmetric_nat_is_seen_as_peer_reflexive_on_both_sides(void **state) {
    (void)state;
    mini_init(&m, 6);
    rng[0] = rng[1] = rng_from_seeded(&m.agent_seed);
    mini_nat(&m, 1, "203.0.113.1", true);
    for (int i = 0; i < 2; i++)
        mini_agent(&m, i, &rng[i], mini_config(), i == 0);
    mini_socket(&m, 0, "198.51.100.7:5000");
    mini_socket(&m, 1, "10.0.1.2:6000");
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 0).remote.kind, BK_ICE_PRFLX);
    assert_int_equal(mini_selected(&m, 1).local.kind, BK_ICE_PRFLX);
    assert_int_equal(mini_count(&m, 0, BK_CHECKER_REMOTE_PRFLX), 1);
    assert_int_equal(mini_count(&m, 1, BK_CHECKER_LOCAL_PRFLX), 1);
    mini_fini(&m);
}

/* The candidate is signalled after its checks have come: the pair stays and takes its kind. */
static void a_peer_reflexive_candidate_becomes_the_signalled_one(void **state) {
    (void)state;
    mini_two_public(&m, 7, rng, mini_config(), true, false);
    mini_signal_credentials(&m, 0);
    mini_signal_credentials(&m, 1);
    mini_signal_candidates(&m, 1); /* only side 0 knows where to send */
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    uint32_t pair = mini_selected(&m, 1).id;
    assert_int_equal(mini_selected(&m, 1).remote.kind, BK_ICE_PRFLX);
    mini_signal_candidates(&m, 0);
    assert_int_equal(mini_selected(&m, 1).id, pair);
    assert_int_equal(mini_selected(&m, 1).remote.kind, BK_ICE_HOST);
    assert_string_equal(mini_selected(&m, 1).remote.foundation, m.side[0].cands[0].foundation);
    mini_fini(&m);
}

static void equal_roles_are_repaired(void **state) {
    (void)state;
    size_t switched[2] = {0};
    for (uint64_t seed = 0; seed < 40; seed++) {
        bool both = seed % 2 == 0;
        mini_two_public(&m, seed, rng, mini_config(), both, both);
        mini_signal(&m);
        mini_run(&m, 2000);
        mini_assert_connected(&m);
        assert_true(bk_checker_is_controlling(m.side[0].ice) !=
                    bk_checker_is_controlling(m.side[1].ice));
        assert_int_equal(mini_count(&m, 0, BK_CHECKER_ROLE) + mini_count(&m, 1, BK_CHECKER_ROLE),
                         1);
        switched[mini_count(&m, 1, BK_CHECKER_ROLE)]++;
        mini_fini(&m);
    }
    assert_true(switched[0] > 5 && switched[1] > 5); /* either side gives in, by tie-breaker */
}

/* Only side 0's checks get through before the switch, so it learns from a 487 answer. */
static void role_conflict_answers_are_obeyed(void **state) {
    (void)state;
    size_t answers = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        mini_two_public(&m, seed, rng, mini_config(), true, true);
        mini_signal_credentials(&m, 0);
        mini_signal_credentials(&m, 1);
        mini_signal_candidates(&m, 1);
        mini_run(&m, 2000);
        mini_assert_connected(&m);
        answers += (size_t)bk_checker_stats(m.side[1].ice)->errors_sent;
        mini_fini(&m);
    }
    assert_true(answers > 5);
}

static void checks_before_the_credentials_are_answered_and_used(void **state) {
    (void)state;
    mini_two_nats(&m, 8, rng, mini_config());
    mini_fini(&m);
    mini_two_public(&m, 8, rng, mini_config(), true, false);
    mini_signal_credentials(&m, 1); /* side 0 can check, side 1 knows nothing yet */
    mini_signal_candidates(&m, 1);
    mini_run(&m, 8000); /* consent checks follow the nomination and must not hide it */
    assert_int_equal(bk_checker_get_state(m.side[0].ice), BK_ICE_SELECTED);
    assert_int_equal(bk_checker_get_state(m.side[1].ice), BK_ICE_IDLE);
    struct bk_time signalled = m.now;
    mini_signal_credentials(&m, 0); /* no candidates: the early check has taught the address */
    mini_run(&m, 300);
    mini_assert_connected(&m);
    assert_in_range(mini_when_us(&m, 1, BK_CHECKER_SELECTED, signalled), 80000, 81000);
    mini_fini(&m);
}

static void candidates_that_come_late_are_used_at_once(void **state) {
    (void)state;
    mini_init(&m, 9);
    rng[0] = rng[1] = rng_from_seeded(&m.agent_seed);
    mini_nat(&m, 0, "198.51.100.1", false);
    mini_nat(&m, 1, "203.0.113.1", false);
    for (int i = 0; i < 2; i++)
        mini_agent(&m, i, &rng[i], mini_config(), i == 0);
    mini_signal_credentials(&m, 0);
    mini_signal_credentials(&m, 1);
    mini_run(&m, 3000);
    assert_int_equal(bk_checker_get_state(m.side[0].ice), BK_ICE_IDLE);
    mini_socket(&m, 0, "10.0.0.2:5000");
    mini_signal_candidates(&m, 0);
    mini_run(&m, 700);
    mini_socket(&m, 1, "10.0.1.2:6000");
    struct bk_time start = m.now;
    mini_signal_candidates(&m, 1);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    for (int i = 0; i < 2; i++)
        assert_in_range(mini_when_us(&m, i, BK_CHECKER_SELECTED, start), 80000, 125000);
    mini_fini(&m);
}

static void loss_delays_but_does_not_prevent(void **state) {
    (void)state;
    static const uint32_t losses[] = {50, 300};
    for (size_t k = 0; k < 2; k++) {
        for (uint64_t seed = 0; seed < 50; seed++) {
            mini_two_nats(&m, 100 + seed, rng, mini_config());
            m.loss_permille = losses[k];
            mini_run(&m, 10000);
            for (int i = 0; i < 2; i++)
                assert_int_equal(bk_checker_get_state(m.side[i].ice), BK_ICE_SELECTED);
            mini_fini(&m);
        }
    }
}

static void nothing_works_is_said_and_retried_for_ever(void **state) {
    (void)state;
    mini_two_nats(&m, 10, rng, mini_config());
    m.loss_permille = 1000;
    mini_run(&m, 30000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bk_checker_get_state(m.side[i].ice), BK_ICE_FAILED);
        assert_int_equal(mini_count(&m, i, BK_CHECKER_STATE), 2); /* checking, failed */
    }
    size_t before = m.side[0].sent;
    mini_run(&m, 3600 * 1000);
    size_t retried = m.side[0].sent - before; /* 2 pairs, 2 tries, each minute */
    assert_in_range(retried, 200, 260);
    m.loss_permille = 0;
    mini_run(&m, 70000);
    mini_assert_connected(&m);
    mini_fini(&m);
}

static void retry_now_does_not_wait_for_the_pace(void **state) {
    (void)state;
    mini_two_nats(&m, 11, rng, mini_config());
    m.loss_permille = 1000;
    mini_run(&m, 600000);
    m.loss_permille = 0;
    bk_checker_retry(m.side[0].ice, m.now);
    bk_checker_retry(m.side[1].ice, m.now);
    mini_run(&m, 200);
    mini_assert_connected(&m);
    mini_fini(&m);
}

/* The relay answers first and is taken; the direct pair follows and takes over on both sides. */
static void a_better_pair_is_nominated_later(void **state) {
    (void)state;
    mini_two_public(&m, 12, rng, mini_config(), true, false);
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    uint32_t first = mini_selected(&m, 0).id;
    mini_socket(&m, 0, "[2001:db8::1]:5000");
    mini_socket(&m, 1, "[2001:db8::2]:6000");
    mini_forget_events(&m);
    mini_signal_candidates(&m, 0);
    mini_signal_candidates(&m, 1);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mini_selected(&m, i).remote.addr.ip.family, BK_IPV6);
        assert_int_equal(mini_count(&m, i, BK_CHECKER_SELECTED), 1);
    }
    assert_int_equal(mini_event(&m, 0, BK_CHECKER_SELECTED, 0)->previous, first);
    mini_fini(&m);
}

static void a_relayed_candidate_checks_from_the_relay(void **state) {
    (void)state;
    mini_two_public(&m, 13, rng, mini_config(), true, false);
    mini_fini(&m);
    mini_init(&m, 13);
    rng[0] = rng[1] = rng_from_seeded(&m.agent_seed);
    for (int i = 0; i < 2; i++)
        mini_agent(&m, i, &rng[i], mini_config(), i == 0);
    mini_base(&m, 0, "192.0.2.50:49152"); /* the relay's address stands for the allocation */
    mini_cand(&m, 0, BK_ICE_RELAYED, m.side[0].base[0], m.side[0].base[0]);
    mini_socket(&m, 1, "203.0.113.7:6000");
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 0).local.kind, BK_ICE_RELAYED);
    struct bk_ice_pair_info info = mini_selected(&m, 0);
    assert_true(bk_addr_equal(&info.local.base, &m.side[0].base[0]));
    mini_fini(&m);
}

static void dead_interfaces_cost_nothing(void **state) {
    (void)state;
    mini_two_nats(&m, 14, rng, mini_config());
    mini_fini(&m);
    mini_init(&m, 14);
    rng[0] = rng[1] = rng_from_seeded(&m.agent_seed);
    mini_nat(&m, 0, "198.51.100.1", false);
    mini_nat(&m, 1, "203.0.113.1", false);
    for (int i = 0; i < 2; i++)
        mini_agent(&m, i, &rng[i], mini_config(), i == 0);
    for (int i = 0; i < 2; i++) { /* three addresses that reach nobody, preferred to the real one */
        mini_socket(&m, i, i == 0 ? "192.168.1.1:5000" : "192.168.11.1:5000");
        mini_socket(&m, i, i == 0 ? "192.168.2.1:5000" : "192.168.12.1:5000");
        mini_socket(&m, i, i == 0 ? "192.168.3.1:5000" : "192.168.13.1:5000");
        m.side[i].dead[0] = m.side[i].dead[1] = m.side[i].dead[2] = true;
        mini_socket(&m, i, i == 0 ? "10.0.0.2:5000" : "10.0.1.2:5000");
    }
    struct bk_time start = m.now;
    mini_signal(&m);
    mini_run(&m, 3000);
    mini_assert_connected(&m);
    for (int i = 0; i < 2; i++) { /* 20 pairs a side, the working one last by priority */
        assert_in_range(mini_when_us(&m, i, BK_CHECKER_PAIR_VALID, start), 80000, 81000);
        assert_in_range(mini_when_us(&m, i, BK_CHECKER_SELECTED, start), 80000, 185000);
    }
    mini_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_nats_connect_in_one_and_a_half_round_trips),
        cmocka_unit_test(strict_agents_connect_too),
        cmocka_unit_test(a_lan_connects_in_three_milliseconds),
        cmocka_unit_test(ipv6_wins_where_both_families_work),
        cmocka_unit_test(link_local_addresses_work_within_their_zone),
        cmocka_unit_test(a_symmetric_nat_is_seen_as_peer_reflexive_on_both_sides),
        cmocka_unit_test(a_peer_reflexive_candidate_becomes_the_signalled_one),
        cmocka_unit_test(equal_roles_are_repaired),
        cmocka_unit_test(role_conflict_answers_are_obeyed),
        cmocka_unit_test(checks_before_the_credentials_are_answered_and_used),
        cmocka_unit_test(candidates_that_come_late_are_used_at_once),
        cmocka_unit_test(loss_delays_but_does_not_prevent),
        cmocka_unit_test(nothing_works_is_said_and_retried_for_ever),
        cmocka_unit_test(retry_now_does_not_wait_for_the_pace),
        cmocka_unit_test(a_better_pair_is_nominated_later),
        cmocka_unit_test(a_relayed_candidate_checks_from_the_relay),
        cmocka_unit_test(dead_interfaces_cost_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
