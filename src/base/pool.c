/* SPDX-License-Identifier: MIT */
#include "base/pool.h"

#include "base/assert.h"

#include <string.h>

enum { CHUNK_BYTES = 120 * 1024, SHIFT_MAX = 12 };

enum bk_err pool_init(struct pool *p, size_t size, uint32_t max, const struct bk_alloc *alloc) {
    struct pool made = {.size = size, .max = max, .alloc = *alloc};
    bk_assert(size >= sizeof(uint32_t) && max >= 1);
    while (made.shift < SHIFT_MAX && (UINT32_C(1) << made.shift) < max &&
           (size << (made.shift + 1)) <= CHUNK_BYTES)
        made.shift++;
    made.chunk_count = ((max - 1) >> made.shift) + 1;
    made.chunks = alloc->get(alloc->ctx, made.chunk_count * sizeof *made.chunks);
    if (made.chunks == NULL)
        return BK_ERR_NO_MEMORY;
    *p = made;
    return BK_OK;
}

void pool_fini(struct pool *p) {
    for (uint32_t i = 0; p->chunks != NULL && i < p->chunk_count; i++)
        if (p->chunks[i].objects != NULL)
            p->alloc.put(p->alloc.ctx, p->chunks[i].objects);
    if (p->chunks != NULL)
        p->alloc.put(p->alloc.ctx, p->chunks);
    memset(p, 0, sizeof *p);
}

static bool fill(struct pool *p, struct pool_chunk *c) {
    if (c->objects != NULL)
        return true;
    c->objects = p->alloc.get(p->alloc.ctx, p->size << p->shift);
    c->first = c->fresh = 0;
    p->idle += c->objects != NULL;
    return c->objects != NULL;
}

uint32_t pool_take(struct pool *p) {
    if (p->count == p->max)
        return POOL_NONE;
    while (p->chunks[p->room].used == UINT32_C(1) << p->shift)
        p->room++;
    struct pool_chunk *c = &p->chunks[p->room];
    if (!fill(p, c))
        return POOL_NONE;
    uint32_t at = c->first == 0 ? c->fresh++ : c->first - 1;
    uint8_t *object = c->objects + at * p->size;
    if (c->first != 0)
        memcpy(&c->first, object, sizeof c->first);
    memset(object, 0, sizeof(uint32_t));
    p->idle -= c->used == 0;
    c->used++;
    p->count++;
    return p->room << p->shift | at;
}

void pool_give(struct pool *p, uint32_t i) {
    uint32_t at = i & ((1u << p->shift) - 1);
    struct pool_chunk *c = &p->chunks[i >> p->shift];
    bk_assert(c->used > 0 && at < c->fresh);
    uint8_t *object = c->objects + at * p->size;
    memset(object, 0, p->size);
    memcpy(object, &c->first, sizeof c->first);
    c->first = at + 1;
    c->used--;
    p->count--;
    if (i >> p->shift < p->room)
        p->room = i >> p->shift;
    if (c->used > 0)
        return;
    if (p->idle > 0) {
        p->alloc.put(p->alloc.ctx, c->objects);
        c->objects = NULL;
    } else {
        p->idle++;
    }
}
