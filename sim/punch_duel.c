/* SPDX-License-Identifier: MIT */
#include "sim/punch_duel.h"

#include "base/assert.h"
#include "base/rng.h"
#include "punch/chance.h"

#include <stddef.h>

enum {
    EVENTS_MAX = 4096,
    BOX_MAX = 4096,      /* mappings */
    BACK_MAX = 16,       /* triggered checks of a side */
    PLAIN_ROUNDS = 4,    /* of plain checks */
    SHARED_PORT = 6000,  /* inside */
    FRESH_FIRST = 32768, /* Linux's range for those who do not ask for a port */
    FRESH_COUNT = 28232,
    STRANGER_FIRST = 1024
};
static const int64_t longest_us = 40 * BK_US_PER_S, repeat_us = 100000;

const struct punch_duel punch_duel_default = {
    .owd_us = 40000, .server_us = 40000, .signal_us = 40000, .ttl = 2, .plain = true};

enum kind { CHECK, ANSWER, MAPPED, NOTE, PLAIN };

struct event {
    struct bk_time at;
    uint32_t order;
    enum kind kind;
    int side; /* where it happens */
    uint16_t socket;
    struct bk_addr src, dst; /* outside; MAPPED: src is what the server saw */
    struct punch_note note;
};

struct side {
    struct punch *punch;
    struct nat *box;
    struct bk_addr seen; /* the shared socket */
    uint16_t port[PUNCH_SOCKETS_MAX];
    uint16_t next_stranger;
    uint32_t back;
    bool started;
    struct bk_time start;
};

struct ring {
    const struct punch_duel *duel;
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    struct side side[2];
    struct event events[EVENTS_MAX];
    size_t count;
    uint32_t order;
    struct punch_duel_result result;
};

/* ---- the queue ---- */

static bool is_before(const struct event *a, const struct event *b) {
    return a->at.us != b->at.us ? a->at.us < b->at.us : a->order < b->order;
}

static void swap(struct ring *r, size_t i, size_t j) {
    struct event held = r->events[i];
    r->events[i] = r->events[j];
    r->events[j] = held;
}

static void push(struct ring *r, struct event e, int64_t in_us) {
    bk_assert(r->count < EVENTS_MAX);
    e.at = bk_after(r->now, in_us);
    e.order = r->order++;
    size_t i = r->count++;
    r->events[i] = e;
    for (; i > 0 && is_before(&r->events[i], &r->events[(i - 1) / 2]); i = (i - 1) / 2)
        swap(r, i, (i - 1) / 2);
}

static struct event pop(struct ring *r) {
    struct event first = r->events[0];
    r->events[0] = r->events[--r->count];
    for (size_t i = 0;;) {
        size_t least = i, a = 2 * i + 1, b = a + 1;
        if (a < r->count && is_before(&r->events[a], &r->events[least]))
            least = a;
        if (b < r->count && is_before(&r->events[b], &r->events[least]))
            least = b;
        if (least == i)
            return first;
        swap(r, i, least);
        i = least;
    }
}

/* ---- packets ---- */

static struct bk_ip inside(int side, uint8_t host) {
    return bk_ipv4(192, 168, (uint8_t)side, host);
}

static struct bk_addr server(uint8_t number) {
    return bk_addr(bk_ipv4(198, 51, 100, number), 3478);
}

static bool is_lost(struct ring *r) {
    return rng_below(&r->rng, 1000000) < r->duel->loss;
}

static bool leave(struct ring *r, int side, struct bk_addr from, const struct bk_addr *to,
                  struct bk_addr *seen) {
    struct nat_header in = {.flow = {.proto = NAT_UDP, .src = from, .dst = *to}};
    struct nat_verdict v;
    nat_packet(r->side[side].box, NAT_INSIDE, &in, r->now, &v);
    *seen = v.header.flow.src;
    return v.action == NAT_FORWARD;
}

static void send(struct ring *r, int side, uint16_t socket, const struct bk_addr *to, uint8_t ttl,
                 enum kind kind) {
    struct side *s = &r->side[side];
    struct bk_addr seen;
    bool left = leave(r, side, bk_addr(inside(side, 2), s->port[socket]), to, &seen);
    if (left && ttl == 0 && nat_is_external(r->side[1 - side].box, &to->ip) && !is_lost(r))
        push(r, (struct event){.kind = kind, .side = 1 - side, .src = seen, .dst = *to},
             r->duel->owd_us);
}

/* The server repeats what is lost, and so does who asks it. */
static void ask(struct ring *r, int side, uint16_t socket) {
    struct bk_addr to = server(1), seen;
    if (!leave(r, side, bk_addr(inside(side, 2), r->side[side].port[socket]), &to, &seen))
        return;
    bool asked = !is_lost(r), answered = !is_lost(r);
    int64_t late_us = asked && answered ? 0 : repeat_us;
    push(r, (struct event){.kind = MAPPED, .side = side, .socket = socket, .src = seen},
         r->duel->server_us + late_us);
}

