/* SPDX-License-Identifier: MIT
 * Lite agents, RFC 8445 sections 2.5, 6.1.1, 7.3.2, 8.2; consent of RFC 7675. */
#include "mini.h"

static struct mini m;
static struct bk_rng rng[2];

/* Agent 0 is `first_lite`, agent 1 lite; the first says it controls, the second what `claims`. */
static void set_up(bool first_lite, bool claims, uint16_t components) {
    mini_init(&m, 5);
    for (int i = 0; i < 2; i++) {
        struct bk_checker_config config = mini_config();
        config.lite = i == 1 || first_lite;
        config.components = components;
        rng[i] = rng_from_seeded(&m.agent_seed);
        mini_agent(&m, i, &rng[i], config, i == 0 || claims);
        for (uint16_t c = 1; c <= components; c++) {
            char text[32];
            (void)snprintf(text, sizeof text, "192.0.2.%d:%d", i + 1, 5000 + c);
            mini_socket_of(&m, i, text, 0, c);
        }
    }
}

static void full_controls_lite(void **state) {
    (void)state;
    for (int claims = 0; claims < 2; claims++) {
        set_up(false, claims == 1, 2);
        assert_false(bk_checker_is_controlling(m.side[1].ice)); /* section 6.1.1 */
        bk_checker_set_remote_lite(m.side[0].ice, true, m.now);
        mini_signal(&m);
        struct bk_time start = m.now;
        mini_run(&m, 2000);
        mini_assert_connected(&m);
        assert_true(bk_checker_is_controlling(m.side[0].ice));
        assert_int_equal(bk_checker_stats(m.side[1].ice)->requests_sent, 0);
        assert_int_equal(bk_checker_stats(m.side[1].ice)->role_switches, 0);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(bk_checker_stream_state(m.side[i].ice, 0), BK_ICE_SELECTED);
            assert_in_range(mini_when_us(&m, i, BK_CHECKER_SELECTED, start), 1, 250000);
        }
        mini_run(&m, 120000); /* consent, by the full one's checks */
        mini_assert_connected(&m);
        mini_fini(&m);
    }
}

/* A full agent that thought it was controlled is told by 487, whatever the tie-breakers. */
static void a_controlled_peer_is_turned_round(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        mini_init(&m, seed);
        for (int i = 0; i < 2; i++) {
            struct bk_checker_config config = mini_config();
            config.lite = i == 1;
            rng[i] = rng_from_seeded(&m.agent_seed);
            mini_agent(&m, i, &rng[i], config, false);
            mini_socket(&m, i, i == 0 ? "192.0.2.1:5000" : "192.0.2.2:5000");
        }
        mini_signal(&m);
        mini_run(&m, 3000);
        mini_assert_connected(&m);
        assert_true(bk_checker_is_controlling(m.side[0].ice));
        assert_false(bk_checker_is_controlling(m.side[1].ice));
        mini_fini(&m);
    }
}

static void a_lite_agent_sends_nothing_by_itself(void **state) {
    (void)state;
    set_up(false, false, 1);
    struct bk_checker *lite = m.side[1].ice;
    mini_signal_credentials(&m, 0);
    mini_signal_candidates(&m, 0);
    struct bk_datagram d;
    for (int i = 0; i < 100; i++) {
        m.now = bk_after(m.now, 1000000);
        bk_checker_advance(lite, m.now);
        assert_false(bk_checker_next_datagram(lite, &d));
        assert_int_equal(bk_checker_probe(lite, m.now), 0);
        bk_checker_retry(lite, m.now);
    }
    assert_int_equal(bk_checker_test_mtu(lite, m.now), BK_ERR_STATE);
    assert_true(bk_is_never(bk_checker_deadline(lite)));
    mini_fini(&m);
}

