/* SPDX-License-Identifier: MIT */
#include "net.h"

static void two_hosts_connect(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 1);
    for (int i = 0; i < 2; i++)
        net_agent(&n, i, net_config(&n, i));
    net_base(&n, 0, "198.51.100.7:5000");
    net_base(&n, 1, "203.0.113.7:6000");
    net_start(&n);
    net_run(&n, 1000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_count(&n, i, BK_ICE_ON_CANDIDATE), 1);
        assert_int_equal(net_count(&n, i, BK_ICE_ON_GATHERED), 1);
        assert_int_equal(net_count(&n, i, BK_ICE_ON_CONNECTED), 1);
        assert_int_equal(net_count(&n, i, BK_ICE_ON_SELECTED), 1);
        assert_int_equal(net_count(&n, i, BK_ICE_ON_FAILED), 0);
        assert_int_equal(bk_ice_get_state(n.side[i].ice), BK_ICE_SELECTED);
    }
    net_assert_talk(&n);
    struct bk_ice_pair_info p = {.size = sizeof p};
    assert_int_equal(bk_ice_path(n.side[0].ice, 0, 1, &p), BK_OK);
    assert_int_equal(p.bytes_sent, 4);
    assert_int_equal(p.messages_received, 1);
    assert_int_equal(p.rtt_us, 40000);
    assert_int_equal(p.checks_sent, p.answers_received);
    net_fini(&n);
}

static void two_nats_with_stun_connect(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 2);
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, i);
        c.servers[0].uri = "stun:192.0.2.9";
        c.server_count = 1;
        net_agent(&n, i, c);
        net_nat(&n, i, i == 0 ? "198.51.100.1" : "203.0.113.1");
        net_base(&n, i, i == 0 ? "10.0.0.2:5000" : "10.0.1.2:6000");
    }
    net_start(&n);
    net_run(&n, 2000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_count(&n, i, BK_ICE_ON_CANDIDATE), 2);
        assert_int_equal(net_count(&n, i, BK_ICE_ON_SELECTED), 1);
        /* one round trip to the server, one to the peer, and half of one */
        assert_in_range(net_when(&n, i, BK_ICE_ON_CONNECTED), 80000, 105000);
    }
    net_assert_talk(&n);
    net_fini(&n);
}

/* What the peer has not proved is not data, and not ours. */
static void strangers_are_not_heard(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 3);
    net_agent(&n, 0, net_config(&n, 0));
    net_base(&n, 0, "198.51.100.7:5000");
    bk_ice_gather(n.side[0].ice, n.now);
    struct bk_ice_data data;
    struct bk_datagram d = {.local = n.side[0].base[0],
                            .remote = net_addr("203.0.113.66:6000"),
                            .data = (const uint8_t *)"\x80hello",
                            .len = 6};
    assert_int_equal(bk_ice_recv(n.side[0].ice, &d, n.now, &data), BK_ERR_NOT_OURS);
    assert_null(data.data);
    assert_int_equal(net_say(&n, 0, "hello"), BK_ERR_STATE);
    net_fini(&n);
}

static void gathering_ends_when_the_server_is_silent(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 4);
    n.server_dead = true;
    struct bk_ice_config c = net_config(&n, 0);
    c.servers[0].uri = "stun:192.0.2.9";
    c.server_count = 1;
    c.gather_us = 1500000;
    net_agent(&n, 0, c);
    net_base(&n, 0, "198.51.100.7:5000");
    bk_ice_gather(n.side[0].ice, n.now);
    net_run(&n, 10000);
    assert_int_equal(net_when(&n, 0, BK_ICE_ON_GATHERED), 1500000);
    net_fini(&n);
}

static void a_ufrag_is_seen_in_a_check(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 5);
    for (int i = 0; i < 2; i++)
        net_agent(&n, i, net_config(&n, i));
    net_base(&n, 0, "198.51.100.7:5000");
    net_base(&n, 1, "203.0.113.7:6000");
    for (int i = 0; i < 2; i++)
        bk_ice_gather(n.side[i].ice, n.now);
    net_signal(&n, 1);
    struct bk_datagram d;
    const char *ufrag;
    size_t len;
    assert_true(bk_ice_next_datagram(n.side[0].ice, &d));
    assert_true(bk_ice_peek_ufrag(d.data, d.len, &ufrag, &len));
    assert_int_equal(len, strlen(bk_ice_ufrag(n.side[1].ice)));
    assert_memory_equal(ufrag, bk_ice_ufrag(n.side[1].ice), len);
    assert_false(bk_ice_peek_ufrag("hello", 5, &ufrag, &len));
    net_fini(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hosts_connect),
        cmocka_unit_test(two_nats_with_stun_connect),
        cmocka_unit_test(strangers_are_not_heard),
        cmocka_unit_test(gathering_ends_when_the_server_is_silent),
        cmocka_unit_test(a_ufrag_is_seen_in_a_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
