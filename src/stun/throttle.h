/* SPDX-License-Identifier: MIT
 * How often one source address (IPv6: one /64, which is what one customer gets, RFC 6177) may have
 * an answer sent from or to another place than usual: a leaky bucket per address.
 *
 * Memory is fixed: eight slots to a bucket of a keyed hash table, the address that has been quiet
 * longest makes room. Threads may share it: a slot is one atomic word, changed by compare and swap.
 */
#ifndef STUN_THROTTLE_H
#define STUN_THROTTLE_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/time.h>
#include <stdatomic.h>

struct throttle {
    _Atomic(uint64_t) *slots; /* 24 bits of the hash, then the millisecond it is in credit again */
    uint64_t bucket_count;    /* a power of two */
    uint64_t seed[2];
    uint32_t gap_ms, burst; /* one per gap in the long run, `burst` at once */
    struct bk_alloc alloc;
};

/* Room for `entries_max` or a little more, 8 bytes each. `burst` at once, then `per_s` (1 to 1000).
 * BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err throttle_init(struct throttle *t, uint32_t entries_max, uint32_t per_s,
                                      uint32_t burst, const struct bk_rng *rng,
                                      const struct bk_alloc *alloc);
void throttle_fini(struct throttle *t);
/* Takes one from the address's credit. false: there is none. */
bool throttle_take(struct throttle *t, const struct bk_ip *who, struct bk_time now);

#endif
