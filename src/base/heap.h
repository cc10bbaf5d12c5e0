/* SPDX-License-Identifier: MIT
 * A binary heap of deadlines for owners with more than about a thousand timers. Each timer is named
 * by an id below `capacity`; setting, moving and removing one is O(log n), reading the earliest is
 * O(1). Equal deadlines leave in the order they were set, so runs are repeatable. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    struct bk_time when;
    uint64_t order;
    uint32_t id;
};

struct heap {
    struct heap_node *nodes;
    uint32_t *place; /* id -> position + 1 in nodes, 0: not in */
    size_t count, capacity;
    uint64_t next_order;
    struct bk_alloc alloc;
};

BK_MUST_USE enum bk_err heap_init(struct heap *h, size_t capacity, const struct bk_alloc *alloc);
void heap_fini(struct heap *h);
/* Sets or moves timer `id` < capacity; BK_NEVER removes it. */
void heap_set(struct heap *h, uint32_t id, struct bk_time when);
/* BK_NEVER: empty. */
struct bk_time heap_earliest(const struct heap *h);
/* Takes out the earliest timer that is due at `now`. false: none is. */
bool heap_take_due(struct heap *h, struct bk_time now, uint32_t *id);

#endif
