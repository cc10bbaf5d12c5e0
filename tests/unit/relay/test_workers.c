/* SPDX-License-Identifier: MIT
 * Two hubs with one key, joined by their events: they must look like one. And mesh peers. */
#include "fixture.h"

struct fleet {
    struct world w[2];
    bool lose_pressure;
};

static void fleet_init(struct fleet *f) {
    struct relay_hub_config c = small_hub();
    c.announce = true;
    c.remote_keys_max = 4;
    memset(f, 0, sizeof *f);
    world_init(&f->w[0], &c);
    world_init(&f->w[1], &c);
}

static bool pass_events(struct fleet *f, uint32_t from) {
    struct relay_hub *other = f->w[1 - from].hub;
    struct bk_time now = f->w[1 - from].now;
    struct relay_hub_event ev;
    bool any = false;
    while (relay_hub_next_event(f->w[from].hub, &ev)) {
        any = true;
        switch (ev.type) {
        case RELAY_HUB_PRESENT:
            assert_int_equal(relay_hub_remote_present(other, from, ev.key), BK_OK);
            break;
        case RELAY_HUB_GONE:
            relay_hub_remote_gone(other, from, ev.key);
            break;
        case RELAY_HUB_PRESSURE:
            assert_int_equal(ev.hub, 1 - from);
            if (!f->lose_pressure)
                relay_hub_remote_pressure(other, ev.key, ev.dst, ev.on, now);
            break;
        case RELAY_HUB_FORWARD:
            assert_int_equal(ev.hub, 1 - from);
            relay_hub_remote_packet(other, ev.key, ev.dst, ev.data, ev.len, now);
            break;
        }
    }
    return any;
}

static void fleet_run(struct fleet *f) {
    bool any = true;
    while (any) {
        world_run(&f->w[0]);
        world_run(&f->w[1]);
        any = pass_events(f, 0);
        any = pass_events(f, 1) || any;
    }
}

static void fleet_pass_ms(struct fleet *f, int64_t ms) {
    world_pass_ms(&f->w[0], ms);
    world_pass_ms(&f->w[1], ms);
}

static void fleet_fini(struct fleet *f) {
    world_fini(&f->w[0]);
    world_fini(&f->w[1]);
}

static void open_one_each(struct fleet *f) {
    fleet_init(f);
    f->w[1].seeded.s[0]++; /* other keys than the first world */
    node_open(&f->w[0], 0, NULL);
    node_open(&f->w[1], 0, NULL);
    fleet_run(f);
}

static void a_packet_crosses_and_gone_comes_back(void **state) {
    (void)state;
    struct fleet f;
    open_one_each(&f);
    assert_int_equal(node_send(&f.w[0], 0, node_key(&f.w[1], 0), 0x20000001, 5000), BK_OK);
    fleet_run(&f);
    assert_int_equal(f.w[1].node[0].packets, 1);
    assert_int_equal(f.w[1].node[0].last_len, 5000);
    assert_memory_equal(f.w[1].node[0].last_key, node_key(&f.w[0], 0), 32);
    node_close(&f.w[0], 0);
    fleet_run(&f);
    assert_int_equal(f.w[1].node[0].gone, 1);
    fleet_fini(&f);
}

static void the_hub_that_heard_the_key_last_gets_its_packets(void **state) {
    (void)state;
    struct fleet f;
    uint8_t secret[32] = {8, 5, [31] = 64};
    open_one_each(&f);
    node_open(&f.w[0], 1, secret);
    fleet_run(&f);
    node_open(&f.w[1], 1, secret);
    fleet_run(&f);
    assert_int_equal(node_send(&f.w[0], 0, node_key(&f.w[0], 1), 1, 50), BK_OK);
    fleet_run(&f);
    assert_int_equal(f.w[1].node[1].packets, 1); /* the newer one, on the other hub */
    assert_int_equal(relay_client_ping(f.w[0].node[1].client, f.w[0].now), BK_OK);
    fleet_run(&f);
    assert_int_equal(node_send(&f.w[0], 0, node_key(&f.w[0], 1), 2, 50), BK_OK);
    fleet_run(&f);
    assert_int_equal(f.w[0].node[1].packets, 1); /* heard last, here */
    node_close(&f.w[0], 1);
    fleet_run(&f);
    assert_int_equal(f.w[0].node[0].gone, 0); /* the other hub still has it ... */
    assert_int_equal(node_send(&f.w[0], 0, node_key(&f.w[1], 1), 3, 50), BK_OK);
    fleet_run(&f);
    assert_int_equal(f.w[1].node[1].packets, 2); /* ... and says so again */
    fleet_fini(&f);
}

