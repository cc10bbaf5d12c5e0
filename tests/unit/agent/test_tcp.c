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

/* ---- Simultaneous open ---------------------------------------------------------------------- */

static const char so_peer[] =
    "a=ice-ufrag:them\r\na=ice-pwd:theirpasswordhas24chars\r\n"
    "a=candidate:1 1 TCP 1019216383 203.0.113.7 6000 typ host tcptype so\r\n";

/* An agent with such a base alone, until it wants to connect to such a candidate. */
static uint32_t begin_simultaneous_open(struct net *n, struct bk_ice_base *base) {
    struct bk_ice_config c;
    struct bk_ice_request r = {.kind = BK_ICE_HANG_UP};
    struct bk_datagram d;
    net_init(n, 31);
    c = net_config(n, 0);
    c.tcp = true;
    net_agent(n, 0, c);
    *base = (struct bk_ice_base){.size = sizeof *base,
                                 .addr = net_addr("198.51.100.7:5000"),
                                 .protocol = BK_TCP,
                                 .simultaneous = true};
    struct bk_ice *ice = n->side[0].ice;
    assert_int_equal(bk_ice_add_base(ice, base, n->now), BK_OK);
    bk_ice_gather(ice, n->now);
    assert_int_equal(bk_ice_set_remote(ice, so_peer, sizeof so_peer - 1, n->now), BK_OK);
    for (int i = 0; i < 100; i++) {
        bk_ice_advance(ice, n->now);
        assert_false(bk_ice_next_datagram(ice, &d));
        if (bk_ice_next_request(ice, &r))
            break;
        n->now = bk_after(n->now, 10000);
    }
    assert_int_equal(r.kind, BK_ICE_DIAL);
    assert_true(r.reuse);
    assert_true(bk_addr_equal(&r.local, &base->addr));
    return r.id;
}

static void a_port_for_simultaneous_open_is_one_candidate(void **state) {
    static struct net n;
    struct bk_ice_base base;
    struct bk_ice_event e;
    int count = 0;
    (void)state;
    (void)begin_simultaneous_open(&n, &base);
    while (bk_ice_next_event(n.side[0].ice, &e))
        if (e.kind == BK_ICE_ON_CANDIDATE) {
            count++;
            assert_non_null(strstr(e.text, " 198.51.100.7 5000 typ host tcptype so"));
        }
    assert_int_equal(count, 1);
    net_fini(&n);
}

/* The port listens, too: the peer's connection takes the place of ours, which there cannot be. */
static void the_peer_may_get_through_first(void **state) {
    static struct net n;
    struct bk_ice_base base;
    const struct bk_addr peer = net_addr("203.0.113.7:6000");
    const uint8_t *data;
    size_t len;
    uint32_t accepted, written;
    (void)state;
    uint32_t dialled = begin_simultaneous_open(&n, &base);
    struct bk_ice *ice = n.side[0].ice;
    assert_int_equal(bk_ice_accepted(ice, &base.addr, &peer, n.now, &accepted), BK_OK);
    assert_int_equal(bk_ice_dialled(ice, dialled, BK_ERR_UNREACHABLE, NULL, n.now), BK_OK);
    assert_true(bk_ice_next_stream_data(ice, &written, &data, &len));
    assert_int_equal(written, accepted);
    assert_true(stun_is_message(data + 2, len - 2)); /* the check that was to be the first */
    assert_int_equal(bk_ice_dialled(ice, dialled, BK_OK, &base.addr, n.now), BK_ERR_NOT_FOUND);
    net_fini(&n);
}

/* ---- Server-reflexive candidates, RFC 6544 section 5.2 -------------------------------------- */

/* Both behind NATs that let no UDP out. */
static void two_behind_nats(struct net *n, uint64_t seed, const char *uri, bool tcp) {
    net_init(n, seed);
    n->blocked = no_udp;
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(n, i);
        c.tcp = tcp;
        net_server(&c, uri);
        net_agent(n, i, c);
        net_nat(n, i, i == 0 ? "198.51.100.1" : "203.0.113.1");
        net_base(n, i, i == 0 ? "10.0.0.2:5000" : "10.0.1.2:6000");
        if (tcp)
            net_listen(n, i, i == 0 ? "10.0.0.2:5000" : "10.0.1.2:6000");
    }
}

