/* SPDX-License-Identifier: MIT
 * Two connected agents keep, lose and regain their paths: consent, probes, deaths, restarts. */
#include "mini.h"

static struct mini m;
static struct bk_rng rng[2];

static void connect_two_nats(uint64_t seed, struct bk_checker_config config) {
    mini_two_nats(&m, seed, rng, config);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    mini_forget_events(&m);
}

/* Two paths between public hosts: IPv6 (preferred, socket 1) and IPv4 (socket 0). */
static void connect_dual_stack(uint64_t seed, struct bk_checker_config config) {
    mini_two_public(&m, seed, rng, config, true, false);
    mini_socket(&m, 0, "[2001:db8::1]:5000");
    mini_socket(&m, 1, "[2001:db8::2]:6000");
    mini_signal(&m);
    mini_run(&m, 3000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV6);
    mini_forget_events(&m);
}

static void consent_checks_keep_the_rfc_pace(void **state) {
    (void)state;
    connect_two_nats(1, mini_config());
    uint64_t before = bk_checker_stats(m.side[0].ice)->requests_sent;
    mini_run(&m, 1000 * 1000);
    uint64_t checks = bk_checker_stats(m.side[0].ice)->requests_sent - before;
    /* every 4 to 6 s on the selected pair; the dead host pair is retried once a minute, twice */
    assert_in_range(checks, 1000 / 6 + 2 * 15, 1000 / 4 + 2 * 25);
    mini_assert_connected(&m);
    mini_fini(&m);
}

static void consent_expires_thirty_seconds_after_the_last_answer(void **state) {
    (void)state;
    connect_two_nats(2, mini_config());
    mini_run(&m, 20000);
    struct bk_ice_pair_info info = mini_selected(&m, 0);
    m.loss_permille = 1000;
    mini_run(&m, 40000);
    for (int i = 0; i < 2; i++) {
        const struct bk_checker_event *died = mini_event(&m, i, BK_CHECKER_PAIR_DIED, 0);
        assert_non_null(died);
        assert_int_equal(died->failure, BK_ICE_FAILURE_CONSENT);
        assert_int_equal(bk_checker_get_state(m.side[i].ice), BK_ICE_FAILED);
        const struct bk_checker_event *none = mini_event(&m, i, BK_CHECKER_SELECTED, 0);
        assert_int_equal(none->pair, 0);
    }
    int64_t when = mini_when_us(&m, 0, BK_CHECKER_PAIR_DIED, info.answered_at);
    assert_in_range(when, 30000000, 30100000);
    mini_fini(&m);
}

/* Side 0 hears the peer's checks all the time, but its own get no answer: no consent. */
static bool blocks_answers(const struct bk_addr *from, const struct bk_addr *to) {
    (void)to;
    return from->port == 5000;
}

static void checks_from_the_peer_are_no_consent(void **state) {
    (void)state;
    connect_two_nats(3, mini_config());
    m.blocked = blocks_answers;
    mini_run(&m, 40000);
    assert_non_null(mini_event(&m, 0, BK_CHECKER_PAIR_DIED, 0));
    struct bk_ice_pair_info info = {.size = sizeof info};
    const struct bk_checker_event *died = mini_event(&m, 0, BK_CHECKER_PAIR_DIED, 0);
    assert_int_equal(bk_checker_pair(m.side[0].ice, died->pair, &info), BK_OK);
    assert_true(info.heard_at.us > m.now.us - 10000000);
    mini_fini(&m);
}

static void a_probe_measures_a_living_pair(void **state) {
    (void)state;
    connect_two_nats(4, mini_config());
    assert_int_equal(bk_checker_probe(m.side[0].ice, m.now), 1);
    assert_int_equal(bk_checker_probe(m.side[0].ice, m.now), 1); /* not started twice */
    mini_run(&m, 200);
    assert_int_equal(mini_count(&m, 0, BK_CHECKER_PROBE_ALIVE), 1);
    const struct bk_checker_event *alive = mini_event(&m, 0, BK_CHECKER_PROBE_ALIVE, 0);
    assert_int_equal(alive->rtt_us, 80000);
    assert_int_equal(alive->pair, mini_selected(&m, 0).id);
    mini_fini(&m);
}

