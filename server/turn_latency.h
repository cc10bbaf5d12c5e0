/* SPDX-License-Identifier: MIT
 * How long what comes in is in a worker: from its waking up until what it wrote has gone to the
 * kernel. One in many is timed, so it costs nothing. What waits in the kernel before, while the
 * worker is busy or delays its waking up on purpose (net/plane.h), is not seen from here. */
#ifndef SERVER_TURN_LATENCY_H
#define SERVER_TURN_LATENCY_H

#include "base/text.h"
#include "net/loop.h"
#include "server/metrics.h"

struct turn_probe {
    struct net_deferred sent; /* runs when all was sent */
    struct metrics *metrics;
    struct bk_time since;
    uint32_t seen;
    enum turn_latency kind;
    bool timing;
};

void turn_probe_init(struct turn_probe *p, struct net_loop *loop, struct metrics *metrics,
                     enum turn_latency kind);
void turn_probe_fini(struct turn_probe *p);
void turn_probe_start(struct turn_probe *p, struct bk_time now);

/* Something is being handled that came when the worker woke up at `now`: one in `every`, a power
 * of two, is timed. */
static inline void turn_probe(struct turn_probe *p, uint32_t every, struct bk_time now) {
    if ((++p->seen & (every - 1)) == 1)
        turn_probe_start(p, now);
}

/* The lines of /metrics. */
void turn_latency_print(struct text *out, struct metrics *const *sets, size_t count);

#endif