static void pressure_crosses_too(void **state) {
    (void)state;
    struct fleet f;
    size_t sent = 0;
    open_one_each(&f);
    for (int round = 0; round < 300; round++) {
        while (node_send(&f.w[0], 0, node_key(&f.w[1], 0), 0x20000000, 1400) == BK_OK)
            sent++;
        f.w[1].node[0].budget = 10 * 1437;
        fleet_run(&f);
        fleet_pass_ms(&f, 20);
    }
    f.w[1].node[0].budget = SIZE_MAX;
    for (int i = 0; i < 50; i++) {
        fleet_run(&f);
        fleet_pass_ms(&f, 100);
    }
    assert_true(sent > 3000);
    assert_int_equal(f.w[1].node[0].packets, sent);
    fleet_fini(&f);
}

static void pressure_that_is_not_taken_back_ends_by_time(void **state) {
    (void)state;
    struct fleet f;
    open_one_each(&f);
    f.w[1].node[0].budget = 0;
    for (int i = 0; i < 150; i++)
        assert_int_equal(node_send(&f.w[0], 0, node_key(&f.w[1], 0), 0x20000000, 1400), BK_OK);
    fleet_run(&f);
    fleet_pass_ms(&f, 1); /* the breath after a burst */
    fleet_run(&f);
    assert_false(relay_hub_wants_read(f.w[0].hub, f.w[0].node[0].conn));
    f.lose_pressure = true;
    f.w[1].node[0].budget = SIZE_MAX;
    fleet_run(&f);
    assert_false(relay_hub_wants_read(f.w[0].hub, f.w[0].node[0].conn));
    fleet_pass_ms(&f, 2000);
    assert_true(relay_hub_wants_read(f.w[0].hub, f.w[0].node[0].conn));
    fleet_fini(&f);
}

static void a_hub_that_stops_takes_its_keys_along(void **state) {
    (void)state;
    struct fleet f;
    open_one_each(&f);
    assert_int_equal(node_send(&f.w[1], 0, node_key(&f.w[0], 0), 1, 50), BK_OK);
    fleet_run(&f);
    assert_int_equal(f.w[0].node[0].packets, 1);
    relay_hub_remote_down(f.w[0].hub, 1);
    world_run(&f.w[0]);
    assert_int_equal(f.w[0].node[0].gone, 1);
    struct relay_hub_stats s;
    relay_hub_stats(f.w[0].hub, &s);
    assert_int_equal(s.remote_keys, 0);
    fleet_fini(&f);
}

static void keys_elsewhere_are_bounded(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    uint8_t key[32] = {0};
    c.remote_keys_max = 3;
    world_init(&w, &c);
    for (uint8_t i = 0; i < 5; i++) {
        key[0] = i;
        assert_int_equal(relay_hub_remote_present(w.hub, 1, key), i < 3 ? BK_OK : BK_ERR_FULL);
    }
    key[0] = 0;
    assert_int_equal(relay_hub_remote_present(w.hub, 2, key), BK_OK); /* moved, not new */
    relay_hub_remote_gone(w.hub, 1, key);                             /* an old story */
    struct relay_hub_stats s;
    relay_hub_stats(w.hub, &s);
    assert_int_equal(s.remote_keys, 3);
    world_fini(&w);
}

/* News that nobody has fetched keep a peer; a claim from elsewhere that ended must not stay with
 * it. */
static void a_claim_elsewhere_ends_while_news_wait(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    uint8_t key[32];
    c.announce = true;
    c.remote_keys_max = 3;
    world_init(&w, &c);
    node_open(&w, 0, NULL);
    world_run(&w);
    memcpy(key, node_key(&w, 0), sizeof key);
    assert_int_equal(relay_hub_remote_present(w.hub, 1, key), BK_OK);
    node_close(&w, 0);
    relay_hub_remote_gone(w.hub, 1, key);
    relay_hub_check(w.hub);
    world_fini(&w);
}

