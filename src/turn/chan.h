/* SPDX-License-Identifier: MIT
 * The service's channels (RFC 8656 section 12): one pool for all allocations, found by allocation
 * and number, and by allocation and peer; each allocation's are chained, so that they end with it.
 */
#ifndef TURN_CHAN_H
#define TURN_CHAN_H

#include "turn/alloc.h"

struct turn_channel {
    struct link by_number, by_peer;
    struct wait wait; /* its end: wait.when */
    struct bk_addr peer;
    uint32_t owner; /* the allocation */
    uint32_t next, prev;
    uint16_t number;
    bool flow; /* a fast path has been told of it */
};

struct turn_channels {
    struct pool pool;
    struct links by_number, by_peer;
    struct waits waits;
    uint64_t seed[2];
};

BK_MUST_USE enum bk_err turn_channels_init(struct turn_channels *c, uint32_t max,
                                           const struct bk_rng *rng, const struct bk_alloc *alloc);
void turn_channels_fini(struct turn_channels *c);
/* TURN_NONE: there is none. */
uint32_t turn_channels_by_number(const struct turn_channels *c, uint32_t owner, uint16_t number);
uint32_t turn_channels_by_peer(const struct turn_channels *c, uint32_t owner,
                               const struct bk_addr *peer);
/* A new one, chained to `a`, which is `owner`; neither number nor peer is bound. TURN_NONE: the
 * pool is empty. */
uint32_t turn_channels_add(struct turn_channels *c, struct turn_alloc *a, uint32_t owner,
                           uint16_t number, const struct bk_addr *peer);
void turn_channels_remove(struct turn_channels *c, struct turn_alloc *a, uint32_t i);

static inline struct turn_channel *turn_channel_at(const struct turn_channels *c, uint32_t i) {
    return pool_at(&c->pool, i);
}

/* Is this the index of one? For indexes that come from outside. */
static inline bool turn_channel_is(const struct turn_channels *c, uint32_t i) {
    return i < c->pool.max && c->pool.chunks[i >> c->pool.shift].objects != NULL &&
           turn_channel_at(c, i)->number != 0;
}

#endif
