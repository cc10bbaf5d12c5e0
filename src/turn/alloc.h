/* SPDX-License-Identifier: MIT
 * The service's allocations (RFC 8656 section 6), found by 5-tuple. Named by index; an index is
 * reused, so whoever keeps one is told when it ends. */
#ifndef TURN_ALLOC_H
#define TURN_ALLOC_H

#include "base/links.h"
#include "base/waits.h"
#include "turn/bucket.h"
#include "wire/stun.h"

#include <bodkin/addr.h>
#include <bodkin/time.h>

#define TURN_NONE UINT32_MAX /* no entry of a table */

enum { TURN_FAMILIES = 2 };

/* Whom quotas are counted for. */
enum turn_payer { TURN_USER, TURN_ADDRESS, TURN_PAYERS };

struct turn_alloc {
    struct link by_tuple;
    struct wait wait;              /* its end: wait.when */
    struct bk_addr client, server; /* with `protocol`, the 5-tuple */
    void *via;                     /* the client's door: turn_service_from() */
    void *socket[TURN_FAMILIES];   /* what turn_service_opened() said of the relay ports */
    uint32_t share[TURN_FAMILIES]; /* its place at a shared port, + 1; 0: the port is its own */
    uint64_t user;                 /* 0: this entry is free */
    uint64_t token;                /* RESERVATION-TOKEN it was answered with; 0: none */
    uint64_t ticket;               /* names it in its MOBILITY-TICKETs; 0: it has none */
    struct bk_time good_until;     /* of its credentials; BK_NEVER: not known */
    struct turn_bucket bucket;     /* its bandwidth */
    uint64_t bytes[2];             /* to peers, to the client */
    uint64_t packets[2];
    uint32_t payer[TURN_PAYERS]; /* its accounts */
    uint32_t lifetime_s;
    uint32_t first_perm, first_chan, first_conn; /* heads of its lists */
    uint16_t perms, chans, conns;
    uint16_t port[TURN_FAMILIES]; /* relay port of IPv4 and IPv6; 0: none */
    uint16_t trouble;             /* error code for the family that was wanted too; 0: none */
    uint8_t txid[STUN_TXID_LEN];  /* of its Allocate, to know a retransmission by */
    uint8_t token_key[32], token_key_len; /* of its ACCESS-TOKEN, RFC 7635; 0: it has none */
    uint32_t kid;                         /* a hash of who made that */
    uint8_t protocol;
    uint8_t relayed; /* enum bk_protocol of the relay ports: TCP is RFC 6062 */
    bool over;       /* its bandwidth: the refusal was told */
    bool adrift;     /* its client's connection is gone; it may come back by RFC 8016 */
};

struct turn_allocs {
    struct pool pool;
    struct links by_tuple;
    struct waits waits;
    uint64_t seed[2];
};

BK_MUST_USE enum bk_err turn_allocs_init(struct turn_allocs *a, uint32_t max,
                                         const struct bk_rng *rng, const struct bk_alloc *alloc);
void turn_allocs_fini(struct turn_allocs *a);
/* TURN_NONE: no such allocation. */
uint32_t turn_allocs_find(const struct turn_allocs *a, const struct bk_datagram *in);
/* A new one for this 5-tuple, which has none. TURN_NONE: full. */
uint32_t turn_allocs_add(struct turn_allocs *a, const struct bk_datagram *in, uint64_t user);
/* Gives it another 5-tuple, which has none. */
void turn_allocs_move(struct turn_allocs *a, uint32_t i, const struct bk_datagram *in);
/* Its permissions and channels are gone already. The 5-tuple is free at once. */
void turn_allocs_remove(struct turn_allocs *a, uint32_t i);

static inline struct turn_alloc *turn_alloc_at(const struct turn_allocs *a, uint32_t i) {
    return pool_at(&a->pool, i);
}

/* Is this the index of one? For indexes that come from outside. */
static inline bool turn_alloc_is(const struct turn_allocs *a, uint32_t i) {
    return i < a->pool.max && a->pool.chunks[i >> a->pool.shift].objects != NULL &&
           turn_alloc_at(a, i)->user != 0;
}

static inline size_t turn_family_index(uint8_t family) {
    return family == BK_IPV6 ? 1 : 0;
}

#endif
