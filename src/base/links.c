/* SPDX-License-Identifier: MIT
 * Linear hashing (Litwin, 1980): with n buckets, 2^k <= n < 2^(k+1), a hash belongs to bucket
 * h mod 2^(k+1), or where there is no such bucket yet to h mod 2^k. The bucket that comes or goes
 * is always the last one, and only one other has to be looked through. */
#include "base/links.h"

#include "base/assert.h"

#include <string.h>

enum { SEGMENT_SHIFT_MAX = 14 };

enum bk_err links_init(struct links *x, const struct pool *pool, size_t offset,
                       const struct bk_alloc *alloc) {
    struct links made = {.pool = pool, .offset = offset, .alloc = *alloc, .buckets = 1};
    while (made.shift < SEGMENT_SHIFT_MAX && UINT32_C(1) << made.shift < pool->max)
        made.shift++;
    made.segment_count = ((pool->max - 1) >> made.shift) + 1;
    made.segments = alloc->get(alloc->ctx, made.segment_count * sizeof *made.segments);
    if (made.segments == NULL)
        return BK_ERR_NO_MEMORY;
    made.segments[0] = alloc->get(alloc->ctx, sizeof(uint32_t) << made.shift);
    if (made.segments[0] == NULL) {
        alloc->put(alloc->ctx, made.segments);
        return BK_ERR_NO_MEMORY;
    }
    *x = made;
    return BK_OK;
}

void links_fini(struct links *x) {
    for (uint32_t i = 0; x->segments != NULL && i < x->segment_count; i++)
        if (x->segments[i] != NULL)
            x->alloc.put(x->alloc.ctx, x->segments[i]);
    if (x->segments != NULL)
        x->alloc.put(x->alloc.ctx, x->segments);
    memset(x, 0, sizeof *x);
}

static struct link *link_of(const struct links *x, uint32_t i) {
    return (struct link *)(void *)((uint8_t *)pool_at(x->pool, i) + x->offset);
}

static uint32_t *bucket_at(const struct links *x, uint32_t b) {
    return &x->segments[b >> x->shift][b & ((1u << x->shift) - 1)];
}

/* 2^(k+1) - 1 for 2^k <= n < 2^(k+1) */
static uint32_t mask_for(uint32_t n) {
    uint32_t mask = n;
    for (uint32_t shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    return mask;
}

static uint32_t *bucket_for(const struct links *x, uint32_t hash) {
    uint32_t mask = mask_for(x->buckets), b = hash & mask;
    return bucket_at(x, b < x->buckets ? b : hash & mask >> 1);
}

/* Moves what belongs to the new last bucket there, both chains in their order. */
static void split(struct links *x) {
    uint32_t last = x->buckets, **segment = &x->segments[last >> x->shift];
    if (*segment == NULL)
        *segment = x->alloc.get(x->alloc.ctx, sizeof(uint32_t) << x->shift);
    if (*segment == NULL)
        return; /* longer chains, until there is memory */
    uint32_t mask = mask_for(last), *from = bucket_at(x, last & mask >> 1);
    uint32_t *to = bucket_at(x, last), at = *from;
    x->buckets++;
    while (at != 0) {
        struct link *l = link_of(x, at - 1);
        uint32_t **tail = (l->hash & mask) == last ? &to : &from;
        **tail = at;
        *tail = &l->next;
        at = l->next;
    }
    *from = *to = 0;
}

/* Chains the last bucket to the one it once came from. */
static void merge(struct links *x) {
    uint32_t last = --x->buckets, *from = bucket_at(x, last);
    uint32_t *to = bucket_at(x, last & mask_for(last) >> 1);
    while (*to != 0)
        to = &link_of(x, *to - 1)->next;
    *to = *from;
    *from = 0;
    uint32_t **segment = &x->segments[last >> x->shift];
    if ((last & ((1u << x->shift) - 1)) != 0)
        return;
    x->alloc.put(x->alloc.ctx, *segment);
    *segment = NULL;
}

void links_add(struct links *x, uint32_t i, uint32_t hash) {
    struct link *l = link_of(x, i);
    uint32_t *bucket = bucket_for(x, hash);
    l->hash = hash;
    l->next = *bucket;
    *bucket = i + 1;
    x->count++;
    if (x->count > x->buckets && x->buckets < x->segment_count << x->shift)
        split(x);
}

void links_remove(struct links *x, uint32_t i) {
    struct link *l = link_of(x, i);
    uint32_t *at = bucket_for(x, l->hash);
    while (*at != i + 1) {
        bk_assert(*at != 0);
        at = &link_of(x, *at - 1)->next;
    }
    *at = l->next;
    l->next = 0;
    x->count--;
    /* Two for one: the buckets that are too many are gone when the last object is. */
    for (int n = 0; n < 2 && x->buckets > 1 && x->count < x->buckets / 2; n++)
        merge(x);
}

static uint32_t from_here(const struct links *x, uint32_t at, uint32_t hash) {
    while (at != 0 && link_of(x, at - 1)->hash != hash)
        at = link_of(x, at - 1)->next;
    return at == 0 ? POOL_NONE : at - 1;
}

uint32_t links_first(const struct links *x, uint32_t hash) {
    return from_here(x, *bucket_for(x, hash), hash);
}

uint32_t links_next(const struct links *x, uint32_t i) {
    const struct link *l = link_of(x, i);
    return from_here(x, l->next, l->hash);
}
