/* SPDX-License-Identifier: MIT
 * A hash index over the objects of a pool (base/pool.h), by linear hashing: it grows and shrinks
 * one bucket at a time as objects come and go, so that no single call is slow, and memory goes
 * back. Each object carries a `struct link` for each index it is in; keys are compared by the
 * caller:
 *
 *     for (uint32_t i = links_first(x, hash); i != POOL_NONE; i = links_next(x, i))
 *         if (it has the key) ...
 *
 * The hash is the caller's, keyed (siphash24), so nobody on the network can choose keys that
 * collide. */
#ifndef BASE_LINKS_H
#define BASE_LINKS_H

#include "base/pool.h"

struct link {
    uint32_t next, hash; /* next: index + 1; 0: the last */
};

struct links {
    const struct pool *pool;
    size_t offset;       /* of the struct link in an object */
    uint32_t **segments; /* of buckets, each 1 << shift; a bucket is an index + 1, or 0 */
    uint32_t shift, segment_count;
    uint32_t buckets, count; /* now */
    struct bk_alloc alloc;
};

BK_MUST_USE enum bk_err links_init(struct links *x, const struct pool *pool, size_t offset,
                                   const struct bk_alloc *alloc);
void links_fini(struct links *x);
void links_add(struct links *x, uint32_t i, uint32_t hash);
void links_remove(struct links *x, uint32_t i);
/* The first object of this hash. POOL_NONE: there is none. */
uint32_t links_first(const struct links *x, uint32_t hash);
/* The next one of the same hash. */
uint32_t links_next(const struct links *x, uint32_t i);

#endif
