/* SPDX-License-Identifier: MIT
 * Open addressing with linear probing at most three quarters full; removal shifts the followers
 * back, so there are no tombstones. */
#include "run/multimap.h"

#include <string.h>

enum { SLOTS_MIN = 16 };

void multimap_init(struct multimap *m, const struct bk_alloc *alloc) {
    *m = (struct multimap){.alloc = *alloc};
}

void multimap_fini(struct multimap *m) {
    m->alloc.put(m->alloc.ctx, m->slots);
    m->slots = NULL;
    m->slot_count = m->count = 0;
}

static void insert(struct multimap *m, uint64_t hash, uint32_t value) {
    size_t mask = m->slot_count - 1, i = (size_t)hash & mask;
    while (m->slots[i].used)
        i = (i + 1) & mask;
    m->slots[i] = (struct multimap_slot){hash, value, true};
}

static enum bk_err grow(struct multimap *m) {
    struct multimap bigger = *m;
    bigger.slot_count = m->slot_count == 0 ? SLOTS_MIN : m->slot_count * 2;
    bigger.slots = m->alloc.get(m->alloc.ctx, bigger.slot_count * sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return BK_ERR_NO_MEMORY;
    for (size_t i = 0; i < m->slot_count; i++)
        if (m->slots[i].used)
            insert(&bigger, m->slots[i].hash, m->slots[i].value);
    m->alloc.put(m->alloc.ctx, m->slots);
    *m = bigger;
    return BK_OK;
}

enum bk_err multimap_add(struct multimap *m, uint64_t hash, uint32_t value) {
    if ((m->count + 1) * 4 > m->slot_count * 3) {
        enum bk_err err = grow(m);
        if (err != BK_OK)
            return err;
    }
    insert(m, hash, value);
    m->count++;
    return BK_OK;
}

bool multimap_next(const struct multimap *m, uint64_t hash, size_t *at, uint32_t *value) {
    size_t mask = m->slot_count - 1;
    if (m->count == 0)
        return false;
    for (size_t i = ((size_t)hash + *at) & mask; m->slots[i].used; i = (i + 1) & mask) {
        ++*at;
        if (m->slots[i].hash == hash) {
            *value = m->slots[i].value;
            return true;
        }
    }
    return false;
}

bool multimap_has(const struct multimap *m, uint64_t hash, uint32_t value) {
    size_t at = 0;
    uint32_t found;
    while (multimap_next(m, hash, &at, &found))
        if (found == value)
            return true;
    return false;
}

/* Closes the hole at `hole`: followers that would not be found any more move into it. */
static void close_hole(struct multimap *m, size_t hole) {
    size_t mask = m->slot_count - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].used; i = (i + 1) & mask) {
        size_t home = (size_t)m->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* its home lies behind the hole: it must stay */
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole].used = false;
    m->count--;
}

bool multimap_remove(struct multimap *m, uint64_t hash, uint32_t value) {
    size_t mask = m->slot_count - 1;
    if (m->count == 0)
        return false;
    for (size_t i = (size_t)hash & mask; m->slots[i].used; i = (i + 1) & mask)
        if (m->slots[i].hash == hash && m->slots[i].value == value) {
            close_hole(m, i);
            return true;
        }
    return false;
}
