/* SPDX-License-Identifier: MIT
 * Two agents, a STUN server and the network between them, in virtual time. One seed, one run.
 *
 *     agent i [10.0.i.2:5000] -- NAT 198.51.100.(1+i) --(delay, loss)-- 192.0.2.9:3478
 *
 * A NAT is endpoint independent in mapping, address-and-port dependent in filtering. Addresses in
 * 10/8 are private to an agent's site. */
#ifndef TESTS_UNIT_AGENT_NET_H
#define TESTS_UNIT_AGENT_NET_H

#include "../test.h"

#include "agent/agent.h"
#include "base/rng.h"
#include "wire/stun.h"

#include <stdio.h>

enum { NET_PACKETS = 1024, NET_EVENTS = 256, NET_DATA = 64, NET_MAPPINGS = 64 };

struct net_packet {
    bool used;
    uint64_t order;
    struct bk_time at;
    struct bk_addr from, to;
    size_t len;
    uint8_t data[2000];
};

struct net_side {
    struct bk_ice *ice;
    struct bk_rng rng;
    struct bk_addr base[20];
    bool dead[20]; /* nothing passes there */
    size_t base_count;
    bool nat;
    struct bk_ip outside;
    struct bk_addr inside_of[NET_MAPPINGS]; /* outside port 40000 + i */
    size_t mapping_count;
    bool trickle; /* candidates are handed to the other side as they come */
    size_t sent;
    struct bk_addr sent_to[NET_PACKETS]; /* the last ones */
    struct bk_ice_event events[NET_EVENTS];
    char texts[NET_EVENTS][SDP_LINE_MAX];
    struct bk_time event_at[NET_EVENTS];
    size_t event_count;
    char data[NET_DATA][64];
    size_t data_count;
};

struct net {
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    struct net_side side[2];
    int64_t delay_us;
    uint32_t loss_permille;
    struct bk_addr server;
    bool server_dead;
    bool (*blocked)(const struct bk_addr *from, const struct bk_addr *to);
    uint64_t order;
    struct net_packet packets[NET_PACKETS];
    void (*poll)(struct net *n, int side); /* extra work after an input of this side */
};

static inline struct bk_addr net_addr(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

static inline void net_trace(void *ctx, const char *text) {
    struct net *n = ctx;
    fprintf(stderr, "    %8.3f %s\n", (double)n->now.us / 1000, text);
}

static inline void net_post(struct net *n, const struct bk_addr *from, const struct bk_addr *to,
                            const uint8_t *data, size_t len) {
    if (rng_below(&n->rng, 1000) < n->loss_permille)
        return;
    for (size_t i = 0; i < NET_PACKETS; i++) {
        struct net_packet *p = &n->packets[i];
        if (p->used)
            continue;
        p->used = true;
        p->order = n->order++;
        p->at = bk_after(n->now, n->delay_us);
        p->from = *from;
        p->to = *to;
        p->len = len;
        assert_true(len <= sizeof p->data);
        memcpy(p->data, data, len);
        return;
    }
    fail_msg("the network is full");
}

static inline bool net_is_private(const struct bk_addr *a) {
    return a->ip.family == BK_IPV4 && a->ip.bytes[0] == 10;
}

static inline uint16_t net_map(struct net_side *s, const struct bk_addr *inside) {
    for (size_t i = 0; i < s->mapping_count; i++)
        if (bk_addr_equal(&s->inside_of[i], inside))
            return (uint16_t)(40000 + i);
    assert_true(s->mapping_count < NET_MAPPINGS);
    s->inside_of[s->mapping_count] = *inside;
    return (uint16_t)(40000 + s->mapping_count++);
}

static inline void net_send(struct net *n, int side, const struct bk_datagram *d) {
    struct net_side *s = &n->side[side];
    struct bk_addr from = d->local;
    s->sent_to[s->sent++ % NET_PACKETS] = d->remote;
    size_t b = 0;
    while (b < s->base_count && !bk_addr_equal(&s->base[b], &d->local))
        b++;
    assert_true(b < s->base_count); /* only from its own sockets */
    assert_int_equal(d->protocol, BK_UDP);
    if (s->dead[b] || (n->blocked != NULL && n->blocked(&d->local, &d->remote)))
        return;
    if (s->nat) {
        from.ip = s->outside;
        from.port = net_map(s, &d->local);
    }
    if (s->nat && net_is_private(&d->remote))
        return;
    net_post(n, &from, &d->remote, d->data, d->len);
}

/* RFC 8489 section 2: Binding, answered at once. */
static inline void net_serve(struct net *n, const struct net_packet *p) {
    struct stun_msg m;
    uint8_t buf[128];
    size_t len;
    if (n->server_dead || stun_parse(&m, p->data, p->len) != BK_OK || m.cls != STUN_REQUEST)
        return;
    struct stun_builder b = stun_start_reply(buf, sizeof buf, STUN_SUCCESS, &m);
    stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &p->from);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    net_post(n, &p->to, &p->from, buf, len);
}

