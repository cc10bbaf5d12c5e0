/* SPDX-License-Identifier: MIT
 * Two agents, a STUN server and the network between them, in virtual time. One seed, one run.
 *
 *     agent i [10.0.i.2:5000] -- NAT 198.51.100.(1+i) --(delay, loss)-- 192.0.2.9:3478
 *
 * 192.0.2.10 is a TURN server: port 3478 over UDP and TCP, port 5349 over TLS and DTLS (which here
 * are the same without the encryption); relayed addresses are 192.0.2.10:50000 and up.
 *
 * A NAT is endpoint independent in mapping, address-and-port dependent in filtering. Addresses in
 * 10/8 are private to an agent's site. What is dialled from a listener's port leaves from port
 * 45000 of the NAT and, while such a connection is there, anybody may connect to it. The STUN
 * server is reached by TCP and TLS as well. */
#ifndef TESTS_UNIT_AGENT_NET_H
#define TESTS_UNIT_AGENT_NET_H

#include "net_server.h"

/* ---- Delivery ----------------------------------------------------------------------------- */

static inline void net_keep_data(struct net_side *s, const struct bk_ice_data *data) {
    assert_true(s->data_count < NET_DATA && data->len < sizeof s->data[0]);
    memset(s->data[s->data_count], 0, sizeof s->data[0]);
    memcpy(s->data[s->data_count++], data->data, data->len);
}

static inline void net_bytes(struct net *n, const struct net_packet *p, struct net_conn *c) {
    int side = c->side[p->end];
    if (side < 0) {
        struct net_client client = {
            .in_conn = true, .conn = p->conn, .from = c->addr[0], .at = c->addr[1]};
        net_turn_in(n, &client, p->data, p->len);
        return;
    }
    struct net_side *s = &n->side[side];
    struct bk_ice_data data;
    /* cut in two, as streams are; behind port 5349 there may be DTLS, which has records */
    size_t first = c->addr[1].port == 5349 || p->len < 3 ? p->len : p->len / 3;
    for (size_t at = 0, cut = first; at < p->len; at += cut, cut = p->len - at) {
        if (s->ice == NULL ||
            bk_ice_stream_recv(s->ice, c->id[p->end], p->data + at, cut, n->now) != BK_OK)
            return;
        while (bk_ice_next_data(s->ice, &data))
            net_keep_data(s, &data);
    }
}

/* Does who connects to `to` reach the listener of this side? */
static inline bool net_reaches(const struct net *n, int side, const struct bk_addr *to) {
    const struct net_side *s = &n->side[side];
    struct bk_addr outside = {.ip = s->outside, .port = NET_TCP_OUTSIDE};
    if (!s->nat)
        return bk_addr_equal(&s->listener, to);
    for (size_t i = 0; i < NET_CONNS; i++) {
        const struct net_conn *c = &n->conns[i];
        if (c->used && !c->gone && c->side[0] == side && bk_addr_equal(&c->addr[0], &outside))
            return bk_addr_equal(&outside, to);
    }
    return false;
}

static inline void net_syn(struct net *n, const struct net_packet *p, struct net_conn *c) {
    enum net_kind answer = NET_REFUSED;
    if (bk_ip_equal(&c->addr[1].ip, &n->turn.ip)) {
        if (!n->turn_dead)
            answer = NET_SYNACK;
        c->side[1] = -1;
    }
    if (bk_ip_equal(&c->addr[1].ip, &n->server.ip)) {
        if (n->server_dead)
            return;
        answer = NET_SYNACK;
    }
    for (int i = 0; i < 2; i++) {
        struct net_side *s = &n->side[i];
        if (s->ice == NULL || s->listener.port == 0 || !net_reaches(n, i, &c->addr[1]) ||
            bk_ice_accepted(s->ice, &s->listener, &c->addr[0], n->now, &c->id[1]) != BK_OK)
            continue;
        c->side[1] = i;
        answer = NET_SYNACK;
    }
    net_conn_post(n, answer, p->conn, 0, NULL, 0);
}

static inline void net_conn_deliver(struct net *n, const struct net_packet *p) {
    struct net_conn *c = &n->conns[p->conn];
    int side = c->side[p->end];
    struct bk_ice *ice = side < 0 ? NULL : n->side[side].ice;
    if (c->gone)
        return;
    switch (p->kind) {
    case NET_SYN:
        net_syn(n, p, c);
        break;
    case NET_SYNACK:
    case NET_REFUSED:
        if (ice != NULL &&
            bk_ice_dialled(ice, c->id[0], p->kind == NET_SYNACK ? BK_OK : BK_ERR_REFUSED,
                           &c->addr[0], n->now) != BK_OK)
            c->gone = true;
        break;
    case NET_BYTES:
        net_bytes(n, p, c);
        break;
    case NET_FIN:
        c->gone = true;
        if (ice != NULL)
            bk_ice_hung_up(ice, c->id[p->end], n->now);
        break;
    case NET_DATAGRAM:
        break;
    }
}

/* ---- What the agents ask of the world ----------------------------------------------------- */