static const char *const stun_uris[] = {"stun:192.0.2.9?transport=tcp", "stuns:192.0.2.9"};

static void a_stun_server_shows_the_way_through_nats(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof stun_uris / sizeof stun_uris[0]; k++) {
        static struct net n;
        two_behind_nats(&n, 10 + k, stun_uris[k], true);
        net_start(&n);
        net_run(&n, 2000);
        for (int i = 0; i < 2; i++) {
            struct bk_ice_pair_info p = {.size = sizeof p};
            const struct bk_ice_event *e = net_event(&n, i, BK_ICE_ON_CANDIDATE, 3);
            assert_non_null(e);
            assert_int_equal(e->local.kind, BK_ICE_SRFLX);
            assert_non_null(strstr(e->text, " 45000 typ srflx raddr 10.0."));
            assert_non_null(strstr(e->text, "tcptype passive"));
            assert_in_range(net_when(&n, i, BK_ICE_ON_GATHERED), 80000, 80000);
            assert_int_equal(bk_ice_path(n.side[i].ice, 0, 1, &p), BK_OK);
            assert_int_not_equal(p.local.transport, BK_ICE_UDP);
        }
        net_assert_talk(&n);
        net_fini(&n);
    }
}

/* "Kept" is until the path is chosen and quiet: then nothing more is to come through the mapping.
 */
static void the_connection_to_the_server_is_kept_and_ended(void **state) {
    (void)state;
    static struct net n;
    two_behind_nats(&n, 12, stun_uris[0], true);
    bk_ice_gather(n.side[0].ice, n.now);
    net_run(&n, 60000);
    assert_int_equal(n.requests[BK_ICE_DIAL], 1);
    assert_int_equal(n.requests[BK_ICE_HANG_UP], 0);
    assert_true(n.conns[0].used && !n.conns[0].gone);
    net_start(&n);
    net_run(&n, 2000);
    net_assert_talk(&n);
    net_run(&n, 10000);
    size_t to_server = 0;
    for (size_t i = 0; i < NET_CONNS; i++)
        to_server += n.conns[i].used && !n.conns[i].gone &&
                     bk_ip_equal(&n.conns[i].addr[1].ip, &n.server.ip);
    assert_int_equal(to_server, 0);
    net_assert_talk(&n);
    net_fini(&n);
}

static void without_tcp_such_a_server_is_not_asked(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof stun_uris / sizeof stun_uris[0]; k++) {
        static struct net n;
        two_behind_nats(&n, 14, stun_uris[k], false);
        bk_ice_gather(n.side[0].ice, n.now);
        net_run(&n, 10);
        assert_int_equal(n.requests[BK_ICE_DIAL], 0);
        assert_int_equal(n.side[0].sent, 0);
        assert_int_equal(net_count(&n, 0, BK_ICE_ON_GATHERED), 1);
        net_fini(&n);
    }
}

/* Silence in the network, and behind a connection that was made. */
static void a_silent_server_over_tcp_is_given_up(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        static struct net n;
        char text[512];
        two_behind_nats(&n, 16, stun_uris[0], true);
        n.server_dead = k == 0;
        bk_ice_gather(n.side[0].ice, n.now);
        net_run(&n, 50);
        n.conns[0].side[1] = 1; /* k == 1: its answers come no more */
        net_run(&n, 9000);
        assert_in_range(net_when(&n, 0, BK_ICE_ON_GATHERED), 5000000, 5000000);
        assert_int_equal(net_count(&n, 0, BK_ICE_ON_CANDIDATE), 3);
        assert_int_equal(n.requests[BK_ICE_HANG_UP], 1);
        assert_non_null(
            strstr(bk_ice_explain(n.side[0].ice, text, sizeof text), "STUN over TCP is silent"));
        net_fini(&n);
    }
}

