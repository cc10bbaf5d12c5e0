/* SPDX-License-Identifier: MIT
 * Deadlines that may wait for each other: a wheel of slots, each GRID_US long. Setting and removing
 * costs the same for one as for ten thousand, and what falls into one slot is done together: then
 * the datagrams of many idle agents share system calls, and so do the answers. */
#ifndef RUN_GRID_H
#define RUN_GRID_H

#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GRID_US = 50000,
    GRID_SLOTS = 512 /* 25 s: consent checks are nearer than that, RFC 7675 section 5.1 */
};

struct grid_item {
    struct grid_item *next, *prev; /* in its slot, circular; NULL: in none */
};

struct grid {
    struct grid_item slots[GRID_SLOTS]; /* heads */
    uint64_t filled[GRID_SLOTS / 64];   /* which are not empty */
    int64_t tick;                       /* slots before this one are done with */
};

void grid_init(struct grid *g, struct bk_time now);
/* Puts `item`, which is in no slot, where it is due at `when` or up to GRID_US later. false: that
 * is out of reach. */
bool grid_add(struct grid *g, struct grid_item *item, struct bk_time when, struct bk_time now);
/* Nothing happens when it is in none. */
void grid_remove(struct grid *g, struct grid_item *item);
/* When the earliest is due; BK_NEVER: none is there. */
struct bk_time grid_deadline(const struct grid *g);
/* Takes out one that is due; NULL: none is. */
struct grid_item *grid_take(struct grid *g, struct bk_time now);

#endif
