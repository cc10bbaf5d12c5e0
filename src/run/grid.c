/* SPDX-License-Identifier: MIT
 * A slot is named by its tick, the time divided by GRID_US, modulo the number of slots; items are
 * never farther ahead than one turn of the wheel, so each slot holds those of one tick only. */
#include "run/grid.h"

static size_t slot_of(int64_t tick) {
    return (size_t)(tick % GRID_SLOTS);
}

void grid_init(struct grid *g, struct bk_time now) {
    *g = (struct grid){.tick = now.us / GRID_US};
    for (size_t i = 0; i < GRID_SLOTS; i++)
        g->slots[i].next = g->slots[i].prev = &g->slots[i];
}

void grid_remove(struct grid *g, struct grid_item *item) {
    if (item->next == NULL)
        return;
    if (item->next == item->prev) { /* the last one: both are the head */
        size_t i = (size_t)(item->next - g->slots);
        g->filled[i / 64] &= ~(UINT64_C(1) << (i % 64));
    }
    item->prev->next = item->next;
    item->next->prev = item->prev;
    item->next = item->prev = NULL;
}

/* The first tick from g->tick on whose slot is filled; INT64_MAX: none. */
static int64_t first_tick(const struct grid *g) {
    for (int64_t ahead = 0; ahead < GRID_SLOTS;) {
        size_t i = slot_of(g->tick + ahead);
        uint64_t rest = g->filled[i / 64] >> (i % 64);
        if ((rest & 1) != 0)
            return g->tick + ahead;
        /* An empty word is left at once, another one bit by bit: there are few of those. */
        ahead += rest == 0 ? (int64_t)(64 - i % 64) : 1;
    }
    return INT64_MAX;
}

/* Slots that are past and empty are done with. */
static void advance(struct grid *g, struct bk_time now) {
    int64_t tick = first_tick(g), last = now.us / GRID_US;
    if (last > g->tick)
        g->tick = tick > last ? last : tick;
}

bool grid_add(struct grid *g, struct grid_item *item, struct bk_time when, struct bk_time now) {
    if (bk_is_never(when))
        return false;
    advance(g, now);
    int64_t tick = when.us / GRID_US + (when.us % GRID_US != 0);
    if (tick < g->tick || tick - g->tick >= GRID_SLOTS)
        return false;
    size_t i = slot_of(tick);
    struct grid_item *head = &g->slots[i];
    item->next = head;
    item->prev = head->prev;
    head->prev->next = item;
    head->prev = item;
    g->filled[i / 64] |= UINT64_C(1) << (i % 64);
    return true;
}

struct bk_time grid_deadline(const struct grid *g) {
    int64_t tick = first_tick(g);
    if (tick == INT64_MAX)
        return BK_NEVER;
    return (struct bk_time){tick * GRID_US};
}

struct grid_item *grid_take(struct grid *g, struct bk_time now) {
    int64_t tick = first_tick(g);
    advance(g, now);
    if (tick > now.us / GRID_US)
        return NULL;
    struct grid_item *item = g->slots[slot_of(tick)].next;
    grid_remove(g, item);
    return item;
}