/* Three tries, 1.5 round trips apart: 360 ms; and the other path takes over by itself. */
static void a_probe_finds_a_dead_pair_and_the_next_best_takes_over(void **state) {
    (void)state;
    connect_dual_stack(5, mini_config());
    uint32_t dead = mini_selected(&m, 0).id;
    m.side[0].dead[1] = true;
    struct bk_time start = m.now;
    assert_int_equal(bk_checker_probe(m.side[0].ice, m.now), 2);
    mini_run(&m, 500);
    assert_int_equal(mini_count(&m, 0, BK_CHECKER_PROBE_ALIVE), 1);
    assert_int_equal(mini_event(&m, 0, BK_CHECKER_PROBE_DEAD, 0)->pair, dead);
    assert_int_equal(mini_event(&m, 0, BK_CHECKER_PAIR_DIED, 0)->failure, BK_ICE_FAILURE_PROBE);
    assert_in_range(mini_when_us(&m, 0, BK_CHECKER_SELECTED, start), 350000, 370000);
    mini_run(&m, 500);
    mini_assert_connected(&m); /* side 1 was told by a new nomination, without a probe of its own */
    assert_int_equal(mini_selected(&m, 1).remote.addr.ip.family, BK_IPV4);
    mini_fini(&m);
}

static void the_controlled_side_falls_back_by_itself(void **state) {
    (void)state;
    connect_dual_stack(6, mini_config());
    m.side[1].dead[1] = true;
    (void)bk_checker_probe(m.side[1].ice, m.now);
    mini_run(&m, 400);
    assert_int_equal(mini_selected(&m, 1).remote.addr.ip.family, BK_IPV4);
    assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV6); /* not noticed yet */
    mini_fini(&m);
}

static void a_path_that_comes_back_gets_its_place_back(void **state) {
    (void)state;
    for (int cut = 0; cut < 2; cut++) { /* seen first by the controlling, the controlled side */
        connect_dual_stack(7, mini_config());
        uint32_t direct = mini_selected(&m, 0).id;
        m.side[0].dead[1] = true;
        (void)bk_checker_probe(m.side[cut].ice, m.now);
        mini_run(&m, 60000);
        mini_assert_connected(&m);
        assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV4);
        m.side[0].dead[1] = false;
        mini_run(&m, 61000);
        mini_assert_connected(&m);
        assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV6);
        assert_int_equal(mini_selected(&m, 0).id, direct);
        mini_fini(&m);
    }
}

static void retries_of_a_dead_pair_slow_down(void **state) {
    (void)state;
    connect_dual_stack(8, mini_config());
    mini_run(&m, 15000); /* lived long: the pace starts at one second */
    uint32_t direct = mini_selected(&m, 0).id;
    m.side[0].dead[1] = true;
    (void)bk_checker_probe(m.side[0].ice, m.now);
    mini_run(&m, 1000);
    struct bk_ice_pair_info a = {.size = sizeof a}, b = a, c = a;
    assert_int_equal(bk_checker_pair(m.side[0].ice, direct, &a), BK_OK);
    mini_run(&m, 10000);
    assert_int_equal(bk_checker_pair(m.side[0].ice, direct, &b), BK_OK);
    assert_int_equal(b.checks_sent - a.checks_sent, 6); /* after 1, 2, 5 s; 2 tries each */
    mini_run(&m, 20 * 60000);
    assert_int_equal(bk_checker_pair(m.side[0].ice, direct, &c), BK_OK);
    assert_in_range(c.checks_sent - b.checks_sent, 38, 42); /* 20 minutes, one a minute */
    assert_int_equal(c.state, BK_ICE_PAIR_FAILED);
    mini_fini(&m);
}

