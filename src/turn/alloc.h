/* SPDX-License-Identifier: MIT
 * The service's allocations (RFC 8656 section 6), found by 5-tuple. Named by index; an index is
 * reused, so whoever keeps one is told when it ends. */
#ifndef TURN_ALLOC_H
#define TURN_ALLOC_H

#include "base/table.h"
#include "wire/stun.h"

#include <bodkin/addr.h>
#include <bodkin/time.h>

#define TURN_NONE UINT32_MAX /* no entry of a table */

enum { TURN_FAMILIES = 2 };

struct turn_alloc {
    struct bk_addr client, server; /* with `protocol`, the 5-tuple */
    uint64_t user;                 /* 0: this entry is free */
    uint64_t token;                /* RESERVATION-TOKEN it was answered with; 0: none */
    struct bk_time expires;
    uint32_t lifetime_s;
    uint32_t first_perm, first_chan; /* heads of its lists; `next` of a free entry */
    uint16_t perms, chans;
    uint16_t port[TURN_FAMILIES]; /* relay port of IPv4 and IPv6; 0: none */
    uint16_t trouble;             /* error code for the family that was wanted too; 0: none */
    uint8_t txid[STUN_TXID_LEN];  /* of its Allocate, to know a retransmission by */
    uint8_t protocol;
};

struct turn_allocs {
    struct turn_alloc *list;
    struct table by_tuple, by_user; /* by_user: how many it has */
    uint32_t max, count, first_free;
    struct bk_alloc alloc;
};

BK_MUST_USE enum bk_err turn_allocs_init(struct turn_allocs *a, uint32_t max,
                                         const struct bk_rng *rng, const struct bk_alloc *alloc);
void turn_allocs_fini(struct turn_allocs *a);
/* TURN_NONE: no such allocation. */
uint32_t turn_allocs_find(const struct turn_allocs *a, const struct bk_datagram *in);
uint32_t turn_allocs_of_user(const struct turn_allocs *a, uint64_t user);
/* A new one for this 5-tuple, which has none. TURN_NONE: full. */
uint32_t turn_allocs_add(struct turn_allocs *a, const struct bk_datagram *in, uint64_t user);
/* Its permissions and channels are gone already. The 5-tuple is free at once. */
void turn_allocs_remove(struct turn_allocs *a, uint32_t i);

static inline size_t turn_family_index(uint8_t family) {
    return family == BK_IPV6 ? 1 : 0;
}

#endif