/* Knuth's way, as in oracle_stage.c. */
static uint32_t poisson(struct ring *r, double mean) {
    double floor = chance_exp_minus(mean), product = 1;
    for (uint32_t count = 0;; count++) {
        product *= (double)(rng_seeded_next(&r->seed) >> 11) / 9007199254740992.0;
        if (product <= floor)
            return count;
    }
}

static void pass(struct ring *r, struct bk_time to) {
    struct bk_addr web = server(9), seen;
    for (int i = 0; i < 2; i++) {
        double mean =
            r->duel->sides[i].traits.foreign_per_s * (double)bk_elapsed_us(r->now, to) / 1e6;
        for (uint32_t n = mean > 0 ? poisson(r, mean) : 0; n > 0; n--)
            (void)leave(r, i, bk_addr(inside(i, 9), r->side[i].next_stranger++), &web, &seen);
    }
    r->now = to;
}

/* ---- the owner of a punch ---- */

static uint16_t fresh_port(struct ring *r, int side, uint16_t wanted) {
    uint16_t port =
        wanted != 0 ? wanted : (uint16_t)(FRESH_FIRST + rng_below(&r->rng, FRESH_COUNT));
    for (size_t i = 0; i < PUNCH_SOCKETS_MAX; i++) {
        if (r->side[side].port[i] == port) {
            port = (uint16_t)(FRESH_FIRST + rng_below(&r->rng, FRESH_COUNT));
            i = 0;
        }
    }
    return port;
}

static void obey(struct ring *r, int side, const struct punch_action *a) {
    struct side *s = &r->side[side];
    switch (a->kind) {
    case PUNCH_OPEN:
        bk_assert(s->port[a->socket] == 0);
        s->port[a->socket] = fresh_port(r, side, a->port);
        punch_bound(s->punch, a->socket, s->port[a->socket]);
        punch_opened(s->punch, a->socket, BK_OK, r->now);
        break;
    case PUNCH_CLOSE:
        bk_assert(s->port[a->socket] != 0 && a->socket != PUNCH_SHARED);
        s->port[a->socket] = 0;
        break;
    case PUNCH_ASK:
        ask(r, side, a->socket);
        break;
    case PUNCH_CHECK:
        bk_assert(s->port[a->socket] != 0);
        bk_assert(nat_is_external(r->side[1 - side].box, &a->remote.ip));
        send(r, side, a->socket, &a->remote, a->ttl, CHECK);
        break;
    }
}

static void drain(struct ring *r, int side) {
    struct side *s = &r->side[side];
    struct punch_action action;
    struct event e = {.kind = NOTE, .side = 1 - side};
    while (punch_next_action(s->punch, &action))
        obey(r, side, &action);
    const struct punch_stats *stats = punch_stats(s->punch);
    if (stats->sockets > r->result.sockets_max[side])
        r->result.sockets_max[side] = stats->sockets;
    if (punch_take_note(s->punch, &e.note)) {
        r->result.notes++;
        push(r, e, r->duel->signal_us);
    }
}

static void start(struct ring *r, int side) {
    struct side *s = &r->side[side];
    s->started = true;
    punch_start(s->punch, 1, r->now);
    if (r->duel->plain)
        push(r, (struct event){.kind = PLAIN, .side = side}, 0);
}

static struct bk_time due(const struct ring *r, int side) {
    const struct side *s = &r->side[side];
    return s->started ? punch_deadline(s->punch) : s->start;
}

/* ---- what happens ---- */

static void met(struct ring *r, int side, uint16_t socket) {
    const struct punch_step *steps;
    size_t count = punch_steps(r->side[0].punch, &steps);
    punch_stop(r->side[side].punch, true, socket, r->now);
    r->result.met = true;
    r->result.stepped = count > 0;
    r->result.method = count > 0 ? steps[count - 1].method : BK_ORACLE_PUNCH;
}

static void arrive(struct ring *r, const struct event *e) {
    struct side *s = &r->side[e->side];
    struct nat_header in = {.flow = {.proto = NAT_UDP, .src = e->src, .dst = e->dst}};
    struct nat_verdict v;
    nat_packet(s->box, NAT_OUTSIDE, &in, r->now, &v);
    struct bk_ip host = inside(e->side, 2);
    if (v.action != NAT_FORWARD || !bk_ip_equal(&v.header.flow.dst.ip, &host))
        return;
    for (size_t n = 0; n < PUNCH_SOCKETS_MAX; n++) {
        uint16_t i = (uint16_t)n;
        if (s->port[i] != v.header.flow.dst.port)
            continue;
        if (e->kind == ANSWER) {
            met(r, e->side, i);
        } else if (s->started) { /* or the password is not known yet */
            send(r, e->side, i, &v.header.flow.src, 0, ANSWER);
            if (s->back++ < BACK_MAX)
                send(r, e->side, i, &v.header.flow.src, 0, CHECK);
        }
        return;
    }
}

