/* SPDX-License-Identifier: MIT */
#include "sim/actor_relay.h"

#include "base/rng.h"

#include <string.h>

static struct sim_relay_conn *find_stream(struct sim_relay *r, stream_id stream) {
    for (size_t i = 0; i < SIM_RELAY_CONNS; i++) {
        if (r->conns[i].used && r->conns[i].stream == stream)
            return &r->conns[i];
    }
    return NULL;
}

static struct sim_relay_conn *find_conn(struct sim_relay *r, uint32_t conn) {
    for (size_t i = 0; i < SIM_RELAY_CONNS; i++) {
        if (r->conns[i].used && r->conns[i].in_hub && r->conns[i].conn == conn)
            return &r->conns[i];
    }
    return NULL;
}

static void drop(struct sim_relay *r, struct sim_relay_conn *c) {
    if (c->in_hub)
        relay_hub_close(r->hub, c->conn, world_now(r->world));
    world_stream_close(r->world, c->stream);
    c->used = false;
}

static void accept_stream(struct sim_relay *r, stream_id stream) {
    for (size_t i = 0; i < SIM_RELAY_CONNS; i++) {
        struct sim_relay_conn *c = &r->conns[i];
        if (c->used)
            continue;
        *c = (struct sim_relay_conn){.used = true, .stream = stream};
        relay_request_init(&c->request);
        return;
    }
    r->refused++;
    world_stream_close(r->world, stream);
}

/* The request is complete: answer it, and go through the door if it leads to the hub. */
static void answer(struct sim_relay *r, struct sim_relay_conn *c) {
    enum { ANSWER_MAX = 2048 };
    char buf[ANSWER_MAX];
    struct text out = text_in(buf, sizeof buf);
    bool close = false;
    enum relay_route route = relay_request_route(&c->request);
    relay_response_put(&out, &c->request, route, relay_hub_key(r->hub), &close);
    /* A fresh stream's window takes any head. */
    (void)world_stream_write(r->world, c->stream, (const uint8_t *)buf, out.len);
    struct bk_addr remote = world_stream_remote(r->world, c->stream);
    if (route == RELAY_ROUTE_DERP)
        c->in_hub = relay_hub_accept(r->hub, &remote, world_now(r->world), &c->conn) == BK_OK;
    if (close || !c->in_hub)
        drop(r, c);
}

static void take_bytes(struct sim_relay *r, struct sim_relay_conn *c, const uint8_t *data,
                       size_t len) {
    if (!c->in_hub) {
        size_t used = 0;
        enum bk_err e = relay_request_recv(&c->request, data, len, &used);
        if (e == BK_ERR_SHORT)
            return;
        if (e != BK_OK) {
            r->refused++;
            drop(r, c);
            return;
        }
        data += used;
        len -= used;
        answer(r, c);
    }
    if (c->used && c->in_hub && len > 0)
        relay_hub_recv(r->hub, c->conn, data, len, world_now(r->world));
}

/* Writes what the hub has for the connection, as far as the stream takes it. */
static void flush(struct sim_relay *r, struct sim_relay_conn *c) {
    struct relay_piece pieces[RELAY_HUB_PIECES];
    for (;;) {
        size_t n = relay_hub_next_bytes(r->hub, c->conn, pieces, RELAY_HUB_PIECES);
        size_t offered = relay_pieces_len(pieces, n), taken = 0;
        for (size_t i = 0; i < n; i++) {
            size_t some = world_stream_write(r->world, c->stream, pieces[i].data, pieces[i].len);
            taken += some;
            if (some < pieces[i].len)
                break;
        }
        if (taken > 0)
            relay_hub_sent(r->hub, c->conn, taken, world_now(r->world));
        if (taken == 0 || taken < offered)
            return;
    }
}

static void on_stream(void *ctx, struct world *w, stream_id stream, enum world_stream_event event,
                      const uint8_t *data, size_t len) {
    (void)w;
    struct sim_relay *r = ctx;
    struct sim_relay_conn *c = find_stream(r, stream);
    if (event == WORLD_STREAM_ACCEPTED)
        accept_stream(r, stream);
    if (c == NULL)
        return;
    switch (event) {
    case WORLD_STREAM_BYTES:
        take_bytes(r, c, data, len);
        return;
    case WORLD_STREAM_WRITABLE:
        if (c->in_hub)
            flush(r, c);
        return;
    case WORLD_STREAM_END:
    case WORLD_STREAM_BROKEN:
        drop(r, c);
        return;
    case WORLD_STREAM_ACCEPTED:
    case WORLD_STREAM_OPEN:
        return;
    }
}

static void on_timer(void *ctx, struct world *w, struct bk_time now) {
    (void)w;
    struct sim_relay *r = ctx;
    relay_hub_advance(r->hub, now);
}

static void on_turn(void *ctx, struct world *w, struct bk_time now) {
    (void)w;
    (void)now;
    struct sim_relay *r = ctx;
    struct relay_ready ready;
    struct relay_hub_event event;
    while (relay_hub_next_ready(r->hub, &ready)) {
        struct sim_relay_conn *c = find_conn(r, ready.conn);
        if (c != NULL && ready.write)
            flush(r, c);
        if (c != NULL && ready.close != RELAY_CLOSE_NOT)
            drop(r, c);
    }
    while (relay_hub_next_event(r->hub, &event)) {
        /* one hub alone has nobody to tell */
    }
}

static struct bk_time deadline(void *ctx) {
    const struct sim_relay *r = ctx;
    return relay_hub_deadline(r->hub);
}

static enum bk_err make_hub(struct sim_relay *r, const struct bk_alloc *alloc) {
    struct relay_hub_config config = relay_hub_config_default;
    config.conns_max = SIM_RELAY_CONNS;
    config.pool_bytes = (size_t)4 << 20;
    rng_fill(&r->rng, config.secret, sizeof config.secret);
    return relay_hub_new(&config, &r->rng, alloc, &r->hub);
}

enum bk_err sim_relay_init(struct sim_relay *r, struct world *w, node_id host, uint16_t port,
                           const struct bk_alloc *alloc) {
    memset(r, 0, sizeof *r);
    r->world = w;
    r->rng = world_rng(w, "relay");
    enum bk_err e = make_hub(r, alloc);
    if (e != BK_OK)
        return e;
    struct world_actor calls = {.ctx = r,
                                .on_stream = on_stream,
                                .on_timer = on_timer,
                                .on_turn = on_turn,
                                .deadline = deadline};
    r->actor = world_add_actor(w, host, &calls);
    return world_stream_listen(w, r->actor, port);
}

void sim_relay_fini(struct sim_relay *r) {
    relay_hub_free(r->hub);
    memset(r, 0, sizeof *r);
}

enum bk_err sim_relay_restart(struct sim_relay *r, const struct bk_alloc *alloc) {
    for (size_t i = 0; i < SIM_RELAY_CONNS; i++) {
        if (r->conns[i].used)
            drop(r, &r->conns[i]);
    }
    relay_hub_free(r->hub);
    r->hub = NULL;
    enum bk_err e = make_hub(r, alloc);
    if (e == BK_OK)
        world_wake(r->world, r->actor);
    return e;
}
