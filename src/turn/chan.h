/* SPDX-License-Identifier: MIT
 * The service's channels (RFC 8656 section 12): one pool for all allocations, found by allocation
 * and number, and by allocation and peer; each allocation's are chained, so that they end with it.
 */
#ifndef TURN_CHAN_H
#define TURN_CHAN_H

#include "turn/alloc.h"

struct turn_channel {
    struct bk_addr peer;
    struct bk_time expires;
    uint32_t owner; /* the allocation; TURN_NONE: free */
    uint32_t next, prev;
    uint16_t number;
};

struct turn_channels {
    struct turn_channel *list;
    struct table by_number, by_peer;
    uint32_t max, count, first_free;
    struct bk_alloc alloc;
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

#endif
