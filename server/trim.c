/* SPDX-License-Identifier: MIT
 * Memory of clients that have left. What is large goes back to the system by itself
 * (net_alloc_return_large()); what is small, a TLS session's most of all, lies among what is still
 * used, and the C library keeps the pages. So when many have left, and few are leaving, it is
 * asked for them. That takes a lock of the heap for some milliseconds: hence not while they go, and
 * once a minute at most. */
#include "server/server_int.h"

#include "net/alloc.h"

#define LOOK_US (5 * BK_US_PER_S)
#define REST_US (60 * BK_US_PER_S)

enum {
    GONE_MIN = 128, /* since the last time */
    QUIET_MAX = 16  /* since the last look */
};

static uint64_t sum(const struct server *s, unsigned which) {
    return metrics_sum(s->metrics, s->fleet.count, which);
}

/* Connections and allocations that have ended, since the start. */
static uint64_t gone(const struct server *s) {
    return sum(s, METRIC_ACCEPTED) - sum(s, METRIC_CONNECTIONS) +
           sum(s, METRIC_TURN + TURN_COUNT_ALLOCATED) - sum(s, METRIC_TURN_ALLOCATIONS);
}

static void trim(uint64_t left) {
    struct log_line l;
    const struct bk_time begun = net_clock();
    net_alloc_return_all();
    log_begin(&l, LOG_DEBUG, LOG_ALWAYS, "memory_returned");
    log_number(&l, "left", left);
    log_number(&l, "us", (uint64_t)(net_clock().us - begun.us));
    log_end(&l);
}

static void on_look(void *ctx, struct bk_time now) {
    struct server *s = ctx;
    struct server_trim *t = &s->trim;
    uint64_t all = gone(s), lately = all - t->seen;
    net_timer_set(&t->look, bk_after(now, LOOK_US));
    t->seen = all;
    if (lately > QUIET_MAX || all - t->returned < GONE_MIN || bk_before(now, t->rest))
        return;
    trim(all - t->returned);
    t->returned = all;
    t->rest = bk_after(now, REST_US);
}

void server_trim_start(struct server *s) {
    net_timer_init(&s->trim.look, s->loop, on_look, s);
    net_timer_set(&s->trim.look, bk_after(net_now(s->loop), LOOK_US));
}

void server_trim_end(struct server *s) {
    if (s->trim.look.loop != NULL)
        net_timer_set(&s->trim.look, BK_NEVER);
}
