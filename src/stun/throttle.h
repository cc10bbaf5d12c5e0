/* SPDX-License-Identifier: MIT
 * How often one source address (IPv6: one /64, which is what one customer gets, RFC 6177), or one
 * network, may have an answer that nobody had to prove anything for: a leaky bucket for each. Who
 * forges sources to have answers sent to a victim then fills its line no further than this.
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
    _Atomic(uint64_t) *slots; /* 24 bits of the hash, then the microsecond, modulo 2^40 (12 days),
                                 in which it is in credit again */
    uint64_t bucket_count;    /* a power of two */
    uint64_t seed[2];
    _Atomic(uint64_t) gap_us, ahead_max_us; /* one per gap in the long run, so far ahead at once;
                                               a gap of 0: any number */
    uint8_t bytes_v4, bytes_v6;             /* of an address that count */
    struct bk_alloc alloc;
};

/* Room for `entries_max` or a little more, 8 bytes each. `burst` at once, then `per_s` (1 to
 * 1000000; 0: any number). BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err throttle_init(struct throttle *t, uint32_t entries_max, uint32_t per_s,
                                      uint32_t burst, const struct bk_rng *rng,
                                      const struct bk_alloc *alloc);
void throttle_fini(struct throttle *t);
/* Counts whole networks: an IPv4 /24, an IPv6 /56. Right after throttle_init(). */
void throttle_by_network(struct throttle *t);
/* Another rate from now on, while threads share it. Who has used up the old credit has that to wait
 * out, no more. */
void throttle_set_rate(struct throttle *t, uint32_t per_s, uint32_t burst);
/* Takes one from the address's credit. false: there is none. */
bool throttle_take(struct throttle *t, const struct bk_ip *who, struct bk_time now);
/* Gives one back: the address has shown that answers reach who asks for them. */
void throttle_give_back(struct throttle *t, const struct bk_ip *who, struct bk_time now);

#endif
