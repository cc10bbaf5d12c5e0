/* SPDX-License-Identifier: MIT
 * Both tiers carry the same datagrams, in the same order, through one socket to several: some with
 * four bytes left out, some with four put in front. */
#include "../test.h"

#include "base/rng.h"
#include "net/alloc.h"
#include "net/plane.h"
#include <unistd.h>

enum { FLOWS = 5, HEAD = 4, PAYLOAD_MIN = 4, PAYLOAD_MAX = 1100, LIMIT_US = 5000000 };

struct world;

struct ear {
    struct world *world;
    struct net_port *port;
    unsigned flow, next; /* the datagram that must come next */
};

struct world {
    struct net_loop *loop;
    struct net_plane *from, *plane; /* `from` only sends */
    struct net_port *source, *middle;
    struct ear ears[FLOWS];
    unsigned sent[FLOWS], heard, icmp;
    struct rng_seeded dice;
};

static uint32_t dice(struct world *w, uint32_t sides) {
    return (uint32_t)(rng_seeded_next(&w->dice) >> 32) % sides;
}

/* Few sizes, so that trains come about; the same for both ends. */
static size_t size_of(unsigned flow, unsigned n) {
    static const size_t sizes[] = {100, 100, 100, 60, 100, 100, 1100, 1100, 4};
    return sizes[(n / 2 + flow) % (sizeof sizes / sizeof *sizes)];
}

static void write_payload(uint8_t *out, unsigned flow, unsigned n) {
    size_t size = size_of(flow, n);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(flow * 7 + n + i);
    out[0] = (uint8_t)flow;
    out[1] = (uint8_t)(n >> 8);
    out[2] = (uint8_t)n;
}

/* Odd flows come with four bytes in front, which are left out; even ones get four. */
static void on_middle(void *ctx, const struct bk_datagram *in, struct bk_time now) {
    struct world *w = ctx;
    size_t segment = in->segment == 0 ? in->len : in->segment;
    (void)now;
    for (size_t at = 0; at < in->len; at += segment) {
        size_t len = in->len - at < segment ? in->len - at : segment;
        unsigned flow = in->data[at + HEAD];
        const uint8_t head[HEAD] = {0x40, (uint8_t)flow, (uint8_t)(len >> 8), (uint8_t)len};
        assert_in_range(flow, 0, FLOWS - 1);
        const struct net_out out = {.local = net_port_local(w->middle),
                                    .remote = net_port_local(w->ears[flow].port),
                                    .flow = flow + 1,
                                    .data = in->data + at + (flow % 2 == 1 ? HEAD : 0),
                                    .size = flow % 2 == 1 ? len - HEAD : len,
                                    .stride = segment,
                                    .count = 1,
                                    .head = head,
                                    .head_len = flow % 2 == 1 ? 0 : HEAD};
        net_port_send(w->middle, &out);
    }
}

static void hear(struct ear *e, const uint8_t *data, size_t len) {
    uint8_t wanted[PAYLOAD_MAX];
    size_t extra = e->flow % 2 == 1 ? 0 : 2 * HEAD, size = size_of(e->flow, e->next);
    assert_int_equal(len, size + extra);
    write_payload(wanted, e->flow, e->next);
    assert_memory_equal(data + extra, wanted, size);
    if (extra > 0)
        assert_int_equal(data[1], e->flow);
    e->next++;
    e->world->heard++;
}

static void on_ear(void *ctx, const struct bk_datagram *in, struct bk_time now) {
    size_t segment = in->segment == 0 ? in->len : in->segment;
    (void)now;
    for (size_t at = 0; at < in->len; at += segment)
        hear(ctx, in->data + at, in->len - at < segment ? in->len - at : segment);
}

static void on_icmp(void *ctx, const struct net_icmp *error, struct bk_time now) {
    struct world *w = ctx;
    (void)now;
    assert_int_equal(error->type, 3); /* RFC 792: destination unreachable, ... */
    assert_int_equal(error->code, 3); /* ... the port */
    w->icmp++;
}

static struct net_port *open_port(struct net_plane *p, const struct net_port_events *events,
                                  bool first) {
    const struct net_port_config config = {.first = first, .rcvbuf = 1 << 20};
    const struct bk_addr at = bk_addr(bk_ipv4(127, 0, 0, 1), 0);
    struct net_port *port;
    assert_int_equal(net_port_open(p, &at, &config, events, &port), BK_OK);
    return port;
}