static inline void net_dial(struct net *n, int side, const struct bk_ice_request *r) {
    static uint16_t port = 20000;
    for (size_t i = 0; i < NET_CONNS; i++) {
        struct net_conn *c = &n->conns[i];
        if (c->used)
            continue;
        *c = (struct net_conn){.used = true, .side = {side, -1}, .id = {r->id, 0}};
        c->addr[0] = r->local;
        if (bk_ip_is_any(&r->local.ip))
            c->addr[0] = n->side[side].base[0];
        if (n->side[side].nat)
            c->addr[0].ip = n->side[side].outside;
        assert_true(!r->reuse || bk_addr_equal(&r->local, &n->side[side].listener));
        if (!r->reuse)
            c->addr[0].port = port++;
        else if (n->side[side].nat)
            c->addr[0].port = NET_TCP_OUTSIDE;
        c->addr[1] = r->remote;
        net_conn_post(n, NET_SYN, i, 1, NULL, 0);
        return;
    }
    fail_msg("too many connections");
}

static inline void net_hang_up(struct net *n, int side, uint32_t id) {
    for (size_t i = 0; i < NET_CONNS; i++)
        for (int e = 0; e < 2; e++)
            if (n->conns[i].used && n->conns[i].side[e] == side && n->conns[i].id[e] == id)
                net_conn_post(n, NET_FIN, i, 1 - e, NULL, 0);
}

static inline void net_look_up(struct net *n, int side, const struct bk_ice_request *r) {
    struct bk_ip found[2];
    size_t count = 0;
    for (size_t i = 0; i < n->name_count && count < 2; i++)
        if (strcmp(n->names[i].name, r->name) == 0)
            found[count++] = n->names[i].ip;
    bk_ice_resolved(n->side[side].ice, r->id, found, count, n->now);
}

static inline void net_name(struct net *n, const char *name, const struct bk_ip *ip) {
    assert_true(n->name_count < NET_NAMES && strlen(name) < sizeof n->names[0].name);
    strcpy(n->names[n->name_count].name, name);
    n->names[n->name_count++].ip = *ip;
}

static inline bool net_requests(struct net *n, int side) {
    struct net_side *s = &n->side[side];
    struct bk_ice_request r;
    const uint8_t *data;
    uint32_t id;
    size_t len;
    bool any = false;
    while (bk_ice_next_request(s->ice, &r)) {
        any = true;
        n->requests[r.kind]++;
        assert_int_not_equal(r.id, 0);
        if (r.kind == BK_ICE_DIAL && s->no_tcp)
            assert_int_equal(bk_ice_dialled(s->ice, r.id, BK_ERR_UNSUPPORTED, NULL, n->now), BK_OK);
        else if (r.kind == BK_ICE_DIAL)
            net_dial(n, side, &r);
        else if (r.kind == BK_ICE_HANG_UP)
            net_hang_up(n, side, r.id);
        else if (r.kind == BK_ICE_RESOLVE)
            net_look_up(n, side, &r);
        else
            net_name(n, r.name, &r.local.ip);
    }
    while (bk_ice_next_stream_data(s->ice, &id, &data, &len)) {
        any = true;
        for (size_t i = 0; i < NET_CONNS; i++)
            for (int e = 0; e < 2; e++)
                if (n->conns[i].used && n->conns[i].side[e] == side && n->conns[i].id[e] == id)
                    net_conn_post(n, NET_BYTES, i, 1 - e, data, len);
    }
    return any;
}

static inline void net_take(struct net *n, int side, const struct bk_addr *local,
                            const struct net_packet *p) {
    struct net_side *s = &n->side[side];
    struct bk_datagram d = {.local = *local, .remote = p->from, .data = p->data, .len = p->len};
    struct bk_ice_data data;
    if (s->ice == NULL || bk_ice_recv(s->ice, &d, n->now, &data) != BK_OK || data.data == NULL)
        return;
    net_keep_data(s, &data);
}

static inline void net_deliver(struct net *n, struct net_packet *slot) {
    static struct net_packet copy;
    slot->used = false;
    copy = *slot; /* the slot may be taken again meanwhile */
    const struct net_packet *p = &copy;
    if (p->kind != NET_DATAGRAM) {
        net_conn_deliver(n, p);
        return;
    }
    if (bk_ip_equal(&p->to.ip, &n->turn.ip)) {
        net_turn_take(n, p);
        return;
    }
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
            agent_check(s->ice);
            while (bk_ice_next_datagram(s->ice, &d))
                net_send(n, i, &d);
            if (net_requests(n, i))
                again = 2;
            if (n->poll != NULL)
                n->poll(n, i);
            if (s->ice == NULL)
                continue;
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
            if (n->side[i].ice != NULL && bk_due(bk_ice_deadline(n->side[i].ice), n->now)) {
                bk_ice_advance(n->side[i].ice, n->now);
                assert_false(bk_due(bk_ice_deadline(n->side[i].ice), n->now));
            }
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
    n->turn = net_addr("192.0.2.10:3478");
    n->turn_tls = net_addr("192.0.2.10:5349");
    static const uint8_t secret[32] = {1};
    assert_int_equal(stun_realm_init(&n->realm, "example.org", secret, 3600 * BK_US_PER_S, false),
                     BK_OK);
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

static inline void net_listen(struct net *n, int side, const char *text) {
    struct bk_ice_base base = {.size = sizeof base, .addr = net_addr(text), .protocol = BK_TCP};
    n->side[side].listener = base.addr;
    assert_int_equal(bk_ice_add_base(n->side[side].ice, &base, n->now), BK_OK);
}

static inline void net_server(struct bk_ice_config *c, const char *uri) {
    c->servers[c->server_count].user = "user";
    c->servers[c->server_count].password = "secret-of-turn";
    c->servers[c->server_count++].uri = uri;
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
