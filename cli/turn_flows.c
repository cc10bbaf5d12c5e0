/* SPDX-License-Identifier: MIT
 * The sockets are read in rounds, not when the kernel says so: a reader that sleeps in epoll_wait()
 * would be woken for every packet by the server that sends it, and the server would pay. */
#define _GNU_SOURCE
#include "cli/turn_flows.h"

#include "box/box.h"
#include "net/alloc.h"
#include "net/loop.h"
#include "wire/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    OPENING_MS = 30000, /* for all of them, at least */
    CLOSING_MS = 3000,
    LOOK_NS = 20000000, /* between two looks at the timers */
    ROUND_NS = 200000,  /* between two rounds, when nothing else sets the pace */
    EVENTS = 256,
    ROOM = 4 << 20
};

static void fail(struct turn_flows *f, const char *what, const char *why) {
    if (f->why[0] == '\0')
        (void)snprintf(f->why, sizeof f->why, "%s: %s", what, why);
}

/* ---- one flow ----------------------------------------------------------------------------- */

static void drain(struct turn_flows *f, struct turn_flow *w) {
    struct bk_datagram out;
    while (bk_turn_next_datagram(w->turn, &out))
        (void)turn_send(w->fd, NULL, out.data, out.len, 0);
    (void)f;
}

static void flow_over(struct turn_flows *f, struct turn_flow *w, const struct bk_turn_event *e) {
    char text[64];
    if (!w->over)
        f->over++;
    w->over = true;
    if (e->kind == BK_TURN_CLOSED)
        return;
    (void)snprintf(text, sizeof text, "%s, code %u", bk_err_text(e->err), (unsigned)e->code);
    fail(f, e->kind == BK_TURN_REFUSED ? "the peer is not permitted" : "no allocation", text);
}

static void take_events(struct turn_flows *f, struct turn_flow *w) {
    struct bk_turn_event e;
    while (bk_turn_next_event(w->turn, &e)) {
        switch (e.kind) {
        case BK_TURN_ALLOCATED:
            if (e.rtt_us >= 0)
                turn_histogram_add(&f->allocate, e.rtt_us * 1000);
            break;
        case BK_TURN_PERMITTED:
        case BK_TURN_ICMP:
        case BK_TURN_MOVED:
        case BK_TURN_CONNECTION:
        case BK_TURN_NO_CONNECTION:
            break;
        case BK_TURN_REFUSED:
        case BK_TURN_REDIRECT:
        case BK_TURN_LOST:
        case BK_TURN_FAILED:
        case BK_TURN_CLOSED:
            flow_over(f, w, &e);
            break;
        }
    }
    if (w->channel == 0 && !w->over) {
        w->channel = bk_turn_channel(w->turn, &f->peer);
        f->ready += w->channel != 0;
    }
}

static void take(struct turn_flows *f, struct turn_flow *w, struct turn_in *in,
                 struct bk_time now) {
    struct channel_data c;
    struct bk_turn_data data;
    if (w->channel != 0 && channel_read(in->data, in->len, &c) && c.number == w->channel) {
        struct turn_in bare = *in;
        bare.data = c.data;
        bare.len = c.len;
        f->on_data(f->ctx, (size_t)(w - f->list), &bare);
        return;
    }
    const struct bk_datagram d = {
        .local = w->local, .remote = f->cli->server, .data = in->data, .len = in->len};
    if (bk_turn_recv(w->turn, &d, now, &data) != BK_OK)
        return;
    take_events(f, w);
    drain(f, w);
}

static bool flow_open(struct turn_flows *f, struct turn_flow *w) {
    const struct turn_cli *t = f->cli;
    const struct bk_addr any = {.port = 0};
    size_t at = (size_t)(w - f->list);
    struct bk_turn_config c = bk_turn_config_default;
    w->fd = turn_socket(t->from_count > 0 ? &t->from[at % t->from_count] : &any, &t->server);
    if (w->fd < 0) {
        fail(f, "no socket", strerror(errno));
        return false;
    }
    turn_socket_room(w->fd, ROOM);
    if (t->latency)
        turn_socket_stamp(w->fd);
    w->local = turn_socket_local(w->fd);
    c.local = w->local;
    c.server = t->server;
    turn_credentials(t, &c);
    c.family = f->peer.ip.family;
    c.lifetime_s = t->lifetime;
    c.peers_max = 1;
    c.again = false;
    c.work = f->work;
    struct bk_time now = net_clock();
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = (uint32_t)at};
    enum bk_err err = bk_turn_new(&c, net_alloc(), &f->rng, now, &w->turn);
    if (err == BK_OK)
        err = bk_turn_permit(w->turn, &f->peer, true, now);
    if (err != BK_OK || epoll_ctl(f->epoll, EPOLL_CTL_ADD, w->fd, &e) != 0) {
        fail(f, "no client", err != BK_OK ? bk_err_text(err) : strerror(errno));
        return false;
    }
    drain(f, w);
    return true;
}