static void a_flapping_pair_is_not_trusted_at_once(void **state) {
    (void)state;
    connect_dual_stack(9, mini_config());
    for (int k = 0; k < 4; k++) {
        m.side[0].dead[1] = true;
        (void)bk_checker_probe(m.side[0].ice, m.now);
        (void)bk_checker_probe(m.side[1].ice, m.now);
        mini_run(&m, 500);
        m.side[0].dead[1] = false;
        bk_checker_retry(m.side[0].ice, m.now);
        mini_run(&m, 1500); /* alive again, but held back after the second death */
    }
    assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV4);
    assert_in_range(mini_count(&m, 0, BK_CHECKER_SELECTED), 3, 4);
    mini_run(&m, 70000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV6);
    mini_fini(&m);
}

static void a_lost_local_address_moves_the_selection_at_once(void **state) {
    (void)state;
    connect_dual_stack(10, mini_config());
    struct bk_addr gone = m.side[0].base[1];
    assert_int_equal(bk_checker_remove_local(m.side[0].ice, &gone, m.now), BK_OK);
    assert_int_equal(bk_checker_remove_local(m.side[0].ice, &gone, m.now), BK_ERR_NOT_FOUND);
    assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV4);
    mini_run(&m, 200);
    mini_assert_connected(&m);
    assert_int_equal(mini_event(&m, 0, BK_CHECKER_PAIR_DIED, 0)->failure, BK_ICE_FAILURE_REMOVED);
    mini_fini(&m);
}

/* The peer moves to another address (roaming): its checks come as peer reflexive, and win once the
 * old path is found dead. */
static void a_peer_that_roams_is_followed(void **state) {
    (void)state;
    mini_two_public(&m, 11, rng, mini_config(), true, false);
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_forget_events(&m);
    struct bk_addr before = m.side[1].base[0];
    mini_base(&m, 1, "203.0.113.99:7000");
    m.side[1].dead[0] = true;
    mini_cand(&m, 1, BK_ICE_HOST, m.side[1].base[1], m.side[1].base[1]);
    assert_int_equal(bk_checker_remove_local(m.side[1].ice, &before, m.now), BK_OK);
    (void)bk_checker_probe(m.side[0].ice, m.now);
    struct bk_time start = m.now;
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 0).remote.addr.port, 7000);
    assert_in_range(mini_when_us(&m, 1, BK_CHECKER_PAIR_VALID, start), 80000, 90000);
    mini_fini(&m);
}

/* Its NAT forgot everything and is somebody else outside now; the sockets are the same. */
static void the_controlled_side_follows_the_other_through_a_new_mapping(void **state) {
    (void)state;
    mini_init(&m, 21);
    rng[0] = rng[1] = rng_from_seeded(&m.agent_seed);
    mini_nat(&m, 0, "198.51.100.1", false);
    for (int i = 0; i < 2; i++)
        mini_agent(&m, i, &rng[i], mini_config(), i == 0);
    mini_socket(&m, 0, "10.0.0.2:5000");
    mini_socket(&m, 1, "203.0.113.7:6000");
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    struct bk_addr before = mini_selected(&m, 1).remote.addr;
    m.side[0].nat.mapping_count = m.side[0].nat.filter_count = 0;
    mini_nat(&m, 0, "198.51.100.2", false);
    struct bk_time start = m.now;
    mini_forget_events(&m);
    (void)bk_checker_probe(m.side[0].ice, m.now);
    mini_run(&m, 1000);
    struct bk_addr after = mini_selected(&m, 1).remote.addr;
    assert_false(bk_ip_equal(&before.ip, &after.ip));
    mini_assert_connected(&m);
    /* there with the check, and back with the answer to the triggered one */
    assert_in_range(mini_when_us(&m, 1, BK_CHECKER_SELECTED, start), 120000, 130000);
    assert_int_equal(mini_count(&m, 0, BK_CHECKER_SELECTED), 0);
    mini_fini(&m);
}

