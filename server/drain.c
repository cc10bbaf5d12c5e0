/* SPDX-License-Identifier: MIT
 * Emptying a server: no new allocations, those that are here stay until their clients leave, or,
 * for SIGTERM, until the grace is over. */
#include "server/server_int.h"

#define LOOK_US BK_US_PER_S
#define SOON_US (BK_US_PER_S / 20)

enum { QUIET_LOOKS = 10 };

/* Has every worker begun to refuse? Before that its count may be behind. */
static bool all_refuse(const struct server *s) {
    for (size_t i = 0; i < s->fleet.count; i++)
        if (!atomic_load(&s->workers[i]->drains))
            return false;
    return true;
}

static void say(struct drain *d, const char *event, uint64_t left) {
    struct log_line l;
    log_begin(&l, LOG_INFO, LOG_ALWAYS, event);
    log_number(&l, "left", left);
    log_end(&l);
    d->said = left;
    d->looks = 0;
}

static void on_look(void *ctx, struct bk_time now) {
    struct server *s = ctx;
    struct drain *d = &s->drain;
    uint64_t left = metrics_sum(s->metrics, s->fleet.count, METRIC_TURN_ALLOCATIONS);
    net_timer_set(&d->look, bk_after(now, LOOK_US));
    if (!all_refuse(s))
        return;
    d->looks++;
    if (left > 0 && d->ends && bk_due(d->until, now)) {
        say(d, "grace_over", left);
        server_end(s, "SIGTERM");
        return;
    }
    if (left > 0 && (d->said == 0 || (left != d->said && d->looks >= QUIET_LOOKS)))
        say(d, "draining", left);
    if (left > 0)
        return;
    say(d, "drained", 0);
    net_timer_set(&d->look, BK_NEVER);
    if (d->ends || s->options->drain_exit)
        server_end(s, "drained");
}

void server_drain(struct server *s) {
    struct drain *d = &s->drain;
    if (d->look.loop != NULL)
        return;
    log_event(LOG_INFO, "drain", "new allocations", "refused");
    net_timer_init(&d->look, s->loop, on_look, s);
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_drain(s->workers[i]);
    net_timer_set(&d->look, bk_after(net_now(s->loop), LOOK_US));
}

void server_drain_and_end(struct server *s) {
    struct drain *d = &s->drain;
    server_drain(s);
    d->ends = true;
    d->until = bk_after(net_now(s->loop), s->options->stop_grace_s * BK_US_PER_S);
    net_timer_set(&d->look, bk_after(net_now(s->loop), SOON_US)); /* it may be empty already */
}

void server_drain_end(struct server *s) {
    if (s->drain.look.loop != NULL)
        net_timer_set(&s->drain.look, BK_NEVER);
}
