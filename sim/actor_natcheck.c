/* SPDX-License-Identifier: MIT */
#include "sim/actor_natcheck.h"

#include "base/assert.h"

#include <string.h>

static void open_udp(struct sim_natcheck *s, const struct bk_natcheck_action *a) {
    struct sim_natcheck_socket *socket = &s->sockets[a->socket];
    enum bk_err err = world_udp_bind(s->world, s->actor, a->local, &socket->udp);
    struct bk_addr local = {0};
    if (err == BK_OK) {
        socket->kind = SIM_NATCHECK_UDP;
        local = world_udp_local(s->world, socket->udp);
        s->open++;
        s->open_max = s->open > s->open_max ? s->open : s->open_max;
    }
    bk_natcheck_opened(s->natcheck, a->socket, err, &local, world_now(s->world));
}

static void dial_tcp(struct sim_natcheck *s, const struct bk_natcheck_action *a) {
    struct sim_natcheck_socket *socket = &s->sockets[a->socket];
    enum bk_err err =
        world_stream_open_from(s->world, s->actor, a->local.port, a->remote, &socket->tcp);
    if (err != BK_OK) {
        bk_natcheck_opened(s->natcheck, a->socket, err, NULL, world_now(s->world));
        return;
    }
    socket->kind = SIM_NATCHECK_TCP;
    socket->port = a->local.port;
}

static void end(struct sim_natcheck *s, uint32_t index) {
    struct sim_natcheck_socket *socket = &s->sockets[index];
    if (socket->kind == SIM_NATCHECK_UDP) {
        world_udp_close(s->world, socket->udp);
        s->open--;
    } else if (socket->kind == SIM_NATCHECK_TCP) {
        world_stream_close(s->world, socket->tcp);
    }
    socket->kind = SIM_NATCHECK_NONE;
}

static void act(struct sim_natcheck *s, const struct bk_natcheck_action *a) {
    switch (a->kind) {
    case BK_NATCHECK_OPEN:
        open_udp(s, a);
        return;
    case BK_NATCHECK_DIAL:
        dial_tcp(s, a);
        return;
    case BK_NATCHECK_CLOSE:
    case BK_NATCHECK_HANG_UP:
        end(s, a->socket);
        return;
    }
}

static void send_all(struct sim_natcheck *s) {
    struct bk_datagram out;
    uint32_t socket;
    while (bk_natcheck_next_datagram(s->natcheck, &socket, &out)) {
        const struct sim_natcheck_socket *from = &s->sockets[socket];
        bk_assert(from->kind != SIM_NATCHECK_NONE);
        if (from->kind == SIM_NATCHECK_TCP) {
            (void)world_stream_write(s->world, from->tcp, out.data, out.len);
            continue;
        }
        world_udp_send(s->world, from->udp, &out);
        s->sent++;
    }
}

static void on_turn(void *ctx, struct world *w, struct bk_time now) {
    struct sim_natcheck *s = ctx;
    struct bk_natcheck_action action;
    struct bk_natcheck_event event;
    (void)w;
    (void)now;
    while (bk_natcheck_next_action(s->natcheck, &action))
        act(s, &action);
    send_all(s);
    while (bk_natcheck_next_event(s->natcheck, &event)) {
        s->events++;
        s->done = s->done || event.kind == BK_NATCHECK_DONE;
    }
}

static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    struct sim_natcheck *s = ctx;
    for (uint32_t i = 0; i < BK_NATCHECK_SOCKETS_MAX; i++) {
        if (s->sockets[i].kind != SIM_NATCHECK_UDP || s->sockets[i].udp != socket)
            continue;
        enum bk_err err = bk_natcheck_recv(s->natcheck, i, in, world_now(w));
        (void)err; /* late answers are nobody's */
        return;
    }
}

static void on_stream(void *ctx, struct world *w, stream_id stream, enum world_stream_event event,
                      const uint8_t *data, size_t len) {
    struct sim_natcheck *s = ctx;
    struct bk_datagram in = {.data = data, .len = len};
    uint32_t i = 0;
    while (i < BK_NATCHECK_SOCKETS_MAX &&
           (s->sockets[i].kind != SIM_NATCHECK_TCP || s->sockets[i].tcp != stream))
        i++;
    if (i == BK_NATCHECK_SOCKETS_MAX)
        return;
    if (event == WORLD_STREAM_OPEN) {
        struct bk_addr local = {.ip.family = BK_IPV4, .port = s->sockets[i].port};
        bk_natcheck_opened(s->natcheck, i, BK_OK, &local, world_now(w));
    } else if (event == WORLD_STREAM_BYTES) {
        enum bk_err err = bk_natcheck_recv(s->natcheck, i, &in, world_now(w));
        (void)err;
    } else if (event == WORLD_STREAM_END || event == WORLD_STREAM_BROKEN) {
        end(s, i);
        bk_natcheck_closed(s->natcheck, i, world_now(w));
    }
}

static void on_timer(void *ctx, struct world *w, struct bk_time now) {
    struct sim_natcheck *s = ctx;
    (void)w;
    bk_natcheck_advance(s->natcheck, now);
}

static struct bk_time deadline(void *ctx) {
    const struct sim_natcheck *s = ctx;
    return bk_natcheck_deadline(s->natcheck);
}

enum bk_err sim_natcheck_init(struct sim_natcheck *s, struct world *w, node_id host,
                              const struct bk_natcheck_config *config,
                              const struct bk_alloc *alloc) {
    struct bk_natcheck_config full = *config;
    memset(s, 0, sizeof *s);
    s->world = w;
    s->rng = world_rng(w, "natcheck");
    full.local_count = 0;
    while (full.local_count < BK_NATCHECK_LOCALS_MAX &&
           world_address(w, host, full.local_count, &full.locals[full.local_count]))
        full.local_count++;
    enum bk_err err = bk_natcheck_new(&full, alloc, &s->rng, world_now(w), &s->natcheck);
    if (err != BK_OK)
        return err;
    struct world_actor calls = {.ctx = s,
                                .on_datagram = on_datagram,
                                .on_stream = on_stream,
                                .on_timer = on_timer,
                                .on_turn = on_turn,
                                .deadline = deadline};
    s->actor = world_add_actor(w, host, &calls);
    world_wake(w, s->actor);
    return BK_OK;
}

void sim_natcheck_fini(struct sim_natcheck *s) {
    bk_natcheck_free(s->natcheck);
    memset(s, 0, sizeof *s);
}

bool sim_natcheck_is_done(void *ctx) {
    const struct sim_natcheck *s = ctx;
    return s->done;
}
