/* SPDX-License-Identifier: MIT
 * Relayed candidates, over everything a TURN server speaks. */
#include "net.h"

/* Both behind NATs, one TURN server each. */
static void two_with_turn(struct net *n, uint64_t seed, const char *uri,
                          enum bk_ice_policy policy) {
    net_init(n, seed);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(n, i);
        c.policy = policy;
        net_server(&c, uri);
        net_agent(n, i, c);
        net_nat(n, i, i == 0 ? "198.51.100.1" : "203.0.113.1");
        net_base(n, i, i == 0 ? "10.0.0.2:5000" : "10.0.1.2:6000");
    }
}

static void only_servers_were_sent_to(const struct net *n, int side) {
    const struct net_side *s = &n->side[side];
    assert_true(s->sent < NET_PACKETS);
    for (size_t i = 0; i < s->sent; i++)
        assert_true(bk_ip_equal(&s->sent_to[i].ip, &n->turn.ip));
}

static void relay_only_sends_nothing_direct(void **state) {
    (void)state;
    static struct net n;
    two_with_turn(&n, 1, "turn:192.0.2.10", BK_ICE_RELAYED_ONLY);
    net_start(&n);
    net_run(&n, 3000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_count(&n, i, BK_ICE_ON_SELECTED), 1);
        assert_int_equal(net_count(&n, i, BK_ICE_ON_CANDIDATE), 1);
        const struct bk_ice_event *e = net_event(&n, i, BK_ICE_ON_CANDIDATE, 0);
        assert_int_equal(e->local.kind, BK_ICE_RELAYED);
        assert_non_null(strstr(e->text, "raddr 0.0.0.0 rport 9"));
        /* two round trips for the allocation, one and a half through the relays */
        assert_in_range(net_when(&n, i, BK_ICE_ON_CONNECTED), 100000, 250000);
    }
    net_assert_talk(&n);
    for (int i = 0; i < 2; i++)
        only_servers_were_sent_to(&n, i);
    net_fini(&n);
}

/* A peer that is not relay-only cannot tempt one that is. */
static void relay_only_meets_a_host(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 2);
    struct bk_ice_config c = net_config(&n, 0);
    c.policy = BK_ICE_RELAYED_ONLY;
    net_server(&c, "turn:192.0.2.10");
    net_agent(&n, 0, c);
    net_base(&n, 0, "198.51.100.7:5000");
    net_agent(&n, 1, net_config(&n, 1));
    net_base(&n, 1, "203.0.113.7:6000");
    net_start(&n);
    net_run(&n, 3000);
    net_assert_talk(&n);
    only_servers_were_sent_to(&n, 0);
    net_fini(&n);
}

static void relay_works_when_udp_is_blocked(void **state) {
    (void)state;
    static const struct {
        const char *uri;
        size_t dialled;
    } cases[] = {
        {"turn:192.0.2.10?transport=tcp", 1},
        {"turns:192.0.2.10", 1},
        {"turns:192.0.2.10?transport=udp", 1},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        static struct net n;
        two_with_turn(&n, 3 + k, cases[k].uri, BK_ICE_ALL);
        n.turn_udp_dead = true;
        net_start(&n);
        net_run(&n, 3000);
        for (int i = 0; i < 2; i++)
            assert_int_equal(net_count(&n, i, BK_ICE_ON_SELECTED), 1);
        assert_int_equal(n.requests[BK_ICE_DIAL], 2);
        net_assert_talk(&n);
        net_fini(&n);
    }
}

/* RFC 8656 section 11.2: the server drops what comes before the permission does. */
static void permissions_leave_before_what_needs_them(void **state) {
    (void)state;
    static const char *const uris[] = {"turn:192.0.2.10", "turn:192.0.2.10?transport=tcp",
                                       "turns:192.0.2.10", "turns:192.0.2.10?transport=udp"};
    for (size_t k = 0; k < sizeof uris / sizeof uris[0]; k++) {
        for (int policy = BK_ICE_ALL; policy <= BK_ICE_RELAYED_ONLY; policy++) {
            static struct net n;
            two_with_turn(&n, 20 + k, uris[k], (enum bk_ice_policy)policy);
            net_start(&n);
            net_run(&n, 3000);
            net_assert_talk(&n);
            assert_int_equal(n.unpermitted, 0);
            net_fini(&n);
        }
    }
}

static void a_silent_address_of_a_name_is_passed_over(void **state) {
    (void)state;
    static struct net n;
    two_with_turn(&n, 7, "turn:turn.example", BK_ICE_RELAYED_ONLY);
    struct bk_addr nobody = net_addr("192.0.2.99:1");
    net_name(&n, "turn.example", &nobody.ip);
    net_name(&n, "turn.example", &n.turn.ip);
    net_start(&n);
    net_run(&n, 4000);
    assert_int_equal(n.requests[BK_ICE_RESOLVE], 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_count(&n, i, BK_ICE_ON_SELECTED), 1);
        assert_in_range(net_when(&n, i, BK_ICE_ON_CONNECTED), 600000, 1000000);
    }
    net_fini(&n);
}

