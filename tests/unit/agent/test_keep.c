/* SPDX-License-Identifier: MIT
 * Paths break, networks change, servers forget: what is noticed, and how soon it is mended. */
#include "net.h"

static bool cut;

static bool is_cut(const struct bk_addr *from, const struct bk_addr *to) {
    (void)from;
    (void)to;
    return cut;
}

static void connected_nats(struct net *n, uint64_t seed, bool turn) {
    net_init(n, seed);
    cut = false;
    n->blocked = is_cut;
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(n, i);
        net_server(&c, "stun:192.0.2.9");
        if (turn)
            net_server(&c, "turn:192.0.2.10");
        net_agent(n, i, c);
        net_nat(n, i, i == 0 ? "198.51.100.1" : "203.0.113.1");
        net_base(n, i, i == 0 ? "10.0.0.2:5000" : "10.0.1.2:6000");
    }
    net_start(n);
    net_run(n, 5000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_count(n, i, BK_ICE_ON_SELECTED) > 0, true);
        n->side[i].event_count = 0;
    }
}

/* Milliseconds from `since` to the event; -1: never. */
static int64_t after(const struct net *n, int side, enum bk_ice_event_kind kind,
                     struct bk_time since) {
    const struct bk_ice_event *e = net_event(n, side, kind, 0);
    return e == NULL
               ? -1
               : bk_elapsed_us(since, n->side[side].event_at[e - n->side[side].events]) / 1000;
}

static void a_break_is_seen_within_two_seconds(void **state) {
    (void)state;
    static struct net n;
    connected_nats(&n, 1, false);
    cut = true;
    struct bk_time since = n.now;
    net_run(&n, 4000);
    for (int i = 0; i < 2; i++) {
        assert_in_range(after(&n, i, BK_ICE_ON_DISCONNECTED, since), 300, 2000);
        assert_int_equal(net_count(&n, i, BK_ICE_ON_FAILED), 0);
    }
    cut = false;
    since = n.now;
    net_run(&n, 3000);
    for (int i = 0; i < 2; i++) {
        assert_in_range(after(&n, i, BK_ICE_ON_RECONNECTED, since), 0, 2000);
        assert_int_equal(net_count(&n, i, BK_ICE_ON_RESTART), 0);
    }
    net_assert_talk(&n);
    net_fini(&n);
}

static void a_long_break_fails_and_heals(void **state) {
    (void)state;
    static struct net n;
    connected_nats(&n, 2, false);
    cut = true;
    net_run(&n, 60000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(net_count(&n, i, BK_ICE_ON_FAILED), 1);
    cut = false;
    net_run(&n, 61000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(net_count(&n, i, BK_ICE_ON_CONNECTED), 1);
    net_assert_talk(&n);
    net_fini(&n);
}

/* The NAT of side 0 has another address from now on. */
static void renumber(struct net *n) {
    assert_int_equal(bk_ip_parse("198.51.100.77", &n->side[0].outside), BK_OK);
}

static void a_new_public_address_is_healed_by_checks_alone(void **state) {
    (void)state;
    static struct net n;
    connected_nats(&n, 3, false);
    n.side[0].trickle = n.side[1].trickle = false; /* no signalling at all */
    renumber(&n);
    bk_ice_network_changed(n.side[0].ice, n.now);
    net_run(&n, 80); /* two round trips */
    struct bk_ice_pair_info p = {.size = sizeof p};
    assert_int_equal(net_say(&n, 1, "there"), BK_OK);
    net_run(&n, 30);
    assert_int_equal(n.side[0].data_count, 1);
    assert_int_equal(bk_ice_path(n.side[1].ice, 0, 1, &p), BK_OK);
    assert_true(bk_ip_equal(&p.remote.addr.ip, &n.side[0].outside));
    net_run(&n, 5000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(net_count(&n, i, BK_ICE_ON_FAILED), 0);
    net_assert_talk(&n);
    net_fini(&n);
}

static void an_unnoticed_new_public_address_is_healed(void **state) {
    (void)state;
    static struct net n;
    connected_nats(&n, 4, false);
    renumber(&n);
    net_run(&n, 4000);
    net_assert_talk(&n);
    for (int i = 0; i < 2; i++)
        assert_int_equal(net_count(&n, i, BK_ICE_ON_FAILED), 0);
    net_fini(&n);
}

static void a_new_interface_takes_over(void **state) {
    (void)state;
    static struct net n;
    connected_nats(&n, 5, false);
    struct bk_time since = n.now;
    net_base(&n, 0, "10.0.9.9:5001");
    assert_int_equal(bk_ice_remove_base(n.side[0].ice, &n.side[0].base[0], BK_UDP, n.now), BK_OK);
    n.side[0].dead[0] = true;
    net_run(&n, 2000);
    assert_in_range(after(&n, 0, BK_ICE_ON_RECONNECTED, since), 0, 500);
    net_assert_talk(&n);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_FAILED), 0);
    net_fini(&n);
}

static void a_loss_after_a_change_asks_for_a_restart(void **state) {
    (void)state;
    static struct net n;
    connected_nats(&n, 6, false);
    cut = true;
    bk_ice_network_changed(n.side[0].ice, n.now);
    struct bk_time since = n.now;
    net_run(&n, 3000);
    assert_in_range(after(&n, 0, BK_ICE_ON_RESTART, since), 400, 2500);
    assert_int_equal(net_count(&n, 1, BK_ICE_ON_RESTART), 0); /* its network did not change */
    cut = false;
    since = n.now;
    net_signal(&n, 0);
    net_signal(&n, 1);
    net_run(&n, 1000);
    for (int i = 0; i < 2; i++)
        assert_in_range(after(&n, i, BK_ICE_ON_RECONNECTED, since), 0, 1000);
    net_assert_talk(&n);
    net_fini(&n);
}

static bool only_servers(const struct bk_addr *from, const struct bk_addr *to) {
    (void)from;
    return to->ip.bytes[0] != 192;
}

static void a_relay_takes_over_before_failure(void **state) {
    (void)state;
    static struct net n;
    connected_nats(&n, 7, true);
    struct bk_ice_pair_info p = {.size = sizeof p};
    assert_int_equal(bk_ice_path(n.side[0].ice, 0, 1, &p), BK_OK);
    assert_int_not_equal(p.remote.kind, BK_ICE_RELAYED);
    /* the direct way is closed; servers are reached */
    n.blocked = only_servers;
    struct bk_time since = n.now;
    net_run(&n, 3000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_count(&n, i, BK_ICE_ON_FAILED), 0);
        assert_in_range(after(&n, i, BK_ICE_ON_SELECTED, since), 0, 2500);
        assert_int_equal(bk_ice_path(n.side[i].ice, 0, 1, &p), BK_OK);
        assert_true(p.local.kind == BK_ICE_RELAYED || p.remote.kind == BK_ICE_RELAYED);
    }
    net_assert_talk(&n);
    net_fini(&n);
}

