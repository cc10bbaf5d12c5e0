/* SPDX-License-Identifier: MIT
 * TCP candidates, RFC 6544: connections that carry checks and data. */
#include "net.h"

static bool no_udp(const struct bk_addr *from, const struct bk_addr *to) {
    (void)from;
    (void)to;
    return true;
}

static void two_with_tcp(struct net *n, uint64_t seed, bool listen_a, bool listen_b) {
    net_init(n, seed);
    n->blocked = no_udp;
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(n, i);
        c.tcp = true;
        net_agent(n, i, c);
        net_base(n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
        net_listen(n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
    }
    if (!listen_a)
        n->side[0].listener.port = 0; /* a firewall: nobody gets in */
    if (!listen_b)
        n->side[1].listener.port = 0;
}

static void tcp_connects_where_udp_is_blocked(void **state) {
    (void)state;
    for (int k = 0; k < 3; k++) {
        static struct net n;
        two_with_tcp(&n, 1, k != 1, k != 2);
        net_start(&n);
        net_run(&n, 3000);
        for (int i = 0; i < 2; i++) {
            struct bk_ice_pair_info p = {.size = sizeof p};
            assert_int_equal(net_count(&n, i, BK_ICE_ON_CANDIDATE), 3);
            assert_int_equal(net_count(&n, i, BK_ICE_ON_CONNECTED), 1);
            assert_int_equal(bk_ice_path(n.side[i].ice, 0, 1, &p), BK_OK);
            assert_int_not_equal(p.local.transport, BK_ICE_UDP);
        }
        net_assert_talk(&n);
        net_fini(&n);
    }
}

static void a_candidate_line_says_tcptype(void **state) {
    (void)state;
    static struct net n;
    two_with_tcp(&n, 2, true, true);
    bk_ice_gather(n.side[0].ice, n.now);
    net_run(&n, 10);
    assert_non_null(
        strstr(net_event(&n, 0, BK_ICE_ON_CANDIDATE, 1)->text, " 9 typ host tcptype active"));
    assert_non_null(
        strstr(net_event(&n, 0, BK_ICE_ON_CANDIDATE, 2)->text, " 5000 typ host tcptype passive"));
    net_fini(&n);
}

/* What is larger than a packet goes through in one piece. */
static void messages_keep_their_bounds(void **state) {
    (void)state;
    static struct net n;
    two_with_tcp(&n, 3, true, true);
    net_start(&n);
    net_run(&n, 3000);
    for (int k = 0; k < 5; k++)
        assert_int_equal(net_say(&n, 0, "0123456789"), BK_OK);
    assert_int_equal(net_say(&n, 0, "last"), BK_OK);
    net_run(&n, 500);
    assert_int_equal(n.side[1].data_count, 6);
    assert_string_equal(n.side[1].data[4], "0123456789");
    assert_string_equal(n.side[1].data[5], "last");
    net_fini(&n);
}

static void a_broken_connection_is_noticed_and_mended(void **state) {
    (void)state;
    static struct net n;
    two_with_tcp(&n, 4, true, true);
    net_start(&n);
    net_run(&n, 3000);
    for (size_t i = 0; i < NET_CONNS; i++) {
        if (!n.conns[i].used)
            continue;
        n.conns[i].gone = true;
        for (int e = 0; e < 2; e++)
            bk_ice_hung_up(n.side[n.conns[i].side[e]].ice, n.conns[i].id[e], n.now);
    }
    net_run(&n, 10);
    for (int i = 0; i < 2; i++)
        assert_int_equal(net_count(&n, i, BK_ICE_ON_DISCONNECTED), 1);
    net_run(&n, 5000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(net_count(&n, i, BK_ICE_ON_RECONNECTED), 1);
    net_assert_talk(&n);
    net_fini(&n);
}

static void strangers_connections_are_ended(void **state) {
    (void)state;
    static struct net n;
    two_with_tcp(&n, 5, true, true);
    struct bk_ice *ice = n.side[0].ice;
    struct bk_addr from = net_addr("203.0.113.66:1234");
    struct bk_ice_data data;
    uint32_t id, more;
    bk_ice_gather(ice, n.now);
    assert_int_equal(bk_ice_accepted(ice, &n.side[0].listener, &from, n.now, &id), BK_OK);
    static const uint8_t junk[] = {0, 5, 0x80, 'h', 'e', 'l', 'l', 0, 0};
    for (size_t i = 0; i < sizeof junk; i++) {
        assert_int_equal(bk_ice_stream_recv(ice, id, &junk[i], 1, n.now), BK_OK);
        assert_false(bk_ice_next_data(ice, &data));
    }
    for (int i = 0; i < 200; i++) {
        from.port++;
        enum bk_err err = bk_ice_accepted(ice, &n.side[0].listener, &from, n.now, &more);
        assert_true(err == BK_OK || err == BK_ERR_FULL);
        assert_true(i < 100 || err == BK_ERR_FULL);
    }
    net_run(&n, 11000);
    struct bk_addr elsewhere = net_addr("198.51.100.7:1");
    assert_true(n.requests[BK_ICE_HANG_UP] >= 64);
    assert_int_equal(bk_ice_accepted(ice, &elsewhere, &from, n.now, &more), BK_ERR_NOT_FOUND);
    assert_int_equal(bk_ice_stream_recv(ice, id, junk, 1, n.now), BK_ERR_NOT_FOUND);
    net_fini(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_connects_where_udp_is_blocked),
        cmocka_unit_test(a_candidate_line_says_tcptype),
        cmocka_unit_test(messages_keep_their_bounds),
        cmocka_unit_test(a_broken_connection_is_noticed_and_mended),
        cmocka_unit_test(strangers_connections_are_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