static void on_nothing(void *ctx, const struct bk_datagram *in, struct bk_time now) {
    (void)ctx;
    (void)in;
    (void)now;
}

static bool world_init(struct world *w, enum net_plane_io io) {
    struct net_plane_config config = net_plane_config_default;
    memset(w, 0, sizeof *w);
    rng_seed(&w->dice, 5);
    assert_int_equal(net_loop_new(net_alloc(), &w->loop), BK_OK);
    config.io = io;
    enum bk_err err = net_plane_new(w->loop, &config, &w->plane);
    if (err == BK_ERR_UNSUPPORTED) {
        net_loop_free(w->loop);
        return false;
    }
    assert_int_equal(err, BK_OK);
    config.io = NET_IO_AUTO;
    assert_int_equal(net_plane_new(w->loop, &config, &w->from), BK_OK);
    const struct net_port_events middle = {on_middle, on_icmp, w}, none = {on_nothing, NULL, NULL};
    w->middle = open_port(w->plane, &middle, true);
    w->source = open_port(w->from, &none, false);
    for (unsigned i = 0; i < FLOWS; i++) {
        const struct net_port_events ear = {on_ear, NULL, &w->ears[i]};
        w->ears[i] = (struct ear){.world = w, .flow = i};
        w->ears[i].port = open_port(w->plane, &ear, false);
    }
    return true;
}

static void world_fini(struct world *w) {
    net_plane_free(w->from);
    net_plane_free(w->plane);
    net_loop_free(w->loop);
}

static void say(struct world *w, unsigned flow) {
    uint8_t bytes[HEAD + PAYLOAD_MAX] = {0};
    unsigned n = w->sent[flow]++;
    write_payload(bytes + HEAD, flow, n);
    const struct net_out out = {.local = net_port_local(w->source),
                                .remote = net_port_local(w->middle),
                                .flow = 1,
                                .data = bytes,
                                .size = HEAD + size_of(flow, n),
                                .stride = HEAD + size_of(flow, n),
                                .count = 1};
    net_port_send(w->source, &out);
}

static void turn_until_heard(struct world *w, unsigned wanted) {
    const struct bk_time end = bk_after(net_clock(), LIMIT_US);
    while (w->heard < wanted && bk_before(net_clock(), end))
        net_plane_turn(w->plane, 10000);
    assert_int_equal(w->heard, wanted);
}

static void carry_mixed_flows(enum net_plane_io io) {
    struct world w;
    unsigned total = 0;
    if (!world_init(&w, io))
        skip();
    for (int round = 0; round < 40; round++) {
        for (uint32_t i = 1 + dice(&w, 60); i > 0; i--, total++)
            say(&w, dice(&w, FLOWS));
        net_plane_flush(w.from);
        turn_until_heard(&w, total);
    }
    const struct net_plane_counters *c = net_plane_counters(w.plane);
    assert_int_equal(c->out, total);
    assert_int_equal(c->in, 2 * total);
    if (io == NET_IO_BATCH)
        assert_true(c->trains_out < c->out); /* some went together */
    else
        assert_int_equal(c->trains_out, c->out);
    world_fini(&w);
}

static void the_portable_tier_keeps_every_byte_and_the_order(void **state) {
    (void)state;
    carry_mixed_flows(NET_IO_PORTABLE);
}

static void the_batch_tier_does_as_well(void **state) {
    (void)state;
    carry_mixed_flows(NET_IO_BATCH);
}

/* Twenty datagrams of one flow, with another flow's between them: two messages. */
static void interleaved_flows_make_trains(void **state) {
    struct world w;
    (void)state;
    if (!world_init(&w, NET_IO_BATCH))
        skip();
    for (unsigned i = 0; i < 2; i++) /* to the sizes that are all alike */
        w.sent[i] = w.ears[i].next = i == 0 ? 18 : 16;
    for (int i = 0; i < 4; i++) {
        say(&w, 0);
        say(&w, 1);
    }
    net_plane_flush(w.from);
    turn_until_heard(&w, 8);
    assert_int_equal(net_plane_counters(w.plane)->out, 8);
    assert_int_equal(net_plane_counters(w.plane)->trains_out, 2);
    world_fini(&w);
}