/* ---- all of them -------------------------------------------------------------------------- */

static void look_at_timers(struct turn_flows *f, struct bk_time now) {
    for (size_t i = 0; i < f->opened; i++) {
        struct turn_flow *w = &f->list[i];
        if (!bk_due(bk_turn_deadline(w->turn), now))
            continue;
        bk_turn_advance(w->turn, now);
        take_events(f, w);
        drain(f, w);
    }
}

void turn_flows_turn(struct turn_flows *f) {
    struct epoll_event events[EVENTS];
    struct turn_in in[TURN_BATCH_MAX];
    int n = epoll_wait(f->epoll, events, EVENTS, 0);
    struct bk_time now = net_clock();
    for (int i = 0; i < n; i++) {
        struct turn_flow *w = &f->list[events[i].data.u32];
        size_t got = turn_recv(w->fd, in, NULL);
        for (size_t k = 0; k < got; k++)
            take(f, w, &in[k], now);
    }
    if (now.us * 1000 - f->looked_ns < LOOK_NS)
        return;
    f->looked_ns = now.us * 1000;
    look_at_timers(f, now);
}

static void ignore(void *ctx, size_t flow, const struct turn_in *in) {
    (void)ctx;
    (void)flow;
    (void)in;
}

static bool prepare(struct turn_flows *f, struct turn_cli *cli, const struct bk_addr *peer) {
    *f = (struct turn_flows){.cli = cli, .peer = *peer, .count = cli->flows, .on_data = ignore};
    uint64_t seed;
    struct bk_rng secure = box_rng();
    rng_fill(&secure, &seed, sizeof seed);
    rng_seed(&f->seeded, seed);
    f->rng = rng_from_seeded(&f->seeded);
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    const struct bk_alloc *a = net_alloc();
    struct bk_turn_config c = bk_turn_config_default;
    f->list = a->get(a->ctx, f->count * sizeof *f->list);
    f->work = a->get(a->ctx, bk_turn_work_size(&c));
    if (turn_socket_limit() < f->count + 16)
        fail(f, "too many flows", "this user may not open so many files");
    else if (f->list == NULL || f->work == NULL || f->epoll < 0)
        fail(f, "cannot start", "out of memory");
    for (size_t i = 0; f->list != NULL && i < f->count; i++)
        f->list[i].fd = -1;
    return f->why[0] == '\0';
}

bool turn_flows_open(struct turn_flows *f, struct turn_cli *cli, const struct bk_addr *peer) {
    bool ok = prepare(f, cli, peer);
    int64_t until = turn_clock_ns() + (OPENING_MS + (int64_t)cli->flows) * 1000000;
    while (ok && f->ready < f->count) {
        while (ok && f->opened < f->count && f->opened - f->ready < cli->window) {
            ok = flow_open(f, &f->list[f->opened]);
            f->opened += ok;
        }
        turn_flows_turn(f);
        ok = ok && f->over == 0;
        if (turn_clock_ns() > until) {
            fail(f, "the server", "no answer");
            ok = false;
        }
        turn_sleep_until(turn_clock_ns() + ROUND_NS);
    }
    if (!ok)
        fprintf(stderr, "bodkin turn: flow %zu of %zu: %s\n", f->ready + 1, f->count, f->why);
    return ok;
}

bool turn_flows_send(const struct turn_flows *f, size_t flow, const void *data, size_t len,
                     size_t segment) {
    return turn_send(f->list[flow].fd, NULL, data, len, segment);
}

/* A window at a time: the answers to ten thousand goodbyes would not fit into any buffer. */
static void release(struct turn_flows *f) {
    int64_t until = turn_clock_ns() + (int64_t)CLOSING_MS * 1000000;
    size_t asked = 0;
    while (f->over < f->opened && turn_clock_ns() < until) {
        for (; asked < f->opened && asked < f->over + f->cli->window; asked++) {
            struct turn_flow *w = &f->list[asked];
            if (w->over)
                continue;
            bk_turn_close(w->turn, net_clock());
            take_events(f, w);
            drain(f, w);
        }
        turn_flows_turn(f);
        turn_sleep_until(turn_clock_ns() + ROUND_NS);
    }
}

void turn_flows_close(struct turn_flows *f) {
    const struct bk_alloc *a = net_alloc();
    f->on_data = ignore;
    if (!f->cli->keep && f->list != NULL)
        release(f);
    for (size_t i = 0; f->list != NULL && i < f->count; i++) {
        bk_turn_free(f->list[i].turn);
        if (f->list[i].fd >= 0)
            close(f->list[i].fd);
    }
    a->put(a->ctx, f->list);
    a->put(a->ctx, f->work);
    if (f->epoll >= 0)
        close(f->epoll);
}
