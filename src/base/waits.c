/* SPDX-License-Identifier: MIT */
#include "base/waits.h"

#include <string.h>

void waits_init(struct waits *w, const struct pool *pool, size_t offset) {
    memset(w, 0, sizeof *w);
    w->pool = pool;
    w->offset = offset;
}

static struct wait *wait_of(const struct waits *w, uint32_t i) {
    return (struct wait *)(void *)((uint8_t *)pool_at(w->pool, i) + w->offset);
}

static void leave(struct waits *w, struct wait *x) {
    uint32_t q = x->queue - 1u;
    uint32_t *before = x->prev == 0 ? &w->first[q] : &wait_of(w, x->prev - 1)->next;
    uint32_t *after = x->next == 0 ? &w->last[q] : &wait_of(w, x->next - 1)->prev;
    *before = x->next;
    *after = x->prev;
    if (w->first[q] == 0)
        w->busy &= ~(UINT64_C(1) << q);
    x->next = x->prev = 0;
    x->queue = 0;
}

/* The longest step that is not too long. */
static uint32_t queue_for(int64_t us) {
    uint32_t q = 0;
    while (q + 1 < WAITS_QUEUES && us >> (q + 1) > 0)
        q++;
    return q;
}

static void enter(struct waits *w, uint32_t i, struct bk_time now) {
    struct wait *x = wait_of(w, i);
    int64_t left = x->when.us - now.us;
    uint32_t q = queue_for(left);
    x->step = left < 1 ? now : bk_after(now, INT64_C(1) << q);
    /* What is due already would not fit the order of the shortest steps: it stands in front. */
    bool front = left < 1;
    x->prev = front ? 0 : w->last[q];
    x->next = front ? w->first[q] : 0;
    *(x->prev == 0 ? &w->first[q] : &wait_of(w, x->prev - 1)->next) = i + 1;
    *(x->next == 0 ? &w->last[q] : &wait_of(w, x->next - 1)->prev) = i + 1;
    x->queue = (uint8_t)(q + 1);
    w->busy |= UINT64_C(1) << q;
}

void waits_set(struct waits *w, uint32_t i, struct bk_time when, struct bk_time now) {
    struct wait *x = wait_of(w, i);
    bool stays = x->queue != 0 && x->step.us <= when.us && !bk_is_never(when);
    x->when = when;
    if (stays)
        return; /* its step ends in time to see */
    if (x->queue != 0)
        leave(w, x);
    if (!bk_is_never(when))
        enter(w, i, now);
}

struct bk_time waits_deadline(const struct waits *w) {
    struct bk_time at = BK_NEVER;
    for (uint64_t busy = w->busy; busy != 0; busy &= busy - 1) {
        uint32_t q = 0;
        while ((busy >> q & 1) == 0)
            q++;
        at = bk_earlier(at, wait_of(w, w->first[q] - 1)->step);
    }
    return at;
}

/* The first of a queue whose step has ended. */
static bool take(struct waits *w, uint32_t q, struct bk_time now, uint32_t *i) {
    while (w->first[q] != 0) {
        uint32_t at = w->first[q] - 1;
        struct wait *x = wait_of(w, at);
        if (!bk_due(x->step, now))
            return false;
        leave(w, x);
        if (bk_due(x->when, now)) {
            *i = at;
            return true;
        }
        enter(w, at, now);
    }
    return false;
}

bool waits_take_due(struct waits *w, struct bk_time now, uint32_t *i) {
    for (uint32_t q = 0; q < WAITS_QUEUES; q++)
        if ((w->busy >> q & 1) != 0 && take(w, q, now, i))
            return true;
    return false;
}
