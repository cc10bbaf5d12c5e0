/* SPDX-License-Identifier: MIT
 * Keys, duplicates, who is told that a peer is gone, timers, limits. */
#include "fixture.h"

static void open_nodes(struct world *w, const struct relay_hub_config *c, int count) {
    world_init(w, c);
    for (int i = 0; i < count; i++)
        node_open(w, i, NULL);
    world_run(w);
    for (int i = 0; i < count; i++)
        assert_int_equal(w->node[i].connected, 1);
}

static struct relay_hub_stats stats_of(const struct world *w) {
    struct relay_hub_stats s;
    relay_hub_stats(w->hub, &s);
    return s;
}

static void gone_is_told_to_those_who_received(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    uint8_t left[32];
    open_nodes(&w, &c, 3);
    memcpy(left, node_key(&w, 0), sizeof left);
    assert_int_equal(node_send(&w, 0, node_key(&w, 1), 1, 50), BK_OK);
    assert_int_equal(node_send(&w, 2, left, 1, 50), BK_OK); /* sends to it, hears nothing of it */
    world_run(&w);
    node_close(&w, 0);
    world_run(&w);
    assert_int_equal(w.node[1].gone, 1);
    assert_int_equal(w.node[1].not_here, 0);
    assert_memory_equal(w.node[1].last_key, left, sizeof left);
    assert_int_equal(w.node[2].gone, 0);
    assert_int_equal(stats_of(&w).peer_gone_disconnected, 1);
    world_fini(&w);
}