/* Its allocations are gone, and its nonces as well. */
static void a_turn_server_restarts(void **state) {
    (void)state;
    static struct net n;
    static const uint8_t other_secret[32] = {99};
    net_init(&n, 8);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, i);
        c.policy = BK_ICE_RELAYED_ONLY;
        net_server(&c, "turn:192.0.2.10");
        net_agent(&n, i, c);
        net_base(&n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
    }
    net_start(&n);
    net_run(&n, 5000);
    for (size_t i = 0; i < NET_ALLOCATIONS; i++)
        n.allocations[i].used = false;
    assert_int_equal(
        stun_realm_init(&n.realm, "example.org", other_secret, 3600 * BK_US_PER_S, false), BK_OK);
    net_run(&n, 20000);
    net_assert_talk(&n);
    for (int i = 0; i < 2; i++)
        assert_int_equal(net_count(&n, i, BK_ICE_ON_FAILED), 0);
    net_fini(&n);
}

static void an_idle_agent_is_small(void **state) {
    (void)state;
    static struct net n;
    connected_nats(&n, 9, false);
    net_run(&n, 20000);
    for (int i = 0; i < 2; i++) {
        size_t size = bk_ice_size(n.side[i].ice);
        print_message("idle, connected: %zu bytes\n", size);
        assert_in_range(size, 1000, 4096);
    }
    net_base(&n, 0, "10.0.9.9:5001"); /* and can grow again */
    net_run(&n, 1000);
    net_assert_talk(&n);
    net_fini(&n);
}

static bool poor;

static void *poor_get(void *ctx, size_t size) {
    return poor ? NULL : test_get(ctx, size);
}

/* A settled agent has given back the room for the checker's news. That it gets none when there is
 * some must not keep it from seeing what became of its path. */
static void without_memory_a_break_is_seen_and_so_is_its_end(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 10);
    cut = poor = false;
    n.blocked = is_cut;
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, i);
        const struct bk_alloc alloc = {poor_get, test_put, NULL};
        assert_int_equal(bk_ice_new(&c, &alloc, &n.side[i].ice), BK_OK);
        net_base(&n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
    }
    net_start(&n);
    net_run(&n, 10000);
    for (int i = 0; i < 2; i++)
        n.side[i].event_count = 0;
    poor = cut = true;
    struct bk_time since = n.now;
    net_run(&n, 4000);
    for (int i = 0; i < 2; i++)
        assert_in_range(after(&n, i, BK_ICE_ON_DISCONNECTED, since), 300, 2000);
    cut = false;
    since = n.now;
    net_run(&n, 3000);
    for (int i = 0; i < 2; i++)
        assert_in_range(after(&n, i, BK_ICE_ON_RECONNECTED, since), 0, 2000);
    cut = true;
    net_run(&n, 60000);
    for (int i = 0; i < 2; i++) /* consent ended */
        assert_int_equal(net_say(&n, i, "x"), BK_ERR_STATE);
    poor = cut = false;
    net_run(&n, 61000);
    net_assert_talk(&n);
    net_fini(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_break_is_seen_within_two_seconds),
        cmocka_unit_test(a_long_break_fails_and_heals),
        cmocka_unit_test(a_new_public_address_is_healed_by_checks_alone),
        cmocka_unit_test(an_unnoticed_new_public_address_is_healed),
        cmocka_unit_test(a_new_interface_takes_over),
        cmocka_unit_test(a_loss_after_a_change_asks_for_a_restart),
        cmocka_unit_test(a_relay_takes_over_before_failure),
        cmocka_unit_test(a_turn_server_restarts),
        cmocka_unit_test(an_idle_agent_is_small),
        cmocka_unit_test(without_memory_a_break_is_seen_and_so_is_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
