/* SPDX-License-Identifier: MIT
 * Two agents and the network between them, in virtual time. One seed, one run.
 *
 *     agent 0 [10.0.0.2:5000] -- NAT 198.51.100.1 --(delay, loss)-- NAT 203.0.113.1 -- agent 1 ...
 *
 * A NAT is endpoint independent in mapping and address-and-port dependent in filtering (or, if
 * `symmetric`, dependent in both). Addresses in 10/8 are private to an agent's site. */
#ifndef TESTS_UNIT_ICE_MINI_H
#define TESTS_UNIT_ICE_MINI_H

#include "../test.h"

#include "base/rng.h"
#include "ice/checker.h"

#include <stdio.h>

enum { MINI_PACKETS = 512, MINI_MAPPINGS = 32, MINI_FILTERS = 128, MINI_EVENTS = 256 };

struct mini_packet {
    bool used;
    uint64_t order;
    struct bk_time at;
    struct bk_addr from, to;
    size_t len;
    uint8_t data[1500];
};

struct mini_nat {
    bool on, symmetric;
    struct bk_ip outside;
    uint16_t next_port;
    struct mini_mapping {
        struct bk_addr inside, remote; /* remote: symmetric only */
        uint16_t port;
    } mappings[MINI_MAPPINGS];
    size_t mapping_count;
    struct mini_filter {
        uint16_t port;
        struct bk_addr remote;
    } filters[MINI_FILTERS];
    size_t filter_count;
};

struct mini_side {
    struct bk_checker *ice;
    struct mini_nat nat;
    struct bk_addr base[12]; /* our sockets */
    size_t base_count;
    struct bk_ice_candidate cands[24]; /* as signalled */
    size_t cand_count;
    bool dead[12]; /* base i: nothing passes */
    struct bk_checker_event events[MINI_EVENTS];
    struct bk_time event_at[MINI_EVENTS];
    size_t event_count;
    size_t sent;
};

struct mini {
    struct rng_seeded seed, agent_seed;
    struct bk_rng rng;
    struct bk_time now;
    struct mini_side side[2];
    int64_t delay_us;
    uint32_t loss_permille;
    size_t mtu; /* larger datagrams vanish; 0: none do */
    bool (*blocked)(const struct bk_addr *from, const struct bk_addr *to);
    size_t refused; /* datagrams an agent said no to */
    uint64_t order;
    struct mini_packet packets[MINI_PACKETS];
    bool trace;
};