static void not_here_is_told_for_disco_only_and_seldom(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    const uint8_t nobody[32] = {77};
    const uint8_t disco[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
    struct relay_piece piece = {disco, sizeof disco};
    open_nodes(&w, &c, 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(node_send(&w, 0, nobody, 0x20000000, 50), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[0].gone, 0); /* silence for anything but disco */
    for (int i = 0; i < 10; i++)
        assert_int_equal(relay_client_send(w.node[0].client, nobody, &piece, 1), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[0].not_here, 3); /* burst 3 ... */
    world_pass_ms(&w, 1000);
    for (int i = 0; i < 10; i++)
        assert_int_equal(relay_client_send(w.node[0].client, nobody, &piece, 1), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[0].not_here, 4); /* ... then one a second */
    struct relay_hub_stats s = stats_of(&w);
    assert_int_equal(s.dropped[RELAY_DROP_UNKNOWN_DEST][0], 5);
    assert_int_equal(s.dropped[RELAY_DROP_UNKNOWN_DEST][1], 20);
    world_fini(&w);
}

static void of_two_with_one_key_the_last_heard_receives(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    uint8_t secret[32] = {8, 1, 2, [31] = 64};
    world_init(&w, &c);
    node_open(&w, 0, NULL);
    node_open(&w, 1, secret);
    world_run(&w);
    node_open(&w, 2, secret);
    world_run(&w);
    assert_int_equal(stats_of(&w).duplicate_conns, 1);
    assert_int_equal(node_send(&w, 0, node_key(&w, 1), 1, 50), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[2].packets, 1); /* the newest */
    assert_int_equal(w.node[1].packets, 0);
    assert_int_equal(relay_client_ping(w.node[1].client, w.now), BK_OK);
    world_run(&w);
    assert_int_equal(node_send(&w, 0, node_key(&w, 1), 2, 50), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[1].packets, 1); /* the last heard */
    node_close(&w, 1);
    world_run(&w);
    assert_int_equal(w.node[0].gone, 0); /* the key is still here */
    assert_int_equal(node_send(&w, 0, node_key(&w, 2), 3, 50), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[2].packets, 2);
    world_fini(&w);
}

static void a_silent_handshake_is_closed_in_time(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    struct bk_addr from = bk_addr(bk_ipv4(192, 0, 2, 9), 9);
    struct relay_ready ready;
    uint32_t conn;
    world_init(&w, &c);
    assert_int_equal(relay_hub_accept(w.hub, &from, w.now, &conn), BK_OK);
    while (relay_hub_next_ready(w.hub, &ready))
        assert_int_equal(ready.close, RELAY_CLOSE_NOT);
    assert_true(relay_hub_deadline(w.hub).us <= bk_after(w.now, c.handshake_us).us);
    world_pass_ms(&w, 9999);
    assert_false(relay_hub_next_ready(w.hub, &ready));
    world_pass_ms(&w, 1);
    assert_true(relay_hub_next_ready(w.hub, &ready));
    assert_int_equal(ready.close, RELAY_CLOSE_HANDSHAKE_TIMEOUT);
    relay_hub_close(w.hub, conn, w.now);
    assert_int_equal(stats_of(&w).handshake_failed, 1);
    assert_int_equal(stats_of(&w).chunks_used, 0);
    world_fini(&w);
}

static void keepalives_hold_the_client_and_their_absence_ends_it(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    open_nodes(&w, &c, 1);
    for (int i = 0; i < 10; i++) {
        world_pass_ms(&w, 65000);
        world_run(&w);
    }
    assert_int_equal(w.node[0].closes, 0);
    w.node[0].budget = 0;
    world_pass_ms(&w, 119000);
    node_events(&w.node[0]);
    assert_int_equal(w.node[0].closes, 0);
    world_pass_ms(&w, 1000);
    node_events(&w.node[0]);
    assert_int_equal(w.node[0].closes, 1);
    assert_int_equal(w.node[0].why, BK_ERR_TIMEOUT);
    world_fini(&w);
}

static void a_receiver_that_takes_nothing_is_closed(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    open_nodes(&w, &c, 2);
    w.node[1].budget = 0;
    assert_int_equal(node_send(&w, 0, node_key(&w, 1), 1, 50), BK_OK);
    world_run(&w);
    world_pass_ms(&w, 14000);
    world_run(&w);
    assert_false(w.node[1].closed);
    world_pass_ms(&w, 1001);
    world_run(&w);
    assert_true(w.node[1].closed);
    assert_int_equal(w.node[1].why_closed, RELAY_CLOSE_STALLED);
    world_fini(&w);
}

static void the_connection_after_the_last_is_refused(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    struct bk_addr from = bk_addr(bk_ipv4(192, 0, 2, 9), 9);
    uint32_t conn;
    c.conns_max = 2;
    open_nodes(&w, &c, 2);
    assert_int_equal(relay_hub_accept(w.hub, &from, w.now, &conn), BK_ERR_FULL);
    node_close(&w, 0);
    node_open(&w, 0, NULL);
    world_run(&w);
    assert_int_equal(w.node[0].connected, 1);
    world_fini(&w);
}

static void a_wrong_box_is_no_handshake(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    struct bk_addr from = bk_addr(bk_ipv4(192, 0, 2, 9), 9);
    uint8_t frame[5 + 32 + 60] = {DERP_CLIENT_INFO, 0, 0, 0, 92};
    struct relay_ready ready;
    uint32_t conn;
    world_init(&w, &c);
    assert_int_equal(relay_hub_accept(w.hub, &from, w.now, &conn), BK_OK);
    relay_hub_recv(w.hub, conn, frame, sizeof frame, w.now);
    assert_true(relay_hub_next_ready(w.hub, &ready));
    assert_int_equal(ready.close, RELAY_CLOSE_HANDSHAKE);
    relay_hub_close(w.hub, conn, w.now);
    world_fini(&w);
}

static void frames_that_break_the_rules_close_the_connection(void **state) {
    static const struct {
        const char *name;
        uint8_t frame[8];
        size_t len;
        enum relay_close close;
    } cases[] = {
        {"packet over 65536", {DERP_SEND_PACKET, 0, 1, 0, 33}, 5, RELAY_CLOSE_PROTOCOL},
        {"packet without key", {DERP_SEND_PACKET, 0, 0, 0, 1, 7}, 6, RELAY_CLOSE_PROTOCOL},
        {"frame over 1 MiB", {0x77, 0, 0x10, 0, 1}, 5, RELAY_CLOSE_PROTOCOL},
        {"ping of 7 bytes", {DERP_PING, 0, 0, 0, 0}, 5, RELAY_CLOSE_PROTOCOL},
        {"preferred of 2 bytes", {DERP_NOTE_PREFERRED, 0, 0, 0, 2, 1, 1}, 7, RELAY_CLOSE_PROTOCOL},
        {"second ClientInfo", {DERP_CLIENT_INFO, 0, 0, 0, 90}, 5, RELAY_CLOSE_PROTOCOL},
        {"watch without mesh key", {DERP_WATCH_CONNS, 0, 0, 0, 0}, 5, RELAY_CLOSE_PERMISSION},
        {"forward without mesh key", {DERP_FORWARD_PACKET, 0, 0, 0, 70}, 5, RELAY_CLOSE_PERMISSION},
        {"close peer without mesh key", {DERP_CLOSE_PEER, 0, 0, 0, 32}, 5, RELAY_CLOSE_PERMISSION},
        {"unknown type", {0x77, 0, 0, 0, 1, 1}, 6, RELAY_CLOSE_NOT},
        {"preferred", {DERP_NOTE_PREFERRED, 0, 0, 0, 1, 1}, 6, RELAY_CLOSE_NOT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world w;
        struct relay_hub_config c = small_hub();
        open_nodes(&w, &c, 1);
        relay_hub_recv(w.hub, w.node[0].conn, cases[i].frame, cases[i].len, w.now);
        world_run(&w);
        if (w.node[0].why_closed != cases[i].close)
            fail_msg("%s: %d", cases[i].name, (int)w.node[0].why_closed);
        world_fini(&w);
    }
}

static void a_rate_limit_pauses_reading(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    c.rate_bytes_per_s = 10000;
    open_nodes(&w, &c, 2);
    for (int i = 0; i < 100; i++)
        assert_int_equal(node_send(&w, 0, node_key(&w, 1), 0x20000000, 1000), BK_OK);
    world_run(&w);
    assert_false(relay_hub_wants_read(w.hub, w.node[0].conn));
    size_t at_once = w.node[1].packets;
    assert_true(at_once >= 60 && at_once < 90); /* the burst, and one read beyond it */
    for (int i = 0; i < 10; i++) {
        world_pass_ms(&w, 1000);
        world_run(&w);
    }
    assert_int_equal(w.node[1].packets, 100); /* late, but none is lost */
    world_fini(&w);
}

static void health_and_restarting_reach_everybody(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    open_nodes(&w, &c, 2);
    relay_hub_health(w.hub, "disk full");
    world_run(&w);
    assert_int_equal(w.node[0].last_len, 9);
    assert_int_equal(w.node[1].last_len, 9);
    relay_hub_restarting(w.hub, 1000, 5000);
    world_run(&w);
    assert_int_equal(w.node[0].last_len, 0);
    world_fini(&w);
}

static void an_idle_connection_is_cheap(void **state) {
    (void)state;
    struct relay_hub_config c = relay_hub_config_default;
    assert_in_range(relay_hub_memory_per_conn(&c), 1, 2048);
    struct world w;
    c = small_hub();
    open_nodes(&w, &c, NODES);
    assert_int_equal(stats_of(&w).chunks_used, 0); /* nothing of the pool while idle */
    world_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gone_is_told_to_those_who_received),
        cmocka_unit_test(not_here_is_told_for_disco_only_and_seldom),
        cmocka_unit_test(of_two_with_one_key_the_last_heard_receives),
        cmocka_unit_test(a_silent_handshake_is_closed_in_time),
        cmocka_unit_test(keepalives_hold_the_client_and_their_absence_ends_it),
        cmocka_unit_test(a_receiver_that_takes_nothing_is_closed),
        cmocka_unit_test(the_connection_after_the_last_is_refused),
        cmocka_unit_test(a_wrong_box_is_no_handshake),
        cmocka_unit_test(frames_that_break_the_rules_close_the_connection),
        cmocka_unit_test(a_rate_limit_pauses_reading),
        cmocka_unit_test(health_and_restarting_reach_everybody),
        cmocka_unit_test(an_idle_connection_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