static void the_next_address_of_a_tcp_server_is_tried(void **state) {
    (void)state;
    static struct net n;
    two_behind_nats(&n, 18, "stuns:stun.example", true);
    struct bk_addr nobody = net_addr("192.0.2.99:1"); /* refuses */
    net_name(&n, "stun.example", &nobody.ip);
    net_name(&n, "stun.example", &n.server.ip);
    bk_ice_gather(n.side[0].ice, n.now);
    net_run(&n, 1000);
    assert_int_equal(n.requests[BK_ICE_DIAL], 2);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_CANDIDATE), 4);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_GATHERED), 1);
    net_fini(&n);
}

static void what_is_not_stun_ends_the_exchange(void **state) {
    (void)state;
    static const uint8_t junk[24] = "HTTP/1.1 400 Bad Requ";
    static struct net n;
    two_behind_nats(&n, 19, stun_uris[0], true);
    struct bk_ice *ice = n.side[0].ice;
    bk_ice_gather(ice, n.now);
    net_run(&n, 50);
    uint32_t id = n.conns[0].id[0];
    assert_int_equal(bk_ice_stream_recv(ice, id, junk, sizeof junk, n.now), BK_ERR_MALFORMED);
    bk_ice_hung_up(ice, id, n.now);
    net_run(&n, 10);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_GATHERED), 1);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_CANDIDATE), 3);
    net_fini(&n);
}

static void a_server_that_hung_up_is_asked_again_on_doubt(void **state) {
    (void)state;
    static struct net n;
    two_behind_nats(&n, 20, stun_uris[0], true);
    struct bk_ice *ice = n.side[0].ice;
    bk_ice_gather(ice, n.now);
    net_run(&n, 1000);
    n.conns[0].gone = true;
    bk_ice_hung_up(ice, n.conns[0].id[0], n.now);
    net_run(&n, 60000);
    assert_int_equal(n.requests[BK_ICE_DIAL], 1);
    bk_ice_network_changed(ice, n.now);
    net_run(&n, 1000);
    assert_int_equal(n.requests[BK_ICE_DIAL], 2);
    bk_ice_network_changed(ice, n.now); /* over the connection that is there */
    net_run(&n, 1000);
    assert_int_equal(n.requests[BK_ICE_DIAL], 2);
    assert_int_equal(net_count(&n, 0, BK_ICE_ON_CANDIDATE), 4);
    net_fini(&n);
}

static void a_base_takes_its_connection_with_it(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        static struct net n;
        two_behind_nats(&n, 21, stun_uris[1], true);
        struct bk_ice *ice = n.side[0].ice;
        bk_ice_gather(ice, n.now);
        net_run(&n, 30 + 1000 * k); /* while it is dialled, and later */
        assert_int_equal(bk_ice_remove_base(ice, &n.side[0].listener, BK_TCP, n.now), BK_OK);
        net_run(&n, 1000);
        assert_int_equal(n.requests[BK_ICE_HANG_UP], 1);
        assert_int_equal(net_count(&n, 0, BK_ICE_ON_GATHERED), 1);
        net_fini(&n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_connects_where_udp_is_blocked),
        cmocka_unit_test(a_candidate_line_says_tcptype),
        cmocka_unit_test(messages_keep_their_bounds),
        cmocka_unit_test(a_broken_connection_is_noticed_and_mended),
        cmocka_unit_test(strangers_connections_are_ended),
        cmocka_unit_test(a_port_for_simultaneous_open_is_one_candidate),
        cmocka_unit_test(the_peer_may_get_through_first),
        cmocka_unit_test(a_stun_server_shows_the_way_through_nats),
        cmocka_unit_test(the_connection_to_the_server_is_kept_and_ended),
        cmocka_unit_test(without_tcp_such_a_server_is_not_asked),
        cmocka_unit_test(a_silent_server_over_tcp_is_given_up),
        cmocka_unit_test(the_next_address_of_a_tcp_server_is_tried),
        cmocka_unit_test(what_is_not_stun_ends_the_exchange),
        cmocka_unit_test(a_server_that_hung_up_is_asked_again_on_doubt),
        cmocka_unit_test(a_base_takes_its_connection_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