static void a_restart_replaces_the_pair_without_a_gap(void **state) {
    (void)state;
    connect_two_nats(12, mini_config());
    uint32_t old = mini_selected(&m, 0).id;
    char ufrag[64];
    strcpy(ufrag, bk_checker_ufrag(m.side[0].ice));
    for (int i = 0; i < 2; i++)
        assert_int_equal(bk_checker_restart(m.side[i].ice, NULL, NULL, m.now), BK_OK);
    assert_string_not_equal(ufrag, bk_checker_ufrag(m.side[0].ice));
    mini_run(&m, 10000); /* signalling takes long: the old pair stays, consent goes on */
    for (int i = 0; i < 2; i++) {
        struct bk_ice_pair_info info = mini_selected(&m, i);
        assert_true(info.old && info.selected);
        assert_true(bk_elapsed_us(info.answered_at, m.now) < 7000000);
    }
    assert_int_equal(mini_selected(&m, 0).id, old);
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    for (int i = 0; i < 2; i++) {
        assert_false(mini_selected(&m, i).old);
        assert_int_equal(mini_count(&m, i, BK_CHECKER_PAIR_DIED), 0);
        assert_int_equal(mini_count(&m, i, BK_CHECKER_SELECTED), 1);
    }
    mini_fini(&m);
}

static void one_side_restarts_and_the_other_follows_later(void **state) {
    (void)state;
    connect_two_nats(13, mini_config());
    assert_int_equal(bk_checker_restart(m.side[0].ice, NULL, NULL, m.now), BK_OK);
    mini_run(&m, 5000);
    struct bk_checker *b = m.side[1].ice;
    assert_int_equal(bk_checker_set_remote_credentials(b, bk_checker_ufrag(m.side[0].ice),
                                                       bk_checker_pwd(m.side[0].ice), m.now),
                     BK_ERR_STATE);
    assert_int_equal(bk_checker_restart(b, NULL, NULL, m.now), BK_OK);
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    assert_false(mini_selected(&m, 0).old);
    mini_fini(&m);
}

/* The other side does not know yet, and its new socket checks under our old user name. An answer
 * would have it believe in a path that no generation of ours has. */
static void a_new_path_under_old_credentials_is_not_answered(void **state) {
    (void)state;
    mini_two_public(&m, 19, rng, mini_config(), true, false);
    mini_signal(&m);
    mini_run(&m, 1000);
    assert_int_equal(bk_checker_restart(m.side[0].ice, NULL, NULL, m.now), BK_OK);
    mini_socket(&m, 1, "203.0.113.8:7000");
    mini_run(&m, 3000);
    assert_true(bk_checker_stats(m.side[0].ice)->stale_ufrag > 0);
    struct bk_ice_pair_info pair = {.size = sizeof pair};
    for (size_t i = 0; bk_checker_pair_at(m.side[1].ice, i, &pair) == BK_OK; i++)
        assert_true(pair.state != BK_ICE_PAIR_SUCCEEDED || pair.selected);
    mini_assert_connected(&m);
    mini_fini(&m);
}

static void a_second_restart_keeps_what_works(void **state) {
    (void)state;
    connect_two_nats(14, mini_config());
    uint32_t works = mini_selected(&m, 0).id;
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 2; i++)
            assert_int_equal(bk_checker_restart(m.side[i].ice, NULL, NULL, m.now), BK_OK);
        mini_run(&m, 7000);
    }
    assert_int_equal(mini_selected(&m, 0).id, works);
    assert_int_equal(mini_selected(&m, 1).selected, true);
    mini_signal(&m);
    mini_run(&m, 1000);
    mini_assert_connected(&m);
    mini_fini(&m);
}

static void an_old_pair_that_dies_during_a_restart_is_reported(void **state) {
    (void)state;
    connect_two_nats(15, mini_config());
    assert_int_equal(bk_checker_restart(m.side[0].ice, NULL, NULL, m.now), BK_OK);
    m.loss_permille = 1000;
    mini_run(&m, 40000);
    assert_int_equal(mini_count(&m, 0, BK_CHECKER_PAIR_DIED), 1);
    assert_int_equal(bk_checker_get_state(m.side[0].ice), BK_ICE_IDLE);
    assert_int_equal(bk_checker_pairs(m.side[0].ice), 0);
    mini_fini(&m);
}

