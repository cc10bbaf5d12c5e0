/* SPDX-License-Identifier: MIT
 * Streams: in order, through NAT boxes, whole after losses, broken when the path is. */
#include "../test.h"
#include "sim/world.h"

enum { BUFFER = 400000 };

struct end {
    actor_id actor;
    stream_id stream;
    unsigned accepted, opened, ended, broken, writable;
    uint8_t *got;
    size_t len;
    const uint8_t *to_send; /* written as room comes */
    size_t left;
    bool close_when_sent;
};

static void push(struct end *e, struct world *w) {
    size_t n = world_stream_write(w, e->stream, e->to_send, e->left);
    if (n > 0) /* adding 0 to a NULL pointer is undefined in C */
        e->to_send += n;
    e->left -= n;
    if (e->left == 0 && e->close_when_sent)
        world_stream_close(w, e->stream);
}

static void on_stream(void *ctx, struct world *w, stream_id stream, enum world_stream_event event,
                      const uint8_t *data, size_t len) {
    struct end *e = ctx;
    switch (event) {
    case WORLD_STREAM_ACCEPTED:
        e->accepted++;
        e->stream = stream;
        break;
    case WORLD_STREAM_OPEN:
        e->opened++;
        push(e, w);
        break;
    case WORLD_STREAM_WRITABLE:
        e->writable++;
        push(e, w);
        break;
    case WORLD_STREAM_BYTES:
        assert_true(e->len + len <= BUFFER);
        memcpy(e->got + e->len, data, len);
        e->len += len;
        break;
    case WORLD_STREAM_END:
        e->ended++;
        break;
    case WORLD_STREAM_BROKEN:
        e->broken++;
        break;
    }
}

struct line {
    struct world *w;
    node_id server, box, alice;
    struct end client, host;
};

static void end_init(struct end *e, struct world *w, node_id node) {
    memset(e, 0, sizeof *e);
    e->got = test_get(NULL, BUFFER);
    e->actor = world_add_actor(w, node, &(struct world_actor){.ctx = e, .on_stream = on_stream});
}

static void build(struct line *l, const struct world_link *link) {
    struct world_config config = world_config_default;
    config.seed = 5;
    config.packets_max = 1024;
    assert_int_equal(world_new(&config, &test_alloc, &l->w), BK_OK);
    struct nat_config home;
    assert_int_equal(nat_preset("home", &home), BK_OK);
    home.external[0] = bk_ipv4(203, 0, 113, 1);
    home.external_count = 1;
    home.mappings_max = home.sessions_max = 64;
    l->server = world_add_host(l->w, "server", WORLD_CORE, bk_ipv4(198, 51, 100, 1), NULL);
    l->box = world_add_nat(l->w, "box", WORLD_CORE, &home, link);
    l->alice = world_add_host(l->w, "alice", l->box, bk_ipv4(192, 168, 1, 2), NULL);
    end_init(&l->client, l->w, l->alice);
    end_init(&l->host, l->w, l->server);
    assert_int_equal(world_stream_listen(l->w, l->host.actor, 443), BK_OK);
}

static void finish(struct line *l) {
    test_put(NULL, l->client.got);
    test_put(NULL, l->host.got);
    world_free(l->w);
}

static void dial(struct line *l, uint16_t port) {
    struct bk_addr to = bk_addr(bk_ipv4(198, 51, 100, 1), port);
    assert_int_equal(world_stream_open(l->w, l->client.actor, to, &l->client.stream), BK_OK);
}

static void fill(uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 977);
}

static void test_opens_after_one_round_trip(void **state) {
    (void)state;
    struct line l;
    build(&l, &(struct world_link){.delay_us = 20000});
    dial(&l, 443);
    world_run(l.w, 39999);
    assert_int_equal(l.host.accepted, 1);
    assert_int_equal(l.client.opened, 0);
    world_run(l.w, 1);
    assert_int_equal(l.client.opened, 1);
    struct bk_addr seen = world_stream_remote(l.w, l.host.stream);
    assert_true(bk_ip_equal(&seen.ip, &(struct bk_ip){BK_IPV4, {203, 0, 113, 1}, 0}));
    finish(&l);
}

/* More than a window, over a path that loses 5 % and reorders the rest. */
static void test_all_bytes_arrive_in_order(void **state) {
    (void)state;
    struct line l;
    static uint8_t bytes[BUFFER];
    fill(bytes, sizeof bytes);
    build(&l, &(struct world_link){.delay_us = 5000, .jitter_us = 4000, .loss_ppm = 50000});
    l.client.to_send = bytes;
    l.client.left = sizeof bytes;
    l.client.close_when_sent = true;
    dial(&l, 443);
    world_run(l.w, 60 * BK_US_PER_S);
    assert_int_equal(l.host.len, sizeof bytes);
    assert_memory_equal(l.host.got, bytes, sizeof bytes);
    assert_int_equal(l.host.ended, 1);
    assert_true(l.client.writable > 0);
    assert_true(world_get_counters(l.w)->retransmitted > 0);
    assert_int_equal(l.client.broken + l.host.broken, 0);
    finish(&l);
}

