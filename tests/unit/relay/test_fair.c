/* SPDX-License-Identifier: MIT
 * One slow receiver: who loses, who waits, and what it costs the others. */
#include "fixture.h"

enum { FLOODER = 0, POLITE = 1, SLOW = 2, OTHER = 3 };

static void open_nodes(struct world *w, const struct relay_hub_config *c, int count) {
    world_init(w, c);
    for (int i = 0; i < count; i++)
        node_open(w, i, NULL);
    world_run(w);
}

static void open_four(struct world *w) {
    struct relay_hub_config c = small_hub();
    open_nodes(w, &c, 4);
}

/* Four of them, and SLOW takes nothing until the test gives it a budget. */
static void open_with_slow(struct world *w) {
    open_four(w);
    w->node[SLOW].budget = 0;
}

static struct relay_hub_stats stats_of(const struct world *w) {
    struct relay_hub_stats s;
    relay_hub_stats(w->hub, &s);
    return s;
}

static uint64_t dropped(const struct world *w) {
    struct relay_hub_stats s = stats_of(w);
    uint64_t sum = 0;
    for (int i = 0; i < RELAY_DROPS; i++)
        sum += s.dropped[i][0] + s.dropped[i][1];
    return sum;
}

/* Straight into the hub, as from a client that ignores every limit. */
static void force(struct world *w, int from, int to, uint32_t number, size_t len) {
    static uint8_t frame[DERP_HEADER_LEN + DERP_KEY_LEN + DERP_PACKET_MAX];
    static uint8_t data[DERP_PACKET_MAX];
    struct wire_writer out = wire_writer(frame, sizeof frame);
    data[0] = (uint8_t)(number >> 24);
    data[1] = (uint8_t)(number >> 16);
    data[2] = (uint8_t)(number >> 8);
    data[3] = (uint8_t)number;
    derp_put_send_packet(&out, node_key(w, to), data, len);
    relay_hub_recv(w->hub, w->node[from].conn, frame, out.len, w->now);
}

/* `count` packets for SLOW. */
static void force_many(struct world *w, int from, uint32_t number, size_t len, int count) {
    for (int i = 0; i < count; i++)
        force(w, from, SLOW, number, len);
}

static void a_flood_costs_the_flooder_and_nobody_else(void **state) {
    (void)state;
    struct world w;
    size_t polite = 0, from_polite = 0;
    open_four(&w);
    for (int round = 0; round < 200; round++) {
        force_many(&w, FLOODER, 0x20000000, 1400, 40); /* 56 kB a round from the flooder ... */
        if (round % 2 == 0)                            /* ... 700 bytes from the polite one ... */
            force(&w, POLITE, SLOW, 0x30000000 + (uint32_t)polite++, 1400);
        w.node[SLOW].budget = 4 * 1437; /* ... and 5.7 kB taken */
        world_run(&w);
    }
    w.node[SLOW].budget = SIZE_MAX;
    world_run(&w);
    for (size_t i = 0; i < w.node[SLOW].packets; i++)
        if ((w.node[SLOW].log[i] & 0x30000000) == 0x30000000)
            assert_int_equal(w.node[SLOW].log[i], 0x30000000 + from_polite++); /* and in order */
    assert_int_equal(from_polite, polite);
    assert_int_equal(stats_of(&w).dropped[RELAY_DROP_QUEUE_HEAD][0], dropped(&w));
    assert_true(dropped(&w) > 6000);
    assert_int_equal(w.node[SLOW].packets + dropped(&w), 200 * 40 + polite);
    world_fini(&w);
}

static void turns_go_by_bytes_not_by_packets(void **state) {
    (void)state;
    struct world w;
    size_t big = 0, small = 0;
    open_with_slow(&w);
    force_many(&w, FLOODER, 0x20000000, 12000, 20);
    force_many(&w, POLITE, 0x30000000, 1000, 200);
    w.node[SLOW].budget = 120000;
    world_run(&w);
    for (size_t i = 0; i < w.node[SLOW].packets; i++)
        *((w.node[SLOW].log[i] & 0x10000000) != 0 ? &small : &big) += 1;
    assert_in_range(small, 40, 75); /* about half of the bytes each */
    assert_in_range(big, 3, 7);
    world_fini(&w);
}