static void the_mtu_test_finds_the_largest_datagram(void **state) {
    (void)state;
    static const struct {
        size_t mtu;
        uint16_t found;
    } cases[] = {{0, 1472}, {1472, 1472}, {1471, 1452}, {1400, 1392}, {1200, 1200}, {1199, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        connect_two_nats(16, mini_config());
        m.mtu = cases[i].mtu;
        assert_int_equal(bk_checker_test_mtu(m.side[0].ice, m.now), BK_OK);
        assert_int_equal(bk_checker_test_mtu(m.side[0].ice, m.now), BK_ERR_STATE);
        mini_run(&m, 1000);
        assert_int_equal(mini_count(&m, 0, BK_CHECKER_MTU), 1);
        assert_int_equal(mini_event(&m, 0, BK_CHECKER_MTU, 0)->mtu, cases[i].found);
        assert_int_equal(mini_selected(&m, 0).mtu, cases[i].found);
        mini_fini(&m);
    }
}

static void the_mtu_test_ends_when_its_pair_dies(void **state) {
    (void)state;
    connect_two_nats(17, mini_config());
    m.loss_permille = 1000;
    assert_int_equal(bk_checker_test_mtu(m.side[0].ice, m.now), BK_OK);
    (void)bk_checker_probe(m.side[0].ice, m.now);
    mini_run(&m, 1000);
    assert_int_equal(mini_event(&m, 0, BK_CHECKER_MTU, 0)->mtu, 0);
    assert_int_equal(bk_checker_test_mtu(m.side[0].ice, m.now), BK_ERR_STATE);
    mini_fini(&m);
}

static void other_valid_pairs_are_kept_warm(void **state) {
    (void)state;
    connect_dual_stack(18, mini_config());
    struct bk_addr local = m.side[0].base[0], remote = m.side[1].base[0];
    struct bk_ice_pair_info a = {.size = sizeof a}, b = a;
    assert_int_equal(bk_checker_find_pair(m.side[0].ice, &local, &remote, &a), BK_OK);
    mini_run(&m, 150000);
    assert_int_equal(bk_checker_find_pair(m.side[0].ice, &local, &remote, &b), BK_OK);
    assert_in_range(b.checks_sent - a.checks_sent, 8, 13); /* every 12 to 18 s */
    assert_int_equal(b.state, BK_ICE_PAIR_SUCCEEDED);
    mini_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consent_checks_keep_the_rfc_pace),
        cmocka_unit_test(consent_expires_thirty_seconds_after_the_last_answer),
        cmocka_unit_test(checks_from_the_peer_are_no_consent),
        cmocka_unit_test(a_probe_measures_a_living_pair),
        cmocka_unit_test(a_probe_finds_a_dead_pair_and_the_next_best_takes_over),
        cmocka_unit_test(the_controlled_side_falls_back_by_itself),
        cmocka_unit_test(a_path_that_comes_back_gets_its_place_back),
        cmocka_unit_test(retries_of_a_dead_pair_slow_down),
        cmocka_unit_test(a_flapping_pair_is_not_trusted_at_once),
        cmocka_unit_test(a_lost_local_address_moves_the_selection_at_once),
        cmocka_unit_test(a_peer_that_roams_is_followed),
        cmocka_unit_test(the_controlled_side_follows_the_other_through_a_new_mapping),
        cmocka_unit_test(a_restart_replaces_the_pair_without_a_gap),
        cmocka_unit_test(one_side_restarts_and_the_other_follows_later),
        cmocka_unit_test(a_new_path_under_old_credentials_is_not_answered),
        cmocka_unit_test(a_second_restart_keeps_what_works),
        cmocka_unit_test(an_old_pair_that_dies_during_a_restart_is_reported),
        cmocka_unit_test(the_mtu_test_finds_the_largest_datagram),
        cmocka_unit_test(the_mtu_test_ends_when_its_pair_dies),
        cmocka_unit_test(other_valid_pairs_are_kept_warm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