static inline struct bk_addr mini_addr(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

/* ---- The network -------------------------------------------------------------------------- */

static inline uint16_t mini_map(struct mini_nat *n, const struct bk_addr *in,
                                const struct bk_addr *remote) {
    for (size_t i = 0; i < n->mapping_count; i++) {
        if (bk_addr_equal(&n->mappings[i].inside, in) &&
            (!n->symmetric || bk_addr_equal(&n->mappings[i].remote, remote)))
            return n->mappings[i].port;
    }
    assert_true(n->mapping_count < MINI_MAPPINGS);
    struct mini_mapping *m = &n->mappings[n->mapping_count++];
    m->inside = *in;
    m->remote = *remote;
    m->port = n->next_port++;
    return m->port;
}

static inline bool mini_filter_has(const struct mini_nat *n, uint16_t port,
                                   const struct bk_addr *remote) {
    for (size_t i = 0; i < n->filter_count; i++) {
        if (n->filters[i].port == port && bk_addr_equal(&n->filters[i].remote, remote))
            return true;
    }
    return false;
}

static inline struct bk_addr mini_out(struct mini_nat *n, const struct bk_addr *in,
                                      const struct bk_addr *remote) {
    uint16_t port = mini_map(n, in, remote);
    if (!mini_filter_has(n, port, remote)) {
        assert_true(n->filter_count < MINI_FILTERS);
        n->filters[n->filter_count].port = port;
        n->filters[n->filter_count++].remote = *remote;
    }
    struct bk_addr out = {n->outside, port};
    return out;
}

/* What a STUN server would say: the address the outside sees for this socket. */
static inline struct bk_addr mini_stun(struct mini *m, int side, size_t base) {
    struct bk_addr server = mini_addr("192.0.2.9:3478");
    return mini_out(&m->side[side].nat, &m->side[side].base[base], &server);
}

static inline bool mini_is_private(const struct bk_addr *a) {
    return a->ip.family == BK_IPV4 && a->ip.bytes[0] == 10;
}

static inline void mini_post(struct mini *m, const struct bk_addr *from, const struct bk_addr *to,
                             const uint8_t *data, size_t len) {
    if (rng_below(&m->rng, 1000) < m->loss_permille || (m->mtu != 0 && len > m->mtu))
        return;
    for (size_t i = 0; i < MINI_PACKETS; i++) {
        struct mini_packet *p = &m->packets[i];
        if (p->used)
            continue;
        p->used = true;
        p->order = m->order++;
        p->at = bk_after(m->now, m->delay_us);
        p->from = *from;
        p->to = *to;
        p->len = len;
        assert_true(len <= sizeof p->data);
        memcpy(p->data, data, len);
        return;
    }
    fail_msg("the mini network is full");
}

static inline int mini_base_of(const struct mini_side *s, const struct bk_addr *a) {
    for (size_t i = 0; i < s->base_count; i++) {
        if (bk_addr_equal(&s->base[i], a))
            return (int)i;
    }
    return -1;
}

static inline void mini_send(struct mini *m, int side, const struct bk_datagram *d) {
    struct mini_side *s = &m->side[side];
    int base = mini_base_of(s, &d->local);
    s->sent++;
    assert_true(base >= 0);
    if (s->dead[base] || (m->blocked != NULL && m->blocked(&d->local, &d->remote)))
        return;
    struct bk_addr from = d->local;
    if (s->nat.on && mini_is_private(&from))
        from = mini_out(&s->nat, &d->local, &d->remote);
    else if (mini_is_private(&d->remote) != mini_is_private(&from))
        return;
    mini_post(m, &from, &d->remote, d->data, d->len);
}

/* Which socket gets a packet that arrives now? -1: none. */
static inline int mini_target(struct mini_side *s, const struct mini_packet *p) {
    if (!s->nat.on || !bk_ip_equal(&p->to.ip, &s->nat.outside)) {
        int base = mini_base_of(s, &p->to);
        return base >= 0 && s->nat.on && mini_is_private(&p->to) ? -1 : base;
    }
    for (size_t i = 0; i < s->nat.mapping_count; i++) {
        if (s->nat.mappings[i].port == p->to.port && mini_filter_has(&s->nat, p->to.port, &p->from))
            return mini_base_of(s, &s->nat.mappings[i].inside);
    }
    return -1;
}

static inline void mini_deliver(struct mini *m, struct mini_packet *p) {
    p->used = false;
    for (int i = 0; i < 2; i++) {
        struct mini_side *s = &m->side[i];
        int base = mini_target(s, p);
        if (base < 0 || s->dead[base] || s->ice == NULL)
            continue;
        struct bk_datagram d = {
            .local = s->base[base], .remote = p->from, .data = p->data, .len = p->len};
        if (bk_checker_recv(s->ice, &d, m->now) != BK_OK)
            m->refused++;
        return;
    }
}

/* ---- Running ------------------------------------------------------------------------------ */

static inline void mini_drain(struct mini *m) {
    for (int i = 0; i < 2; i++) {
        struct mini_side *s = &m->side[i];
        struct bk_datagram d;
        struct bk_checker_event e;
        while (s->ice != NULL && bk_checker_next_datagram(s->ice, &d))
            mini_send(m, i, &d);
        while (s->ice != NULL && bk_checker_next_event(s->ice, &e)) {
            assert_true(s->event_count < MINI_EVENTS);
            s->event_at[s->event_count] = m->now;
            s->events[s->event_count++] = e;
        }
        if (s->ice != NULL)
            bk_checker_check(s->ice);
    }
}

static inline struct mini_packet *mini_first_packet(struct mini *m) {
    struct mini_packet *first = NULL;
    for (size_t i = 0; i < MINI_PACKETS; i++) {
        struct mini_packet *p = &m->packets[i];
        if (p->used && (first == NULL || p->at.us < first->at.us ||
                        (p->at.us == first->at.us && p->order < first->order)))
            first = p;
    }
    return first;
}

/* Runs for `ms` of virtual time. */
static inline void mini_run(struct mini *m, int64_t ms) {
    struct bk_time end = bk_after(m->now, ms * 1000);
    mini_drain(m);
    for (int steps = 0;; steps++) {
        assert_true(steps < 2000000); /* a deadline that never moves on */
        struct mini_packet *p = mini_first_packet(m);
        struct bk_time next = p == NULL ? BK_NEVER : p->at;
        for (int i = 0; i < 2; i++) {
            if (m->side[i].ice != NULL)
                next = bk_earlier(next, bk_checker_deadline(m->side[i].ice));
        }
        if (bk_is_never(next) || next.us > end.us)
            break;
        m->now = bk_later(m->now, next);
        if (p != NULL && p->at.us <= m->now.us)
            mini_deliver(m, p);
        for (int i = 0; i < 2; i++) {
            if (m->side[i].ice != NULL && bk_due(bk_checker_deadline(m->side[i].ice), m->now))
                bk_checker_advance(m->side[i].ice, m->now);
        }
        mini_drain(m);
    }
    m->now = end;
}

/* ---- Setting up --------------------------------------------------------------------------- */

static inline void mini_trace(void *ctx, const char *text) {
    (void)ctx;
    fprintf(stderr, "    %s\n", text);
}

/* What the session uses. */
static inline struct bk_checker_config mini_config(void) {
    struct bk_checker_config c = bk_checker_config_default;
    c.ta_us = 5000;
    c.rto_min_us = 100000;
    return c;
}

static inline void mini_init(struct mini *m, uint64_t seed) {
    memset(m, 0, sizeof *m);
    rng_seed(&m->seed, seed);
    rng_seed(&m->agent_seed, seed + 1000003);
    m->rng = rng_from_seeded(&m->seed);
    m->now = test_at_ms(1000);
    m->delay_us = 40000;
    m->trace = getenv("MINI_TRACE") != NULL;
}

/* `rng` must outlive the agent. */
static inline void mini_agent(struct mini *m, int side, const struct bk_rng *rng,
                              struct bk_checker_config config, bool controlling) {
    config.rng = rng;
    config.controlling = controlling;
    if (m->trace)
        config.trace.line = mini_trace;
    assert_int_equal(bk_checker_new(&config, &test_alloc, &m->side[side].ice), BK_OK);
}

static inline void mini_nat(struct mini *m, int side, const char *outside, bool symmetric) {
    struct mini_nat *n = &m->side[side].nat;
    n->on = true;
    n->symmetric = symmetric;
    n->next_port = 40000;
    assert_int_equal(bk_ip_parse(outside, &n->outside), BK_OK);
}

static inline size_t mini_base(struct mini *m, int side, const char *text) {
    struct mini_side *s = &m->side[side];
    s->base[s->base_count] = mini_addr(text);
    return s->base_count++;
}

static inline void mini_cand(struct mini *m, int side, enum bk_ice_kind kind, struct bk_addr addr,
                             struct bk_addr base) {
    struct mini_side *s = &m->side[side];
    struct bk_ice_candidate c = {.kind = kind, .addr = addr, .base = base};
    assert_int_equal(bk_checker_add_local_candidate(s->ice, &c, m->now, &s->cands[s->cand_count]),
                     BK_OK);
    s->cand_count++;
}

/* A socket with its host candidate and, behind a NAT, its server-reflexive one. */
static inline void mini_socket(struct mini *m, int side, const char *text) {
    size_t i = mini_base(m, side, text);
    struct bk_addr base = m->side[side].base[i];
    mini_cand(m, side, BK_ICE_HOST, base, base);
    if (m->side[side].nat.on && mini_is_private(&base))
        mini_cand(m, side, BK_ICE_SRFLX, mini_stun(m, side, i), base);
}

/* The same on a public address, for one component of one stream. */
static inline void mini_socket_of(struct mini *m, int side, const char *text, uint16_t stream,
                                  uint16_t component) {
    struct mini_side *s = &m->side[side];
    struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .stream = stream, .component = component};
    c.addr = s->base[mini_base(m, side, text)];
    assert_int_equal(bk_checker_add_local_candidate(s->ice, &c, m->now, &s->cands[s->cand_count]),
                     BK_OK);
    s->cand_count++;
}

