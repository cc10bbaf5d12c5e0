/* SPDX-License-Identifier: MIT */
#include "stun/asked.h"

#include "base/rng.h"
#include "base/table.h"

#include <string.h>

enum { WAYS = 8, KEY_LEN = 19 }; /* WAYS slots are one cache line */

enum bk_err asked_init(struct asked *a, uint32_t entries_max, const struct bk_rng *rng,
                       const struct bk_alloc *alloc) {
    uint64_t buckets = 1;
    while (buckets * WAYS < entries_max)
        buckets *= 2;
    a->alloc = *alloc;
    a->bucket_count = buckets;
    a->seed[0] = rng_u64(rng);
    a->seed[1] = rng_u64(rng);
    a->slots = alloc->get(alloc->ctx, (size_t)buckets * WAYS * sizeof *a->slots);
    return a->slots == NULL ? BK_ERR_NO_MEMORY : BK_OK;
}

void asked_fini(struct asked *a) {
    if (a->slots != NULL)
        a->alloc.put(a->alloc.ctx, a->slots);
    a->slots = NULL;
}

static uint64_t hash_of(const struct asked *a, const struct bk_addr *who) {
    uint8_t key[KEY_LEN];
    key[0] = who->ip.family;
    memcpy(key + 1, who->ip.bytes, sizeof who->ip.bytes);
    key[17] = (uint8_t)(who->port >> 8);
    key[18] = (uint8_t)who->port;
    return siphash24(a->seed, key, sizeof key);
}

static _Atomic(uint64_t) *bucket_of(const struct asked *a, uint64_t hash) {
    return a->slots + (hash & (a->bucket_count - 1)) * WAYS;
}

/* 0 is an empty slot, so the second counts from 1. 32 bits of them are 136 years. */
static uint32_t second_of(struct bk_time now) {
    return (uint32_t)(now.us / BK_US_PER_S) + 1;
}

void asked_note(struct asked *a, const struct bk_addr *who, struct bk_time now) {
    uint64_t hash = hash_of(a, who), tag = hash >> 32;
    _Atomic(uint64_t) *bucket = bucket_of(a, hash);
    size_t oldest = 0;
    uint32_t oldest_second = UINT32_MAX;
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t slot = atomic_load_explicit(&bucket[i], memory_order_relaxed);
        if (slot != 0 && slot >> 32 == tag) {
            oldest = i;
            break;
        }
        if ((uint32_t)slot < oldest_second) {
            oldest = i;
            oldest_second = (uint32_t)slot;
        }
    }
    atomic_store_explicit(&bucket[oldest], tag << 32 | second_of(now), memory_order_relaxed);
}

bool asked_lately(const struct asked *a, const struct bk_addr *who, int64_t within_us,
                  struct bk_time now) {
    uint64_t hash = hash_of(a, who);
    const _Atomic(uint64_t) *bucket = bucket_of(a, hash);
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t slot = atomic_load_explicit(&bucket[i], memory_order_relaxed);
        if (slot != 0 && slot >> 32 == hash >> 32)
            return (int64_t)second_of(now) - (uint32_t)slot <= within_us / BK_US_PER_S;
    }
    return false;
}
