/* SPDX-License-Identifier: MIT
 * The peer connections of TCP allocations (RFC 6062): one pool for all allocations, found by their
 * number, and by allocation and peer; each allocation's are chained, so that they end with it. */
#ifndef TURN_CONN_H
#define TURN_CONN_H

#include "stun/auth.h"
#include "turn/alloc.h"

enum turn_conn_state {
    TURN_CONN_CONNECTING, /* Connect was asked for; `reply` is how to answer it */
    TURN_CONN_WAITING,    /* it is there; ConnectionBind is awaited */
    TURN_CONN_JOINED
};

/* What an answer needs that leaves later than its request came. */
struct turn_reply {
    uint8_t txid[STUN_TXID_LEN];
    uint8_t key[64], key_len; /* of stun_key; long-term keys are short */
    bool sha256, fingerprint;
};

struct turn_conn {
    struct link by_peer;
    struct wait wait;
    struct bk_addr peer;
    uint32_t number; /* CONNECTION-ID: worker, a serial number, the index */
    uint32_t owner;  /* the allocation */
    uint32_t next, prev;
    enum turn_conn_state state;
    struct turn_reply reply;
};

struct turn_conns {
    struct pool pool;
    struct links by_peer;
    struct waits waits;
    uint64_t seed[2];
    uint8_t worker, serial;
};

enum { TURN_CONNS_MAX = 65536 };

BK_MUST_USE enum bk_err turn_conns_init(struct turn_conns *c, uint32_t max, uint8_t worker,
                                        const struct bk_rng *rng, const struct bk_alloc *alloc);
void turn_conns_fini(struct turn_conns *c);
/* TURN_NONE: there is none. */
uint32_t turn_conns_by_number(const struct turn_conns *c, uint32_t number);
uint32_t turn_conns_by_peer(const struct turn_conns *c, uint32_t owner, const struct bk_addr *peer);
/* A new one, chained to `a`, which is `owner`. TURN_NONE: the pool is empty. */
uint32_t turn_conns_add(struct turn_conns *c, struct turn_alloc *a, uint32_t owner,
                        const struct bk_addr *peer);
void turn_conns_remove(struct turn_conns *c, struct turn_alloc *a, uint32_t i);

static inline struct turn_conn *turn_conn_at(const struct turn_conns *c, uint32_t i) {
    return pool_at(&c->pool, i);
}

/* The worker that a number names. */
static inline uint16_t turn_conn_worker(uint32_t number) {
    return (uint16_t)(number >> 24);
}

#endif
