/* SPDX-License-Identifier: MIT */
#include "stun/throttle.h"

#include "base/rng.h"
#include "base/table.h"

#include <string.h>

enum { WAYS = 8, KEY_LEN = 17, TAG_BITS = 24, TRIES = 8 };

struct rate {
    uint64_t gap_us, ahead_max_us;
};

#define TIME_MASK ((UINT64_C(1) << (64 - TAG_BITS)) - 1)

enum bk_err throttle_init(struct throttle *t, uint32_t entries_max, uint32_t per_s, uint32_t burst,
                          const struct bk_rng *rng, const struct bk_alloc *alloc) {
    uint64_t buckets = 1;
    while (buckets * WAYS < entries_max)
        buckets *= 2;
    t->alloc = *alloc;
    t->bucket_count = buckets;
    throttle_set_rate(t, per_s, burst);
    t->bytes_v4 = 4;
    t->bytes_v6 = 8;
    t->seed[0] = rng_u64(rng);
    t->seed[1] = rng_u64(rng);
    t->slots = alloc->get(alloc->ctx, (size_t)buckets * WAYS * sizeof *t->slots);
    return t->slots == NULL ? BK_ERR_NO_MEMORY : BK_OK;
}

/* Two words, not one: whoever reads between them is generous or strict once. */
void throttle_set_rate(struct throttle *t, uint32_t per_s, uint32_t burst) {
    uint64_t gap = per_s == 0 ? 0 : UINT64_C(1000000) / per_s;
    uint64_t ahead = burst == 0 ? 0 : (burst - 1) * gap;
    atomic_store_explicit(&t->gap_us, gap, memory_order_relaxed);
    atomic_store_explicit(&t->ahead_max_us, ahead, memory_order_relaxed);
}

void throttle_fini(struct throttle *t) {
    if (t->slots != NULL)
        t->alloc.put(t->alloc.ctx, t->slots);
    t->slots = NULL;
}

void throttle_by_network(struct throttle *t) {
    t->bytes_v4 = 3;
    t->bytes_v6 = 7;
}

static uint64_t hash_of(const struct throttle *t, const struct bk_ip *who) {
    uint8_t key[KEY_LEN] = {who->family};
    memcpy(key + 1, who->bytes, who->family == BK_IPV4 ? t->bytes_v4 : t->bytes_v6);
    return siphash24(t->seed, key, sizeof key);
}

/* How far the slot's time is ahead of the clock; 0: not at all. No slot is further ahead than the
 * limit and one gap, so that anything else is long past. */
static uint64_t ahead_of(struct rate rate, uint64_t slot, uint64_t now_us) {
    uint64_t ahead = ((slot & TIME_MASK) - now_us) & TIME_MASK;
    return ahead <= rate.ahead_max_us + rate.gap_us ? ahead : 0;
}

/* The slot of that tag, or the one whose address has been quiet longest. */
static size_t slot_for(struct rate rate, const _Atomic(uint64_t) *bucket, uint64_t tag,
                       uint64_t now_us) {
    size_t quietest = 0;
    uint64_t longest = 0;
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t slot = atomic_load_explicit(&bucket[i], memory_order_relaxed);
        if (slot >> (64 - TAG_BITS) == tag)
            return i;
        uint64_t quiet =
            (now_us + rate.ahead_max_us + rate.gap_us - (slot & TIME_MASK)) & TIME_MASK;
        if (slot == 0 || quiet > longest) {
            quietest = i;
            longest = slot == 0 ? UINT64_MAX : quiet;
        }
    }
    return quietest;
}

static struct rate rate_of(const struct throttle *t) {
    const struct rate rate = {atomic_load_explicit(&t->gap_us, memory_order_relaxed),
                              atomic_load_explicit(&t->ahead_max_us, memory_order_relaxed)};
    return rate;
}

static bool swap(_Atomic(uint64_t) *slot, uint64_t old, uint64_t tag, uint64_t us) {
    return atomic_compare_exchange_weak_explicit(slot, &old,
                                                 tag << (64 - TAG_BITS) | (us & TIME_MASK),
                                                 memory_order_relaxed, memory_order_relaxed);
}

/* The slot's time runs ahead of the clock by one gap for each answer that was taken: when it is
 * `burst` gaps ahead, the credit is used up. */
bool throttle_take(struct throttle *t, const struct bk_ip *who, struct bk_time now) {
    const struct rate rate = rate_of(t);
    if (rate.gap_us == 0)
        return true;
    uint64_t hash = hash_of(t, who), tag = hash >> (64 - TAG_BITS);
    _Atomic(uint64_t) *bucket = t->slots + (hash & (t->bucket_count - 1)) * WAYS;
    uint64_t now_us = (uint64_t)now.us & TIME_MASK;
    for (int i = 0; i < TRIES; i++) {
        _Atomic(uint64_t) *slot = &bucket[slot_for(rate, bucket, tag, now_us)];
        uint64_t old = atomic_load_explicit(slot, memory_order_relaxed);
        bool known = old >> (64 - TAG_BITS) == tag && old != 0;
        uint64_t ahead = known ? ahead_of(rate, old, now_us) : 0;
        if (ahead > rate.ahead_max_us)
            return false;
        if (swap(slot, old, tag, now_us + ahead + rate.gap_us))
            return true;
    }
    return false; /* eight lost races in a row: that address is in no hurry for an answer */
}

void throttle_give_back(struct throttle *t, const struct bk_ip *who, struct bk_time now) {
    const struct rate rate = rate_of(t);
    uint64_t hash = hash_of(t, who), tag = hash >> (64 - TAG_BITS);
    _Atomic(uint64_t) *bucket = t->slots + (hash & (t->bucket_count - 1)) * WAYS;
    uint64_t now_us = (uint64_t)now.us & TIME_MASK;
    for (int i = 0; i < TRIES && rate.gap_us != 0; i++) {
        _Atomic(uint64_t) *slot = &bucket[slot_for(rate, bucket, tag, now_us)];
        uint64_t old = atomic_load_explicit(slot, memory_order_relaxed);
        bool known = old >> (64 - TAG_BITS) == tag && old != 0;
        uint64_t ahead = known ? ahead_of(rate, old, now_us) : 0;
        uint64_t less = ahead < rate.gap_us ? ahead : rate.gap_us;
        if (less == 0 || swap(slot, old, tag, now_us + ahead - less))
            return;
    }
}