/* The relay's end is gathering's, in the same turn: a deadline that is left in the past spins. */
static void gathering_ends_with_its_last_relay(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 12);
    struct bk_ice_config c = net_config(&n, 0);
    c.gather_us = 120 * 1000 * 1000;
    net_server(&c, "turn:192.0.2.10");
    net_agent(&n, 0, c);
    net_base(&n, 0, "198.51.100.7:5000");
    n.turn_dead = true;
    bk_ice_gather(n.side[0].ice, n.now);
    net_run(&n, 100000);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_GATHERED), 1);
    net_fini(&n);
}

static void a_redirect_is_followed_once(void **state) {
    (void)state;
    static struct net n;
    two_with_turn(&n, 8, "turn:192.0.2.10", BK_ICE_RELAYED_ONLY);
    n.redirect = net_addr("192.0.2.10:3479");
    net_start(&n);
    net_run(&n, 2000);
    net_assert_talk(&n);
    net_fini(&n);
}

static void closing_gives_allocations_back(void **state) {
    (void)state;
    static struct net n;
    two_with_turn(&n, 9, "turn:192.0.2.10", BK_ICE_RELAYED_ONLY);
    net_start(&n);
    net_run(&n, 1000);
    assert_true(n.allocations[0].used && n.allocations[1].used);
    bk_ice_close(n.side[0].ice, n.now);
    net_run(&n, 1000);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_CLOSED), 1);
    assert_true(n.allocations[0].used != n.allocations[1].used);
    n.turn_dead = true; /* a server that is silent holds nobody up */
    bk_ice_close(n.side[1].ice, n.now);
    net_run(&n, 2100);
    assert_int_equal(net_count(&n, 1, BK_ICE_ON_CLOSED), 1);
    assert_true(bk_is_never(bk_ice_deadline(n.side[1].ice)));
    net_fini(&n);
}

/* Direct where it can be; the relay only waits. */
static void a_direct_path_wins_over_a_relay(void **state) {
    (void)state;
    static struct net n;
    two_with_turn(&n, 10, "turn:192.0.2.10", BK_ICE_ALL);
    net_start(&n);
    net_run(&n, 3000);
    net_assert_talk(&n);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_pair_info p = {.size = sizeof p};
        assert_int_equal(net_count(&n, i, BK_ICE_ON_CANDIDATE), 3);
        assert_int_equal(bk_ice_path(n.side[i].ice, 0, 1, &p), BK_OK);
        assert_int_not_equal(p.local.kind, BK_ICE_RELAYED);
        assert_int_not_equal(p.remote.kind, BK_ICE_RELAYED);
    }
    net_fini(&n);
}

static void dead_interfaces_cost_little(void **state) {
    (void)state;
    int64_t connected[2];
    for (int dead = 0; dead < 2; dead++) {
        static struct net n;
        net_init(&n, 11);
        for (int i = 0; i < 2; i++) {
            struct bk_ice_config c = net_config(&n, i);
            c.policy = BK_ICE_RELAYED_ONLY;
            net_server(&c, "turn:192.0.2.10");
            net_agent(&n, i, c);
            for (int k = 0; dead == 1 && k < 16; k++) {
                char text[64];
                snprintf(text, sizeof text, "10.%d.%d.2:5000", i, 100 + k);
                n.side[i].dead[n.side[i].base_count] = true;
                net_base(&n, i, text);
            }
            net_base(&n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
        }
        net_start(&n);
        net_run(&n, 3000);
        assert_int_equal(n.allocations[2].used, false); /* one each */
        net_assert_talk(&n);
        connected[dead] = net_when(&n, 0, BK_ICE_ON_CONNECTED);
        net_fini(&n);
    }
    assert_in_range(connected[1] - connected[0], 0, 60000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relay_only_sends_nothing_direct),
        cmocka_unit_test(relay_only_meets_a_host),
        cmocka_unit_test(relay_works_when_udp_is_blocked),
        cmocka_unit_test(permissions_leave_before_what_needs_them),
        cmocka_unit_test(a_silent_address_of_a_name_is_passed_over),
        cmocka_unit_test(gathering_ends_with_its_last_relay),
        cmocka_unit_test(a_redirect_is_followed_once),
        cmocka_unit_test(closing_gives_allocations_back),
        cmocka_unit_test(a_direct_path_wins_over_a_relay),
        cmocka_unit_test(dead_interfaces_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