static void test_both_directions_and_close(void **state) {
    (void)state;
    struct line l;
    build(&l, NULL);
    dial(&l, 443);
    world_run(l.w, 1000);
    assert_int_equal(world_stream_write(l.w, l.host.stream, (const uint8_t *)"hello", 5), 5);
    assert_int_equal(world_stream_write(l.w, l.client.stream, (const uint8_t *)"you", 3), 3);
    world_stream_close(l.w, l.host.stream);
    world_run(l.w, 1000);
    assert_memory_equal(l.client.got, "hello", 5);
    assert_int_equal(l.client.ended, 1);
    assert_int_equal(world_stream_write(l.w, l.client.stream, (const uint8_t *)"x", 1), 1);
    world_run(l.w, 1000);
    assert_int_equal(l.client.broken, 1); /* nobody is there any more */
    world_stream_close(l.w, l.client.stream);
    finish(&l);
}

static void test_closed_port_refuses(void **state) {
    (void)state;
    struct line l;
    build(&l, NULL);
    dial(&l, 444);
    world_run(l.w, 1000);
    assert_int_equal(l.client.broken, 1);
    finish(&l);
}

/* A short cut only delays; a long one breaks. */
static void test_cuts(void **state) {
    (void)state;
    struct line l;
    build(&l, NULL);
    dial(&l, 443);
    world_run(l.w, 1000);
    world_cut_hosts(l.w, l.alice, l.server, WORLD_CUT_UDP);
    assert_int_equal(world_stream_write(l.w, l.client.stream, (const uint8_t *)"a", 1), 1);
    world_run(l.w, 1000);
    assert_int_equal(l.host.len, 1); /* not UDP */
    world_cut_hosts(l.w, l.alice, l.server, WORLD_CUT_ALL);
    assert_int_equal(world_stream_write(l.w, l.client.stream, (const uint8_t *)"b", 1), 1);
    world_run(l.w, BK_US_PER_S);
    assert_int_equal(l.host.len, 1);
    world_cut_hosts(l.w, l.alice, l.server, WORLD_CUT_NONE);
    world_run(l.w, 2 * BK_US_PER_S);
    assert_int_equal(l.host.len, 2);
    world_cut_link(l.w, l.box, WORLD_CUT_ALL);
    assert_int_equal(world_stream_write(l.w, l.client.stream, (const uint8_t *)"c", 1), 1);
    world_run(l.w, 120 * BK_US_PER_S);
    assert_int_equal(l.client.broken, 1);
    finish(&l);
}

/* A box that picks up connections lets one live through its reboot; one that does not, starves it.
 */
static void test_nat_reboot(void **state) {
    (void)state;
    struct line l;
    build(&l, NULL);
    dial(&l, 443);
    world_run(l.w, 1000);
    world_reboot_nat(l.w, l.box);
    assert_int_equal(world_stream_write(l.w, l.host.stream, (const uint8_t *)"late", 4), 4);
    world_run(l.w, 100000);
    assert_int_equal(l.client.len, 0); /* from outside it cannot come back ... */
    assert_int_equal(world_stream_write(l.w, l.client.stream, (const uint8_t *)"a", 1), 1);
    world_run(l.w, BK_US_PER_S);
    assert_int_equal(l.host.len, 1); /* ... until something goes out */
    assert_int_equal(l.client.len, 4);
    finish(&l);
}

static void test_new_outside_address_breaks_the_stream(void **state) {
    (void)state;
    struct line l;
    build(&l, NULL);
    dial(&l, 443);
    world_run(l.w, 1000);
    world_readdress_nat(l.w, l.box, bk_ipv4(203, 0, 113, 9));
    assert_int_equal(world_stream_write(l.w, l.client.stream, (const uint8_t *)"a", 1), 1);
    world_run(l.w, BK_US_PER_S);
    assert_int_equal(l.client.broken, 1); /* the server has no such connection: reset */
    finish(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_after_one_round_trip),
        cmocka_unit_test(test_all_bytes_arrive_in_order),
        cmocka_unit_test(test_both_directions_and_close),
        cmocka_unit_test(test_closed_port_refuses),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_nat_reboot),
        cmocka_unit_test(test_new_outside_address_breaks_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
