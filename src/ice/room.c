/* SPDX-License-Identifier: MIT */
#include "ice/room.h"

#include "base/assert.h"
#include "base/wipe.h"

#include <string.h>

void *ice_room_get(struct ice_room *room, size_t count, size_t size) {
    if (count == 0)
        return NULL;
    void *memory = room->alloc.get(room->alloc.ctx, count * size);
    room->starved = memory == NULL;
    room->refusals += memory == NULL;
    room->held += memory == NULL ? 0 : count * size;
    return memory;
}

void ice_room_put(struct ice_room *room, void *memory, size_t count, size_t size) {
    if (memory == NULL)
        return;
    wipe(memory, count * size);
    room->alloc.put(room->alloc.ctx, memory);
    room->held -= count * size;
}

bool ice_room_move(struct ice_room *room, struct ice_table *table, size_t cap, size_t used) {
    bk_assert(used <= cap && used <= table->cap);
    if (cap == table->cap)
        return true;
    void *fresh = ice_room_get(room, cap, table->size);
    if (fresh == NULL && cap != 0)
        return false;
    if (used != 0)
        memcpy(fresh, table->memory, used * table->size);
    ice_room_put(room, table->memory, table->cap, table->size);
    table->memory = fresh;
    table->cap = cap;
    return true;
}