/* RFC 8445 section 5.2. */
static void only_host_candidates_are_taken(void **state) {
    (void)state;
    set_up(false, false, 1);
    struct bk_ice_candidate c = {.kind = BK_ICE_SRFLX,
                                 .addr = mini_addr("198.51.100.1:5"),
                                 .base = mini_addr("192.0.2.2:5001")};
    assert_int_equal(bk_checker_add_local_candidate(m.side[1].ice, &c, m.now, NULL),
                     BK_ERR_ARGUMENT);
    c.kind = BK_ICE_RELAYED;
    assert_int_equal(bk_checker_add_local_candidate(m.side[1].ice, &c, m.now, NULL),
                     BK_ERR_ARGUMENT);
    c.kind = BK_ICE_HOST;
    c.base = c.addr;
    c.transport = BK_ICE_TCP_ACTIVE;
    assert_int_equal(bk_checker_add_local_candidate(m.side[1].ice, &c, m.now, NULL),
                     BK_ERR_ARGUMENT);
    c.transport = BK_ICE_TCP_PASSIVE;
    assert_int_equal(bk_checker_add_local_candidate(m.side[1].ice, &c, m.now, NULL), BK_OK);
    mini_fini(&m);
}

/* RFC 8445 section 8.2: no checks, the pair of highest priority; section 6.1.1: the initiator
 * controls. */
static void two_lite_agents_take_the_best_pair_on_trust(void **state) {
    (void)state;
    set_up(true, false, 2);
    for (int i = 0; i < 2; i++) {
        char text[40];
        (void)snprintf(text, sizeof text, "[2001:db8::%d]:5001", i + 1);
        mini_socket_of(&m, i, text, 0, 1);
    }
    for (int i = 0; i < 2; i++)
        bk_checker_set_remote_lite(m.side[i].ice, true, m.now);
    mini_signal(&m);
    mini_run(&m, 100000);
    mini_assert_connected(&m);
    assert_true(bk_checker_is_controlling(m.side[0].ice));
    assert_false(bk_checker_is_controlling(m.side[1].ice));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m.side[i].sent, 0);
        assert_int_equal(mini_selected(&m, i).remote.addr.ip.family, BK_IPV6);
        struct bk_ice_pair_info info = {.size = sizeof info};
        assert_int_equal(bk_checker_selected_of(m.side[i].ice, 0, 2, &info), BK_OK);
    }
    mini_fini(&m);
}

/* RFC 7675 section 5.1: the peer's signed checks are all a lite agent has to go by. */
static void consent_of_a_lite_agent_ends_with_the_peers_checks(void **state) {
    (void)state;
    set_up(false, false, 1);
    bk_checker_set_remote_lite(m.side[0].ice, true, m.now);
    mini_signal(&m);
    mini_run(&m, 10000);
    mini_assert_connected(&m);
    m.side[0].dead[0] = true;
    mini_forget_events(&m);
    struct bk_time since = m.now;
    mini_run(&m, 40000);
    assert_in_range(mini_when_us(&m, 1, BK_CHECKER_PAIR_DIED, since), 24000000, 31000000);
    assert_int_equal(bk_checker_get_state(m.side[1].ice), BK_ICE_FAILED);
    m.side[0].dead[0] = false;
    mini_run(&m, 70000);
    mini_assert_connected(&m);
    mini_fini(&m);
}

static void a_restart_with_a_lite_agent(void **state) {
    (void)state;
    set_up(false, false, 2);
    bk_checker_set_remote_lite(m.side[0].ice, true, m.now);
    mini_signal(&m);
    mini_run(&m, 2000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(bk_checker_restart(m.side[i].ice, NULL, NULL, m.now), BK_OK);
    mini_run(&m, 1000);
    for (int i = 0; i < 2; i++)
        assert_true(mini_selected(&m, i).old);
    mini_signal(&m);
    mini_run(&m, 2000);
    mini_assert_connected(&m);
    for (int i = 0; i < 2; i++)
        assert_false(mini_selected(&m, i).old);
    mini_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_controls_lite),
        cmocka_unit_test(a_controlled_peer_is_turned_round),
        cmocka_unit_test(a_lite_agent_sends_nothing_by_itself),
        cmocka_unit_test(only_host_candidates_are_taken),
        cmocka_unit_test(two_lite_agents_take_the_best_pair_on_trust),
        cmocka_unit_test(consent_of_a_lite_agent_ends_with_the_peers_checks),
        cmocka_unit_test(a_restart_with_a_lite_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