/* A connection that does its own handshake with the mesh key. */
static uint32_t mesh_open(struct world *w) {
    struct bk_addr from = bk_addr(bk_ipv4(192, 0, 2, 77), 77);
    const char json[] = "{\"version\":2,\"meshKey\":"
                        "\"0505050505050505050505050505050505050505050505050505050505050505\"}";
    uint8_t key[32], secret[32], box[256], frame[512];
    uint32_t conn = 0;
    struct wire_writer out = wire_writer(frame, sizeof frame);
    box_keypair(&w->rng, key, secret);
    assert_int_equal(relay_hub_accept(w->hub, &from, w->now, &conn), BK_OK);
    assert_int_equal(box_seal(&w->rng, relay_hub_key(w->hub), secret, (const uint8_t *)json,
                              sizeof json - 1, box),
                     BK_OK);
    derp_put_client_info(&out, key, box, sizeof json - 1 + BOX_OVERHEAD);
    derp_put_watch_conns(&out);
    relay_hub_recv(w->hub, conn, frame, out.len, w->now);
    return conn;
}

/* How many frames of a type wait for the connection; takes them all. */
static size_t count_frames(struct world *w, uint32_t conn, enum derp_type type) {
    static uint8_t all[65536];
    struct relay_piece p[RELAY_HUB_PIECES];
    size_t len = 0, count = 0, at = 0, used = 0, n;
    struct derp_frame f;
    while ((n = relay_hub_next_bytes(w->hub, conn, p, RELAY_HUB_PIECES)) > 0) {
        for (size_t i = 0; i < n; i++) {
            memcpy(all + len, p[i].data, p[i].len);
            len += p[i].len;
        }
        relay_hub_sent(w->hub, conn, relay_pieces_len(p, n), w->now);
    }
    for (; at < len && derp_parse(all + at, len - at, &f, &used) == BK_OK; at += used)
        count += f.type == type;
    assert_int_equal(at, len);
    return count;
}

static void a_mesh_peer_watches_forwards_and_closes(void **state) {
    (void)state;
    struct world w;
    struct relay_hub_config c = small_hub();
    uint8_t frame[256];
    const uint8_t elsewhere[32] = {0xee};
    c.mesh_key_set = true;
    memset(c.mesh_key, 5, sizeof c.mesh_key);
    world_init(&w, &c);
    node_open(&w, 0, NULL);
    node_open(&w, 1, NULL);
    world_run(&w);
    uint32_t mesh = mesh_open(&w);
    assert_int_equal(count_frames(&w, mesh, DERP_PEER_PRESENT), 3); /* itself included */
    node_open(&w, 2, NULL);
    world_run(&w);
    assert_int_equal(count_frames(&w, mesh, DERP_PEER_PRESENT), 1);
    struct wire_writer out = wire_writer(frame, sizeof frame);
    derp_put_forward_packet(&out, elsewhere, node_key(&w, 0), (const uint8_t *)"data", 4);
    derp_put_forward_packet(&out, elsewhere, elsewhere, (const uint8_t *)"data", 4);
    derp_put_close_peer(&out, node_key(&w, 1));
    relay_hub_recv(w.hub, mesh, frame, out.len, w.now);
    world_run(&w);
    assert_int_equal(w.node[0].packets, 1);
    assert_memory_equal(w.node[0].last_key, elsewhere, 32);
    assert_true(w.node[1].closed);
    assert_int_equal(w.node[1].why_closed, RELAY_CLOSE_PEER);
    assert_int_equal(count_frames(&w, mesh, DERP_PEER_GONE), 1);
    struct relay_hub_stats s;
    relay_hub_stats(w.hub, &s);
    assert_int_equal(s.dropped[RELAY_DROP_UNKNOWN_DEST_ON_FWD][0], 1);
    relay_hub_close(w.hub, mesh, w.now);
    world_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_crosses_and_gone_comes_back),
        cmocka_unit_test(the_hub_that_heard_the_key_last_gets_its_packets),
        cmocka_unit_test(pressure_crosses_too),
        cmocka_unit_test(pressure_that_is_not_taken_back_ends_by_time),
        cmocka_unit_test(a_hub_that_stops_takes_its_keys_along),
        cmocka_unit_test(keys_elsewhere_are_bounded),
        cmocka_unit_test(a_claim_elsewhere_ends_while_news_wait),
        cmocka_unit_test(a_mesh_peer_watches_forwards_and_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