static void plain_check(struct ring *r, const struct event *e) {
    struct side *s = &r->side[e->side];
    send(r, e->side, PUNCH_SHARED, &r->side[1 - e->side].seen, 0, CHECK);
    r->result.checks[e->side]++;
    if (++s->back, e->socket + 1 < PLAIN_ROUNDS)
        push(r, (struct event){.kind = PLAIN, .side = e->side, .socket = (uint16_t)(e->socket + 1)},
             repeat_us << e->socket);
}

static void happen(struct ring *r, const struct event *e) {
    struct side *s = &r->side[e->side];
    switch (e->kind) {
    case CHECK:
    case ANSWER:
        arrive(r, e);
        break;
    case MAPPED:
        if (s->port[e->socket] != 0)
            punch_mapped(s->punch, e->socket, &e->src, r->now);
        break;
    case NOTE:
        punch_note_recv(s->punch, &e->note, r->now);
        break;
    case PLAIN:
        plain_check(r, e);
        break;
    }
}

static bool goes_on(const struct ring *r) {
    return !r->result.met && r->now.us < longest_us &&
           !(r->side[0].started && punch_is_over(r->side[0].punch) && r->count == 0);
}

static void turn(struct ring *r) {
    struct bk_time next = bk_earlier(due(r, 0), due(r, 1));
    if (r->count > 0)
        next = bk_earlier(next, r->events[0].at);
    if (bk_is_never(next))
        next.us = longest_us;
    if (bk_before(r->now, next))
        pass(r, next);
    if (r->count > 0 && bk_due(r->events[0].at, r->now)) {
        struct event e = pop(r);
        happen(r, &e);
    }
    for (int i = 0; i < 2 && !r->result.met; i++) {
        struct side *s = &r->side[i];
        if (!s->started && bk_due(s->start, r->now))
            start(r, i);
        if (s->started && bk_due(punch_deadline(s->punch), r->now))
            punch_advance(s->punch, r->now);
        drain(r, i);
    }
}

/* ---- setting up ---- */

static enum bk_err side_init(struct ring *r, int i, const struct bk_alloc *alloc) {
    const struct punch_duel *d = r->duel;
    struct side *s = &r->side[i];
    struct nat_config box = d->sides[i].box;
    struct punch_config config = d->config;
    box.mappings_max = box.sessions_max = BOX_MAX;
    config.leader = i == 0;
    config.rng = r->rng;
    s->port[PUNCH_SHARED] = SHARED_PORT;
    s->next_stranger = STRANGER_FIRST;
    s->start = bk_after(r->now, i == d->late ? d->skew_us : 0);
    enum bk_err e = nat_new(&box, &r->rng, alloc, &s->box);
    if (e == BK_OK)
        e = punch_new(&config, alloc, &s->punch);
    struct bk_addr to = server(1);
    if (e == BK_OK)
        (void)leave(r, i, bk_addr(inside(i, 2), SHARED_PORT), &to, &s->seen);
    return e;
}

static void tell(struct ring *r, int i) {
    const struct punch_duel *d = r->duel;
    struct punch *p = r->side[i].punch;
    struct bk_nat_traits nothing = {.translated = BK_UNKNOWN};
    punch_set_mapped(p, &r->side[i].seen);
    punch_set_peer(p, &r->side[1 - i].seen, 1);
    punch_set_rtt(p, 2 * d->owd_us, 2 * d->signal_us);
    punch_set_ttl(p, d->ttl);
    if (d->unknown)
        punch_set_traits(p, &nothing, &nothing, r->now);
    else
        punch_set_traits(p, &d->sides[i].traits, &d->sides[1 - i].traits, r->now);
}

static void run(struct ring *r) {
    tell(r, 0);
    tell(r, 1);
    struct bk_time began = bk_later(r->side[0].start, r->side[1].start);
    while (goes_on(r))
        turn(r);
    const struct punch_step *steps;
    r->result.over = punch_is_over(r->side[0].punch) && !r->result.met;
    r->result.us = bk_elapsed_us(began, r->now);
    r->result.steps = (uint32_t)punch_steps(r->side[0].punch, &steps);
    for (int i = 0; i < 2; i++) {
        r->result.packets[i] = punch_stats(r->side[i].punch)->packets;
        r->result.refused += punch_stats(r->side[i].punch)->refused;
    }
}

enum bk_err punch_duel_run(const struct punch_duel *duel, uint64_t seed,
                           const struct bk_alloc *alloc, struct punch_duel_result *out) {
    struct ring *r = alloc->get(alloc->ctx, sizeof *r);
    if (r == NULL)
        return BK_ERR_NO_MEMORY;
    r->duel = duel;
    r->now.us = BK_US_PER_S;
    rng_seed(&r->seed, seed);
    r->rng = rng_from_seeded(&r->seed);
    enum bk_err e = side_init(r, 0, alloc);
    if (e == BK_OK)
        e = side_init(r, 1, alloc);
    if (e == BK_OK) {
        run(r);
        *out = r->result;
    }
    for (int i = 0; i < 2; i++) {
        punch_free(r->side[i].punch);
        nat_free(r->side[i].box);
    }
    alloc->put(alloc->ctx, r);
    return e;
}