static inline void mini_signal_credentials(struct mini *m, int from) {
    const struct bk_checker *a = m->side[from].ice;
    assert_int_equal(bk_checker_set_remote_credentials(m->side[1 - from].ice, bk_checker_ufrag(a),
                                                       bk_checker_pwd(a), m->now),
                     BK_OK);
}

static inline void mini_signal_candidates(struct mini *m, int from) {
    struct mini_side *s = &m->side[from];
    for (size_t i = 0; i < s->cand_count; i++) {
        enum bk_err err =
            bk_checker_add_remote_candidate(m->side[1 - from].ice, &s->cands[i], m->now);
        assert_true(err == BK_OK || err == BK_ERR_EXISTS);
    }
}

static inline void mini_signal(struct mini *m) {
    for (int i = 0; i < 2; i++)
        mini_signal_credentials(m, i);
    for (int i = 0; i < 2; i++)
        mini_signal_candidates(m, i);
    for (int i = 0; i < 2; i++) {
        bk_checker_end_of_local_candidates(m->side[i].ice, m->now);
        bk_checker_end_of_remote_candidates(m->side[i].ice, m->now);
    }
}

static inline void mini_fini(struct mini *m) {
    for (int i = 0; i < 2; i++)
        bk_checker_free(m->side[i].ice);
}