static void signalling_overtakes_bulk(void **state) {
    (void)state;
    struct world w;
    open_with_slow(&w);
    force_many(&w, FLOODER, 0x20000000, 1400, 100);
    world_run(&w); /* stages the first 16 KiB */
    force(&w, POLITE, SLOW, 0x05000001, 100);
    force(&w, OTHER, SLOW, 0x5453f09f, 100); /* not quite disco: the magic has six bytes */
    w.node[SLOW].budget = SIZE_MAX;
    world_run(&w);
    size_t signal = 0, other = 0;
    for (size_t i = 0; i < w.node[SLOW].packets; i++) {
        if (w.node[SLOW].log[i] == 0x05000001)
            signal = i;
        if (w.node[SLOW].log[i] == 0x5453f09f)
            other = i;
    }
    assert_in_range(signal, 1, 13);
    assert_true(other > signal);
    world_fini(&w);
}

static void a_flood_of_signalling_does_not_starve_bulk(void **state) {
    (void)state;
    struct world w;
    size_t bulk = 0;
    open_four(&w);
    for (int round = 0; round < 50; round++) {
        force_many(&w, FLOODER, 0x05000000, 1400, 20);
        force(&w, POLITE, SLOW, 0x30000000, 1400);
        w.node[SLOW].budget = 12 * 1437;
        world_run(&w);
    }
    for (size_t i = 0; i < w.node[SLOW].packets; i++)
        bulk += w.node[SLOW].log[i] == 0x30000000;
    assert_true(bulk >= 49);
    assert_int_equal(stats_of(&w).dropped[RELAY_DROP_QUEUE_HEAD][0], 0);
    world_fini(&w);
}

static void a_sender_to_a_slow_receiver_waits_and_loses_nothing(void **state) {
    (void)state;
    struct world w;
    size_t sent = 0;
    open_four(&w);
    for (int round = 0; round < 400; round++) {
        while (node_send(&w, FLOODER, node_key(&w, SLOW), (uint32_t)(0x20000000 + sent), 1400) ==
               BK_OK)
            sent++;
        w.node[SLOW].budget = 10 * 1437;
        world_run(&w);
        world_pass_ms(&w, 20);
    }
    assert_true(stats_of(&w).pauses > 10);
    w.node[SLOW].budget = SIZE_MAX;
    for (int i = 0; i < 100; i++) {
        world_run(&w);
        world_pass_ms(&w, 100);
    }
    assert_int_equal(w.node[SLOW].packets, sent); /* the pressure reached the sending client */
    assert_int_equal(dropped(&w), 0);
    world_fini(&w);
}

static void a_dead_receiver_holds_a_sender_up_once(void **state) {
    (void)state;
    struct world w;
    open_with_slow(&w);
    for (int i = 0; i < 150; i++)
        assert_int_equal(node_send(&w, FLOODER, node_key(&w, SLOW), 0x20000000, 1400), BK_OK);
    world_run(&w);
    assert_false(relay_hub_wants_read(w.hub, w.node[FLOODER].conn));
    assert_true(relay_hub_wants_read(w.hub, w.node[POLITE].conn));
    world_pass_ms(&w, 250);
    world_run(&w);
    assert_true(relay_hub_wants_read(w.hub, w.node[FLOODER].conn));
    /* From now on packets to the dead one are dropped when they must be; others pass at once. */
    for (int i = 0; i < 100; i++)
        assert_int_equal(node_send(&w, FLOODER, node_key(&w, SLOW), 0x20000000, 1400), BK_OK);
    assert_int_equal(node_send(&w, FLOODER, node_key(&w, OTHER), 0x20000001, 1400), BK_OK);
    world_run(&w);
    assert_int_equal(w.node[OTHER].packets, 1);
    assert_true(relay_hub_wants_read(w.hub, w.node[FLOODER].conn));
    world_fini(&w);
}

