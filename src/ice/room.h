/* SPDX-License-Identifier: MIT
 * The memory of one checker: what it holds, and tables that move to where there is more or less
 * room. Everything that is given back is wiped, since secrets and addresses pass through here. */
#ifndef ICE_ROOM_H
#define ICE_ROOM_H

#include <bodkin/env.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ice_room {
    struct bk_alloc alloc;
    size_t held;  /* bytes */
    bool starved; /* the allocator had nothing the last time it was asked */
    uint64_t refusals;
};

/* A table: `cap` elements of `size` bytes. Its owner keeps a typed pointer beside it. */
struct ice_table {
    void *memory; /* NULL if cap is 0 */
    size_t size;
    size_t cap;
};

/* `count` zeroed elements; NULL for none, or when there is no memory. */
void *ice_room_get(struct ice_room *room, size_t count, size_t size);
void ice_room_put(struct ice_room *room, void *memory, size_t count, size_t size);
/* Moves the first `used` elements to a table of `cap`. false: no memory, nothing has changed. */
bool ice_room_move(struct ice_room *room, struct ice_table *table, size_t cap, size_t used);

#endif