/* Two agents at 10.0.0.2 and 10.0.1.2 behind two NATs, the first controlling, all signalled. */
static inline void mini_two_nats(struct mini *m, uint64_t seed, struct bk_rng rng[2],
                                 struct bk_checker_config config) {
    mini_init(m, seed);
    rng[0] = rng[1] = rng_from_seeded(&m->agent_seed);
    mini_nat(m, 0, "198.51.100.1", false);
    mini_nat(m, 1, "203.0.113.1", false);
    for (int i = 0; i < 2; i++)
        mini_agent(m, i, &rng[i], config, i == 0);
    mini_socket(m, 0, "10.0.0.2:5000");
    mini_socket(m, 1, "10.0.1.2:6000");
    mini_signal(m);
}

/* Two agents on public addresses, no NAT; not signalled yet. */
static inline void mini_two_public(struct mini *m, uint64_t seed, struct bk_rng rng[2],
                                   struct bk_checker_config config, bool first, bool second) {
    mini_init(m, seed);
    rng[0] = rng[1] = rng_from_seeded(&m->agent_seed);
    mini_agent(m, 0, &rng[0], config, first);
    mini_agent(m, 1, &rng[1], config, second);
    mini_socket(m, 0, "198.51.100.7:5000");
    mini_socket(m, 1, "203.0.113.7:6000");
}

/* ---- Looking ------------------------------------------------------------------------------ */

static inline const struct bk_checker_event *
mini_event(const struct mini *m, int side, enum bk_checker_event_kind kind, size_t nth) {
    const struct mini_side *s = &m->side[side];
    for (size_t i = 0; i < s->event_count; i++) {
        if (s->events[i].kind == kind && nth-- == 0)
            return &s->events[i];
    }
    return NULL;
}

static inline size_t mini_count(const struct mini *m, int side, enum bk_checker_event_kind kind) {
    size_t n = 0;
    for (size_t i = 0; i < m->side[side].event_count; i++)
        n += m->side[side].events[i].kind == kind;
    return n;
}

/* When it was told first, in microseconds since `since`; -1: never. */
static inline int64_t mini_when_us(const struct mini *m, int side, enum bk_checker_event_kind kind,
                                   struct bk_time since) {
    const struct bk_checker_event *e = mini_event(m, side, kind, 0);
    return e == NULL ? -1 : m->side[side].event_at[e - m->side[side].events].us - since.us;
}

static inline void mini_forget_events(struct mini *m) {
    m->side[0].event_count = m->side[1].event_count = 0;
}

static inline struct bk_ice_pair_info mini_selected(const struct mini *m, int side) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    assert_int_equal(bk_checker_selected(m->side[side].ice, &info), BK_OK);
    return info;
}

static inline void mini_assert_connected(const struct mini *m) {
    for (int i = 0; i < 2; i++)
        assert_int_equal(bk_checker_get_state(m->side[i].ice), BK_ICE_SELECTED);
    struct bk_ice_pair_info a = mini_selected(m, 0), b = mini_selected(m, 1);
    assert_true(bk_addr_equal(&a.remote.addr, &b.local.addr));
    assert_true(bk_addr_equal(&b.remote.addr, &a.local.addr));
}

#endif
