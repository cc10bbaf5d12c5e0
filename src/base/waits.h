/* SPDX-License-Identifier: MIT
 * Deadlines of the objects of a pool (base/pool.h), without memory of their own and without a
 * logarithm: who has long to wait waits in steps. A step lasts a power of two of microseconds, all
 * who are in a step of the same length stand in one queue, and since all of them stay equally long,
 * the first to come is the first to go. At the end of a step the rest of the time is the next step.
 *
 * So waits_deadline() may be earlier than any deadline; waits_take_due() then has nothing to give,
 * and the wait goes on. No deadline is ever missed or early. */
#ifndef BASE_WAITS_H
#define BASE_WAITS_H

#include "base/pool.h"

#include <bodkin/time.h>

enum { WAITS_QUEUES = 48 };

struct wait {
    struct bk_time when, step; /* the deadline, and the end of the step it is in */
    uint32_t next, prev;       /* index + 1; 0: none */
    uint8_t queue;             /* + 1; 0: not waiting */
};

struct waits {
    const struct pool *pool;
    size_t offset;                                    /* of the struct wait in an object */
    uint32_t first[WAITS_QUEUES], last[WAITS_QUEUES]; /* index + 1; 0: none */
    uint64_t busy;                                    /* a bit for each queue that is not empty */
};

void waits_init(struct waits *w, const struct pool *pool, size_t offset);
/* Sets or moves the deadline of object `i`; BK_NEVER takes it out. Call it before giving the object
 * back. `now` never goes back from one call here to the next. */
void waits_set(struct waits *w, uint32_t i, struct bk_time when, struct bk_time now);
/* BK_NEVER: nobody waits. */
struct bk_time waits_deadline(const struct waits *w);
/* Takes out one whose deadline has come. false: there is none. */
bool waits_take_due(struct waits *w, struct bk_time now, uint32_t *i);

#endif
