/* SPDX-License-Identifier: MIT
 * The service's permissions (RFC 8656 section 9): one pool for all allocations, found by allocation
 * and address; each allocation's are chained, so that they end with it. */
#ifndef TURN_PERM_H
#define TURN_PERM_H

#include "turn/alloc.h"

struct turn_permission {
    struct link by_ip, by_relay;
    struct wait wait; /* its end: wait.when */
    struct bk_ip ip;
    uint32_t owner; /* the allocation */
    uint32_t next, prev;
    uint32_t relay; /* the shared relay port it is at, service_share.c; 0: none */
};

struct turn_permissions {
    struct pool pool;
    struct links by_ip, by_relay;
    struct waits waits;
    uint64_t seed[2];
};

BK_MUST_USE enum bk_err turn_permissions_init(struct turn_permissions *p, uint32_t max,
                                              const struct bk_rng *rng,
                                              const struct bk_alloc *alloc);
void turn_permissions_fini(struct turn_permissions *p);
/* TURN_NONE: there is none. Expired ones are found until their timer runs. */
uint32_t turn_permissions_find(const struct turn_permissions *p, uint32_t owner,
                               const struct bk_ip *ip);
/* The one of this peer at a shared relay port. */
uint32_t turn_permissions_at_relay(const struct turn_permissions *p, uint32_t relay,
                                   const struct bk_ip *ip);
/* A new one, chained to `a`, which is `owner`; with `relay`, none of that peer is there. TURN_NONE:
 * the pool is empty. */
uint32_t turn_permissions_add(struct turn_permissions *p, struct turn_alloc *a, uint32_t owner,
                              const struct bk_ip *ip, uint32_t relay);
void turn_permissions_remove(struct turn_permissions *p, struct turn_alloc *a, uint32_t i);

static inline struct turn_permission *turn_permission_at(const struct turn_permissions *p,
                                                         uint32_t i) {
    return pool_at(&p->pool, i);
}

#endif
