/* SPDX-License-Identifier: MIT
 * Who has asked lately: the memory without which RESPONSE-PORT (RFC 5780 section 7.5) would let
 * anybody have answers sent to ports that never asked for one.
 *
 * A table of fixed size, eight slots to a bucket; the newest pushes out the oldest. Keys are hashed
 * with SipHash under a random key, so nobody outside can aim at a bucket, or find a stranger that
 * is mistaken for an asker (one in 2^29). Threads may share it: a slot is one atomic word and
 * stands for itself, so a race loses a note or repeats one, nothing else. */
#ifndef STUN_ASKED_H
#define STUN_ASKED_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/time.h>
#include <stdatomic.h>

struct asked {
    _Atomic(uint64_t) *slots; /* 32 bits of the hash, then the second it asked in, plus one */
    uint64_t bucket_count;    /* a power of two */
    uint64_t seed[2];
    struct bk_alloc alloc;
};

/* Room for `entries_max` or a little more, 8 bytes each. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err asked_init(struct asked *a, uint32_t entries_max, const struct bk_rng *rng,
                                   const struct bk_alloc *alloc);
void asked_fini(struct asked *a);
void asked_note(struct asked *a, const struct bk_addr *who, struct bk_time now);
/* Has exactly this address and port asked in the last `within_us`? */
bool asked_lately(const struct asked *a, const struct bk_addr *who, int64_t within_us,
                  struct bk_time now);

#endif