static void what_nobody_takes_is_told(void **state) {
    struct world w;
    (void)state;
    if (!world_init(&w, NET_IO_BATCH))
        skip();
    const struct net_out out = {.local = net_port_local(w.middle),
                                .remote = net_port_local(w.ears[0].port),
                                .data = (const uint8_t *)"x",
                                .size = 1,
                                .stride = 1,
                                .count = 1};
    net_port_close(w.ears[0].port);
    net_port_send(w.middle, &out);
    net_plane_flush(w.plane);
    const struct bk_time end = bk_after(net_clock(), LIMIT_US);
    while (w.icmp == 0 && bk_before(net_clock(), end))
        net_plane_turn(w.plane, 10000);
    assert_int_equal(w.icmp, 1);
    world_fini(&w);
}

static void on_close_self(void *ctx, const struct bk_datagram *in, struct bk_time now) {
    struct world *w = ctx;
    (void)in;
    (void)now;
    net_port_close(w->middle);
    w->heard++;
}

static void a_port_may_close_in_its_callback(void **state) {
    static const enum net_plane_io ios[] = {NET_IO_PORTABLE, NET_IO_BATCH};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        if (!world_init(&w, ios[i]))
            continue;
        const struct net_port_events events = {on_close_self, NULL, &w};
        net_port_close(w.middle);
        w.middle = open_port(w.plane, &events, true);
        for (int k = 0; k < 10; k++)
            say(&w, 0);
        net_plane_flush(w.from);
        turn_until_heard(&w, 1);
        net_plane_turn(w.plane, 0);
        assert_int_equal(w.heard, 1);
        world_fini(&w);
    }
}

/* As from one process to the next: what comes while nobody reads waits; the first owner's copy of
 * the socket may close later, or read on after all. */
static void a_port_changes_hands(void **state) {
    static const enum net_plane_io ios[] = {NET_IO_PORTABLE, NET_IO_BATCH};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        struct net_plane *next;
        if (!world_init(&w, ios[i]))
            continue;
        const struct net_plane_config config = {.io = ios[i]};
        assert_int_equal(net_plane_new(w.loop, &config, &next), BK_OK);
        struct net_port *before = w.ears[0].port;
        assert_int_equal(net_port_rest(before, true), BK_OK);
        for (int k = 0; k < 10; k++)
            say(&w, 0);
        net_plane_flush(w.from);
        for (int k = 0; k < 5; k++)
            net_plane_turn(w.plane, 0);
        assert_int_equal(w.heard, 0);
        assert_int_equal(net_port_rest(before, false), BK_OK);
        turn_until_heard(&w, 10);
        assert_int_equal(net_port_rest(before, true), BK_OK);
        say(&w, 0);
        net_plane_flush(w.from);
        net_plane_turn(w.plane, 0);
        const struct net_port_config adopted = {.socket = dup(net_port_socket(before))};
        const struct net_port_events ear = {on_ear, NULL, &w.ears[0]};
        const struct bk_addr at = net_port_local(before);
        assert_int_equal(net_port_open(next, &at, &adopted, &ear, &w.ears[0].port), BK_OK);
        const struct bk_addr same = net_port_local(w.ears[0].port);
        assert_true(bk_addr_equal(&at, &same));
        net_port_close(before);
        const struct bk_time end = bk_after(net_clock(), LIMIT_US);
        while (w.heard < 11 && bk_before(net_clock(), end))
            net_plane_turn(next, 10000);
        assert_int_equal(w.heard, 11);
        net_plane_free(next);
        world_fini(&w);
    }
}

static void on_due(void *ctx, struct bk_time now) {
    struct world *w = ctx;
    (void)now;
    w->heard++;
    net_loop_stop(w->loop);
}

static void the_loop_goes_on_meanwhile(void **state) {
    static const enum net_plane_io ios[] = {NET_IO_PORTABLE, NET_IO_BATCH};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        struct net_timer timer;
        if (!world_init(&w, ios[i]))
            continue;
        net_timer_init(&timer, w.loop, on_due, &w);
        net_timer_set(&timer, bk_after(net_clock(), 2000));
        net_plane_run(w.plane); /* until the timer stops it */
        assert_int_equal(w.heard, 1);
        world_fini(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_portable_tier_keeps_every_byte_and_the_order),
        cmocka_unit_test(the_batch_tier_does_as_well),
        cmocka_unit_test(interleaved_flows_make_trains),
        cmocka_unit_test(what_nobody_takes_is_told),
        cmocka_unit_test(a_port_may_close_in_its_callback),
        cmocka_unit_test(a_port_changes_hands),
        cmocka_unit_test(the_loop_goes_on_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