static void a_sender_with_other_traffic_is_not_paused(void **state) {
    (void)state;
    struct world w;
    open_with_slow(&w);
    for (int i = 0; i < 600; i++) {
        force(&w, FLOODER, SLOW, 0x20000000, 1400);
        if (i % 50 == 0)
            force(&w, FLOODER, OTHER, 0x20000001, 1400);
        assert_true(relay_hub_wants_read(w.hub, w.node[FLOODER].conn));
    }
    world_run(&w);
    assert_int_equal(w.node[OTHER].packets, 12);
    assert_int_equal(stats_of(&w).pauses, 0);
    assert_true(dropped(&w) > 0);
    world_fini(&w);
}

static void memory_is_bounded_whatever_the_receivers_do(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    c.pool_bytes = 1u << 20;
    c.queue_bytes = 1u << 20;
    c.queue_packets = 100000;
    open_nodes(&w, &c, 4);
    for (int i = 0; i < 4; i++)
        w.node[i].budget = 0;
    for (int i = 0; i < 2000; i++)
        for (int to = 1; to < 4; to++)
            force(&w, FLOODER, to, 0x20000000, 1400);
    relay_hub_check(w.hub);
    struct relay_hub_stats s = stats_of(&w);
    assert_true(s.chunks_used < s.chunks - s.chunks / 16);
    /* A newcomer still gets in and is served. */
    node_open(&w, 4, NULL);
    world_run(&w);
    assert_int_equal(w.node[4].connected, 1);
    force(&w, FLOODER, 4, 0x20000009, 1400);
    world_run(&w);
    assert_int_equal(w.node[4].packets, 1);
    world_fini(&w);
}

static void half_frames_cannot_hold_the_pool(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    static uint8_t frame[DERP_HEADER_LEN + 65000] = {DERP_SEND_PACKET, 0, 1, 0, 32};
    c.pool_bytes = 1u << 20;
    open_nodes(&w, &c, NODES);
    for (int i = 0; i < NODES; i++)
        relay_hub_recv(w.hub, w.node[i].conn, frame, sizeof frame, w.now);
    relay_hub_check(w.hub);
    assert_true(stats_of(&w).chunks_used <= stats_of(&w).chunks / 4 + 1);
    world_fini(&w);
}

static void what_waits_for_a_lost_receiver_is_counted(void **state) {
    (void)state;
    struct world w;
    open_with_slow(&w);
    force_many(&w, FLOODER, 0x20000000, 1400, 30);
    node_close(&w, SLOW);
    assert_int_equal(stats_of(&w).dropped[RELAY_DROP_GONE][0], 30);
    assert_int_equal(stats_of(&w).chunks_used, 0);
    world_fini(&w);
}

static void packets_of_a_sender_that_left_still_arrive(void **state) {
    (void)state;
    struct world w;
    open_with_slow(&w);
    force_many(&w, POLITE, 0x20000000, 1400, 30);
    world_run(&w);
    node_close(&w, POLITE);
    w.node[SLOW].budget = SIZE_MAX;
    world_run(&w);
    assert_int_equal(w.node[SLOW].packets, 30);
    assert_int_equal(w.node[SLOW].gone, 1);
    world_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_costs_the_flooder_and_nobody_else),
        cmocka_unit_test(turns_go_by_bytes_not_by_packets),
        cmocka_unit_test(signalling_overtakes_bulk),
        cmocka_unit_test(a_flood_of_signalling_does_not_starve_bulk),
        cmocka_unit_test(a_sender_to_a_slow_receiver_waits_and_loses_nothing),
        cmocka_unit_test(a_dead_receiver_holds_a_sender_up_once),
        cmocka_unit_test(a_sender_with_other_traffic_is_not_paused),
        cmocka_unit_test(memory_is_bounded_whatever_the_receivers_do),
        cmocka_unit_test(half_frames_cannot_hold_the_pool),
        cmocka_unit_test(what_waits_for_a_lost_receiver_is_counted),
        cmocka_unit_test(packets_of_a_sender_that_left_still_arrive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
