/* SPDX-License-Identifier: MIT
 * Objects of one size, named by index, for tables that may grow large and should cost nothing
 * while they are small: chunks of them are taken from the owner's allocator when they are needed
 * and given back when all objects in one are free again. One empty chunk is kept, so that an object
 * that comes and goes costs no system call. Objects never move; taking and giving is O(1).
 *
 * The lowest chunk with room is filled first, so that what is left after a rush gathers there. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_NONE UINT32_MAX

struct pool_chunk {
    uint8_t *objects;            /* NULL: not there */
    uint32_t used, fresh, first; /* never used ones begin at `fresh`; free ones at `first` - 1 */
};

struct pool {
    struct pool_chunk *chunks;
    size_t size;
    uint32_t shift; /* objects of a chunk: 1 << shift */
    uint32_t chunk_count, max, count;
    uint32_t room; /* chunks below this one are full */
    uint32_t idle; /* chunks that are there and empty */
    struct bk_alloc alloc;
};

/* For up to `max` objects (1 or more) of `size` bytes (4 or more). BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err pool_init(struct pool *p, size_t size, uint32_t max,
                                  const struct bk_alloc *alloc);
void pool_fini(struct pool *p);
/* A zeroed object. POOL_NONE: `max` are in use, or there is no memory. */
uint32_t pool_take(struct pool *p);
void pool_give(struct pool *p, uint32_t i);

/* `i` is in use. */
static inline void *pool_at(const struct pool *p, uint32_t i) {
    return p->chunks[i >> p->shift].objects + (i & ((1u << p->shift) - 1)) * p->size;
}

#endif
