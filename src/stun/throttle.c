/* SPDX-License-Identifier: MIT */
#include "stun/throttle.h"

#include "base/rng.h"
#include "base/table.h"

#include <string.h>

enum { WAYS = 8, KEY_LEN = 17, TAG_BITS = 24, TRIES = 8 };

#define TIME_MASK ((UINT64_C(1) << (64 - TAG_BITS)) - 1)

enum bk_err throttle_init(struct throttle *t, uint32_t entries_max, uint32_t per_s, uint32_t burst,
                          const struct bk_rng *rng, const struct bk_alloc *alloc) {
    uint64_t buckets = 1;
    while (buckets * WAYS < entries_max)
        buckets *= 2;
    t->alloc = *alloc;
    t->bucket_count = buckets;
    t->gap_ms = 1000 / per_s;
    t->burst = burst;
    t->seed[0] = rng_u64(rng);
    t->seed[1] = rng_u64(rng);
    t->slots = alloc->get(alloc->ctx, (size_t)buckets * WAYS * sizeof *t->slots);
    return t->slots == NULL ? BK_ERR_NO_MEMORY : BK_OK;
}

void throttle_fini(struct throttle *t) {
    if (t->slots != NULL)
        t->alloc.put(t->alloc.ctx, t->slots);
    t->slots = NULL;
}

static uint64_t hash_of(const struct throttle *t, const struct bk_ip *who) {
    uint8_t key[KEY_LEN] = {who->family};
    memcpy(key + 1, who->bytes, who->family == BK_IPV4 ? 4 : 8);
    return siphash24(t->seed, key, sizeof key);
}

/* The slot of that tag, or the one whose address has been quiet longest. */
static size_t slot_for(const _Atomic(uint64_t) *bucket, uint64_t tag) {
    size_t quietest = 0;
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t slot = atomic_load_explicit(&bucket[i], memory_order_relaxed);
        if (slot >> (64 - TAG_BITS) == tag)
            return i;
        if ((slot & TIME_MASK) < least) {
            quietest = i;
            least = slot & TIME_MASK;
        }
    }
    return quietest;
}

/* The slot's time runs ahead of the clock by one gap for each answer that was taken: when it is
 * `burst` gaps ahead, the credit is used up. */
bool throttle_take(struct throttle *t, const struct bk_ip *who, struct bk_time now) {
    uint64_t hash = hash_of(t, who), tag = hash >> (64 - TAG_BITS);
    _Atomic(uint64_t) *bucket = t->slots + (hash & (t->bucket_count - 1)) * WAYS;
    uint64_t now_ms = (uint64_t)(now.us / BK_US_PER_MS) & TIME_MASK;
    uint64_t ahead_max = (uint64_t)(t->burst - 1) * t->gap_ms;
    for (int i = 0; i < TRIES; i++) {
        _Atomic(uint64_t) *slot = &bucket[slot_for(bucket, tag)];
        uint64_t old = atomic_load_explicit(slot, memory_order_relaxed);
        bool known = old >> (64 - TAG_BITS) == tag;
        uint64_t busy_until = known && (old & TIME_MASK) > now_ms ? old & TIME_MASK : now_ms;
        if (busy_until - now_ms > ahead_max)
            return false;
        uint64_t next = tag << (64 - TAG_BITS) | ((busy_until + t->gap_ms) & TIME_MASK);
        if (atomic_compare_exchange_weak_explicit(slot, &old, next, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
    return false; /* eight lost races in a row: that address is in no hurry for an answer */
}