static inline void net_take(struct net *n, int side, const struct bk_addr *local,
                            const struct net_packet *p) {
    struct net_side *s = &n->side[side];
    struct bk_datagram d = {.local = *local, .remote = p->from, .data = p->data, .len = p->len};
    struct bk_ice_data data;
    if (s->ice == NULL || bk_ice_recv(s->ice, &d, n->now, &data) != BK_OK || data.data == NULL)
        return;
    assert_true(s->data_count < NET_DATA && data.len < sizeof s->data[0]);
    memcpy(s->data[s->data_count++], data.data, data.len);
}

static inline void net_deliver(struct net *n, struct net_packet *slot) {
    static struct net_packet copy;
    slot->used = false;
    copy = *slot; /* the slot may be taken again meanwhile */
    const struct net_packet *p = &copy;
    if (bk_addr_equal(&p->to, &n->server)) {
        net_serve(n, p);
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct net_side *s = &n->side[i];
        if (s->nat && bk_ip_equal(&p->to.ip, &s->outside)) {
            size_t at = (size_t)(p->to.port - 40000);
            if (p->to.port >= 40000 && at < s->mapping_count)
                net_take(n, i, &s->inside_of[at], p);
            return;
        }
        for (size_t b = 0; b < s->base_count; b++) {
            if (!bk_addr_equal(&p->to, &s->base[b]) || s->nat || s->dead[b])
                continue;
            net_take(n, i, &s->base[b], p);
            return;
        }
    }
}

static inline void net_note_event(struct net *n, int side, const struct bk_ice_event *e) {
    struct net_side *s = &n->side[side];
    assert_true(s->event_count < NET_EVENTS);
    char *text = s->texts[s->event_count];
    strcpy(text, e->text);
    s->events[s->event_count] = *e;
    s->events[s->event_count].text = text;
    s->event_at[s->event_count++] = n->now;
    struct bk_ice *other = n->side[1 - side].ice;
    if (!s->trickle || other == NULL)
        return;
    if (e->kind == BK_ICE_ON_CANDIDATE) {
        enum bk_err err = bk_ice_add_remote_candidate(other, e->stream, text, n->now);
        assert_true(err == BK_OK || err == BK_ERR_EXISTS);
    }
    if (e->kind == BK_ICE_ON_GATHERED)
        assert_int_equal(bk_ice_add_remote_candidate(other, 0, "", n->now), BK_OK);
}

static inline void net_drain(struct net *n) {
    struct bk_datagram d;
    struct bk_ice_event e;
    for (int again = 1; again > 0; again--) {
        for (int i = 0; i < 2; i++) {
            struct net_side *s = &n->side[i];
            if (s->ice == NULL)
                continue;
            while (bk_ice_next_datagram(s->ice, &d))
                net_send(n, i, &d);
            if (n->poll != NULL)
                n->poll(n, i);
            while (bk_ice_next_event(s->ice, &e)) {
                net_note_event(n, i, &e);
                again = 2;
            }
        }
    }
}

static inline struct net_packet *net_first(struct net *n) {
    struct net_packet *first = NULL;
    for (size_t i = 0; i < NET_PACKETS; i++) {
        struct net_packet *p = &n->packets[i];
        if (p->used && (first == NULL || p->at.us < first->at.us ||
                        (p->at.us == first->at.us && p->order < first->order)))
            first = p;
    }
    return first;
}

/* Runs for `ms` of virtual time. */
static inline void net_run(struct net *n, int64_t ms) {
    struct bk_time end = bk_after(n->now, ms * 1000);
    net_drain(n);
    for (int steps = 0;; steps++) {
        assert_true(steps < 1000000); /* a deadline that never moves on */
        struct net_packet *p = net_first(n);
        struct bk_time next = p == NULL ? BK_NEVER : p->at;
        for (int i = 0; i < 2; i++)
            if (n->side[i].ice != NULL)
                next = bk_earlier(next, bk_ice_deadline(n->side[i].ice));
        if (bk_is_never(next) || next.us > end.us)
            break;
        n->now = bk_later(n->now, next);
        if (p != NULL && p->at.us <= n->now.us)
            net_deliver(n, p);
        for (int i = 0; i < 2; i++)
            if (n->side[i].ice != NULL && bk_due(bk_ice_deadline(n->side[i].ice), n->now))
                bk_ice_advance(n->side[i].ice, n->now);
        net_drain(n);
    }
    n->now = end;
}

