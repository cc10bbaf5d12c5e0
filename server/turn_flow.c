/* SPDX-License-Identifier: MIT
 * Flows between the service and a fast path. What the fast path carried is read off its counters: a
 * few flows at a time, each of them every few seconds, and a last time when the flow ends. */
#include "server/turn_int.h"

#include "fastpath/fastpath.h"
#include "net/alloc.h"
#include "server/worker.h"

enum {
    TICK_US = 50000,
    ROUND_TICKS = 40 /* all flows are read once in so many */
};

/* What was read so far of a flow; by its id. */
struct turn_flow_seen {
    uint64_t packets[2], bytes[2];
    uint32_t alloc, place; /* place: in `live`, plus 1; 0: not carried */
};

static uint64_t name_of(const struct server_turn *t, uint32_t number) {
    return ((uint64_t)t->worker->index + 1) << 32 | number;
}

static void report(struct server_turn *t, uint32_t id, const struct fastpath_count *now_seen,
                   struct bk_time now) {
    struct turn_flow_seen *f = &t->flows.seen[id];
    const uint64_t packets[2] = {now_seen->packets_to_peer, now_seen->packets_to_client};
    const uint64_t bytes[2] = {now_seen->bytes_to_peer, now_seen->bytes_to_client};
    for (size_t way = 0; way < 2; way++) {
        const struct turn_sent sent = {.alloc = f->alloc,
                                       .chan = id,
                                       .to_client = way == 1,
                                       .packets = packets[way] - f->packets[way],
                                       .bytes = bytes[way] - f->bytes[way]};
        if (sent.packets > 0)
            turn_service_sent(t->service, &sent, now);
        f->packets[way] = packets[way];
        f->bytes[way] = bytes[way];
    }
}

void turn_flow_set(struct server_turn *t, const struct turn_flow *flow) {
    struct turn_flows *all = &t->flows;
    const struct fastpath_flow f = {.id = name_of(t, flow->id),
                                    .alloc = name_of(t, flow->alloc),
                                    .client = flow->client,
                                    .server = flow->server,
                                    .relay = flow->relay,
                                    .peer = flow->peer,
                                    .channel = flow->channel,
                                    .expires = flow->expires,
                                    .bytes_per_s = flow->bytes_per_s};
    if (all->fastpath == NULL || flow->id >= all->max)
        return;
    struct turn_flow_seen *seen = &all->seen[flow->id];
    if (fastpath_add(all->fastpath, &f) != BK_OK || seen->place != 0)
        return;
    *seen = (struct turn_flow_seen){.alloc = flow->alloc, .place = all->count + 1};
    all->live[all->count++] = flow->id;
}

void turn_flow_stop(struct server_turn *t, uint32_t id, struct bk_time now) {
    struct turn_flows *all = &t->flows;
    struct fastpath_count last = {0};
    if (all->fastpath == NULL || id >= all->max || all->seen[id].place == 0)
        return;
    if (fastpath_remove(all->fastpath, name_of(t, id), &last) == BK_OK)
        report(t, id, &last, now);
    uint32_t place = all->seen[id].place - 1, moved = all->live[--all->count];
    all->live[place] = moved;
    all->seen[moved].place = place + 1;
    all->seen[id].place = 0;
}

void turn_flows_off(struct server_turn *t, struct bk_time now) {
    struct turn_flows *all = &t->flows;
    while (all->fastpath != NULL && all->count > 0)
        turn_flow_stop(t, all->live[0], now);
    net_timer_set(&all->tick, BK_NEVER);
    all->fastpath = NULL;
}

static void on_tick(void *ctx, struct bk_time now) {
    struct server_turn *t = ctx;
    struct turn_flows *all = &t->flows;
    uint32_t some = (all->count + ROUND_TICKS - 1) / ROUND_TICKS;
    for (uint32_t i = 0; i < some; i++) {
        struct fastpath_count seen;
        uint32_t id = all->live[all->next++ % all->count];
        if (fastpath_count(all->fastpath, name_of(t, id), &seen) == BK_OK)
            report(t, id, &seen, now);
    }
    if (some > 0)
        turn_serve(t, now); /* flows of who is over its bandwidth end */
    net_timer_set(&all->tick, bk_after(now, TICK_US));
}

enum bk_err turn_flows_init(struct server_turn *t, uint32_t max) {
    const struct bk_alloc *alloc = net_alloc();
    struct turn_flows *all = &t->flows;
    net_timer_init(&all->tick, t->worker->loop, on_tick, t);
    all->fastpath = t->worker->fleet->fastpath;
    if (all->fastpath == NULL)
        return BK_OK;
    all->max = max;
    all->seen = alloc->get(alloc->ctx, max * sizeof *all->seen);
    all->live = alloc->get(alloc->ctx, max * sizeof *all->live);
    if (all->seen == NULL || all->live == NULL)
        return BK_ERR_NO_MEMORY;
    net_timer_set(&all->tick, bk_after(net_now(t->worker->loop), TICK_US));
    return BK_OK;
}

void turn_flows_fini(struct server_turn *t) {
    const struct bk_alloc *alloc = net_alloc();
    struct turn_flows *all = &t->flows;
    for (uint32_t i = 0; i < all->count; i++)
        (void)!fastpath_remove(all->fastpath, name_of(t, all->live[i]), NULL);
    net_timer_set(&all->tick, BK_NEVER);
    alloc->put(alloc->ctx, all->seen);
    alloc->put(alloc->ctx, all->live);
}
