/* SPDX-License-Identifier: MIT
 * What is in the network of net.h, and how packets and connections begin their way. */
#ifndef TESTS_UNIT_AGENT_NET_WORLD_H
#define TESTS_UNIT_AGENT_NET_WORLD_H

#include "../test.h"

#include "agent/agent.h"
#include "base/rng.h"
#include "stun/auth.h"
#include "wire/channel.h"
#include "wire/stun.h"

#include <stdio.h>

enum { NET_TCP_OUTSIDE = 45000 };
enum { NET_ALLOCATIONS = 32, NET_CONNS = 32, NET_NAMES = 8 };
enum net_kind { NET_DATAGRAM, NET_SYN, NET_SYNACK, NET_REFUSED, NET_BYTES, NET_FIN };
enum { NET_PACKETS = 1024, NET_EVENTS = 256, NET_DATA = 64, NET_MAPPINGS = 64 };

struct net_packet {
    bool used;
    enum net_kind kind;
    size_t conn; /* of all but datagrams */
    int end;     /* which end of it this goes to */
    uint64_t order;
    struct bk_time at;
    struct bk_addr from, to;
    size_t len;
    uint8_t data[2000];
};

/* A connection: end 0 opened it. */
struct net_conn {
    bool used, gone;
    int side[2]; /* -1: the TURN server */
    uint32_t id[2];
    struct bk_addr addr[2];
};

struct net_allocation {
    bool used;
    bool in_conn;
    size_t conn;
    struct bk_addr client; /* datagrams */
    struct bk_addr server; /* the address that was asked */
    struct bk_ip permitted[16];
    size_t permitted_count;
    struct bk_addr channels[8]; /* number 0x4000 + i */
    size_t sent, received;
};

struct net_name {
    char name[64];
    struct bk_ip ip;
};

struct net_side {
    bool no_tcp;
    struct bk_addr listener; /* port 0: none */
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
    struct bk_addr turn, turn_tls;
    bool turn_dead, turn_udp_dead;
    struct bk_addr redirect; /* allocations go there: 300; port 0: no */
    struct stun_realm realm;
    struct net_allocation allocations[NET_ALLOCATIONS];
    struct net_conn conns[NET_CONNS];
    struct net_name names[NET_NAMES];
    size_t name_count;
    size_t requests[4]; /* by enum bk_ice_request_kind */
    size_t allocates;
    size_t unpermitted; /* sent to a relay for a peer that had no permission yet */
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
        *p = (struct net_packet){.used = true, .kind = NET_DATAGRAM};
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

/* ---- Connections -------------------------------------------------------------------------- */

static inline void net_conn_post(struct net *n, enum net_kind kind, size_t conn, int end,
                                 const uint8_t *data, size_t len) {
    for (size_t i = 0; i < NET_PACKETS; i++) {
        struct net_packet *p = &n->packets[i];
        if (p->used)
            continue;
        *p = (struct net_packet){.used = true, .kind = kind, .conn = conn, .end = end, .len = len};
        p->order = n->order++;
        p->at = bk_after(n->now, n->delay_us);
        assert_true(len <= sizeof p->data);
        if (len > 0)
            memcpy(p->data, data, len);
        return;
    }
    fail_msg("the network is full");
}

#endif