/* ---- Setting up --------------------------------------------------------------------------- */

static inline void net_init(struct net *n, uint64_t seed) {
    memset(n, 0, sizeof *n);
    rng_seed(&n->seed, seed);
    n->rng = rng_from_seeded(&n->seed);
    n->now = test_at_ms(1000);
    n->delay_us = 20000;
    n->server = net_addr("192.0.2.9:3478");
}

static inline struct bk_ice_config net_config(const struct net *n, int side) {
    struct bk_ice_config c = bk_ice_config_default;
    c.role = side == 0 ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
    c.rng = &n->rng;
    return c;
}

static inline void net_agent(struct net *n, int side, struct bk_ice_config c) {
    if (getenv("NET_TRACE") != NULL) {
        c.trace.line = net_trace;
        c.trace.ctx = n;
    }
    assert_int_equal(bk_ice_new(&c, &test_alloc, &n->side[side].ice), BK_OK);
}

static inline void net_base_of(struct net *n, int side, const char *text, uint16_t stream,
                               uint16_t component) {
    struct net_side *s = &n->side[side];
    struct bk_ice_base base = {
        .size = sizeof base, .addr = net_addr(text), .stream = stream, .component = component};
    s->base[s->base_count++] = base.addr;
    assert_int_equal(bk_ice_add_base(s->ice, &base, n->now), BK_OK);
}

static inline void net_base(struct net *n, int side, const char *text) {
    net_base_of(n, side, text, 0, 1);
}

static inline void net_nat(struct net *n, int side, const char *outside) {
    n->side[side].nat = true;
    assert_int_equal(bk_ip_parse(outside, &n->side[side].outside), BK_OK);
}

/* Hands one side's description to the other. */
static inline void net_signal(struct net *n, int from) {
    char text[8192];
    size_t len;
    assert_int_equal(bk_ice_describe(n->side[from].ice, text, sizeof text, &len), BK_OK);
    assert_int_equal(len, strlen(text));
    assert_int_equal(bk_ice_set_remote(n->side[1 - from].ice, text, len, n->now), BK_OK);
}

/* Both describe and gather at once, and trickle. */
static inline void net_start(struct net *n) {
    for (int i = 0; i < 2; i++)
        n->side[i].trickle = true;
    for (int i = 0; i < 2; i++)
        net_signal(n, i);
    for (int i = 0; i < 2; i++)
        bk_ice_gather(n->side[i].ice, n->now);
}

static inline void net_fini(struct net *n) {
    for (int i = 0; i < 2; i++)
        bk_ice_free(n->side[i].ice);
}

/* ---- Looking ------------------------------------------------------------------------------ */

static inline const struct bk_ice_event *net_event(const struct net *n, int side,
                                                   enum bk_ice_event_kind kind, size_t nth) {
    const struct net_side *s = &n->side[side];
    for (size_t i = 0; i < s->event_count; i++)
        if (s->events[i].kind == kind && nth-- == 0)
            return &s->events[i];
    return NULL;
}

static inline size_t net_count(const struct net *n, int side, enum bk_ice_event_kind kind) {
    size_t count = 0;
    while (net_event(n, side, kind, count) != NULL)
        count++;
    return count;
}

/* Microseconds after the start; -1: never. */
static inline int64_t net_when(const struct net *n, int side, enum bk_ice_event_kind kind) {
    const struct bk_ice_event *e = net_event(n, side, kind, 0);
    return e == NULL ? -1 : n->side[side].event_at[e - n->side[side].events].us - 1000000;
}

static inline enum bk_err net_say_on(struct net *n, int from, uint16_t stream, uint16_t component,
                                     const char *text) {
    struct bk_datagram d;
    enum bk_err err = bk_ice_send(n->side[from].ice, stream, component, text, strlen(text), &d);
    if (err == BK_OK && d.len > 0)
        net_send(n, from, &d);
    return err;
}

static inline enum bk_err net_say(struct net *n, int from, const char *text) {
    return net_say_on(n, from, 0, 1, text);
}

/* Both can talk to each other. */
static inline void net_assert_talk(struct net *n) {
    for (int i = 0; i < 2; i++)
        n->side[i].data_count = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(net_say(n, i, i == 0 ? "ping" : "pong"), BK_OK);
    net_run(n, 500);
    assert_int_equal(n->side[1].data_count, 1);
    assert_string_equal(n->side[1].data[0], "ping");
    assert_int_equal(n->side[0].data_count, 1);
    assert_string_equal(n->side[0].data[0], "pong");
}

#endif
