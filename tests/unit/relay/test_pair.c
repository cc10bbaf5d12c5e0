/* SPDX-License-Identifier: MIT
 * Real clients against the real hub. */
#include "fixture.h"

static void open_two(struct world *w) {
    struct relay_hub_config c = small_hub();
    world_init(w, &c);
    node_open(w, 0, NULL);
    node_open(w, 1, NULL);
    world_run(w);
    assert_int_equal(w->node[0].connected, 1);
    assert_int_equal(w->node[1].connected, 1);
}

static void handshake_and_a_packet_each_way(void **state) {
    (void)state;
    struct world w;
    open_two(&w);
    assert_memory_equal(w.node[0].last_key, relay_hub_key(w.hub), 32);
    assert_int_equal(node_send(&w, 0, node_key(&w, 1), 0x20000001, 100), BK_OK);
    assert_int_equal(node_send(&w, 1, node_key(&w, 0), 0x20000002, 65536), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[1].packets, 1);
    assert_int_equal(w.node[1].log[0], 0x20000001);
    assert_int_equal(w.node[1].last_len, 100);
    assert_memory_equal(w.node[1].last_key, node_key(&w, 0), 32);
    assert_int_equal(w.node[0].packets, 1);
    assert_int_equal(w.node[0].last_len, 65536);
    struct relay_hub_stats s;
    relay_hub_stats(w.hub, &s);
    assert_int_equal(s.packets_in, 2);
    assert_int_equal(s.packets_out, 2);
    assert_int_equal(s.bytes_out, 65636);
    assert_int_equal(s.chunks_used, 0);
    world_fini(&w);
}

static void byte_by_byte_is_the_same(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    world_init(&w, &c);
    w.chunk = 1;
    node_open(&w, 0, NULL);
    node_open(&w, 1, NULL);
    /* Queued before the handshake: they leave right behind it. */
    assert_int_equal(node_send(&w, 0, node_key(&w, 1), 0x20000001, 2100), BK_OK);
    world_run(&w);
    assert_int_equal(node_send(&w, 0, node_key(&w, 1), 0x20000002, 2100), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[1].connected, 1);
    assert_true(w.node[1].packets >= 1);
    assert_int_equal(w.node[1].log[w.node[1].packets - 1], 0x20000002);
    world_fini(&w);
}

static void pings_are_answered(void **state) {
    (void)state;
    struct world w;
    open_two(&w);
    assert_int_equal(relay_client_ping(w.node[0].client, w.now), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[0].pongs, 1);
    world_fini(&w);
}

static void a_full_client_queue_says_so_and_when_there_is_room(void **state) {
    (void)state;
    struct world w;
    open_two(&w);
    enum bk_err err = BK_OK;
    size_t taken = 0;
    while ((err = node_send(&w, 0, node_key(&w, 1), 0x20000000, 1400)) == BK_OK)
        taken++;
    assert_int_equal(err, BK_ERR_FULL);
    assert_true(taken > 150);
    world_run(&w);
    assert_int_equal(w.node[0].room, 1);
    assert_int_equal(w.node[1].packets, taken); /* nothing was lost on the way */
    world_fini(&w);
}

static bool take_bytes(struct relay_client *c) {
    struct relay_piece piece;
    bool any = false;
    while (relay_client_next_bytes(c, &piece)) {
        relay_client_sent(c, piece.len); /* into a dead network */
        any = true;
    }
    return any;
}

static void a_doubted_server_must_say_something(void **state) {
    (void)state;
    struct world w;
    open_two(&w);
    struct relay_client *c = w.node[0].client;
    relay_client_doubt(c, w.now);
    world_run(&w); /* it is there: it answers */
    world_pass_ms(&w, 5000);
    assert_true(relay_client_is_connected(c));
    relay_client_doubt(c, w.now);
    assert_true(take_bytes(c)); /* the question is lost on the way */
    struct bk_time end = relay_client_deadline(c);
    assert_true(bk_elapsed_us(w.now, end) <= 4 * BK_US_PER_S);
    relay_client_advance(c, end);
    assert_false(relay_client_is_connected(c));
    world_fini(&w);
}

static void a_silent_server_is_asked(void **state) {
    (void)state;
    struct world w;
    open_two(&w);
    struct relay_client *c = w.node[0].client;
    struct bk_time ask = relay_client_deadline(c);
    assert_int_equal(bk_elapsed_us(w.now, ask), 25 * BK_US_PER_S);
    relay_client_advance(c, ask);
    assert_true(take_bytes(c));
    assert_int_equal(bk_elapsed_us(ask, relay_client_deadline(c)), 4 * BK_US_PER_S);
    relay_client_advance(c, relay_client_deadline(c));
    assert_false(relay_client_is_connected(c));
    world_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_and_a_packet_each_way),
        cmocka_unit_test(byte_by_byte_is_the_same),
        cmocka_unit_test(pings_are_answered),
        cmocka_unit_test(a_full_client_queue_says_so_and_when_there_is_room),
        cmocka_unit_test(a_doubted_server_must_say_something),
        cmocka_unit_test(a_silent_server_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
