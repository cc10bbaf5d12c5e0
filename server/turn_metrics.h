/* SPDX-License-Identifier: MIT
 * What a worker's TURN has to tell: counters for /metrics, refusals for the log. */
#ifndef SERVER_TURN_METRICS_H
#define SERVER_TURN_METRICS_H

#include "base/text.h"
#include "server/metrics.h"
#include "server/turn.h"

/* Every second, in the worker's thread: copies the counters, and logs what was refused since, a
 * line for each, at most five a second of one rule. `t` NULL: nothing to tell. */
void turn_metrics_collect(struct server_turn *t, struct metrics *m);
/* The lines of /metrics. */
void turn_metrics_print(struct text *out, struct metrics *const *sets, size_t count);

#endif
