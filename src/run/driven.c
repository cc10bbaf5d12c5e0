/* SPDX-License-Identifier: MIT
 * One agent under the driver. Whatever is put into it (a datagram, time, a connection's bytes, a
 * call of the user's) ends in driven_touch(), and at the end of the loop's turn on_work() takes out
 * everything it wants: datagrams first, events last, because their handlers may end its life.
 *
 * Thousands of idle agents do not fit into the CPU's caches. So where many of them have their turn
 * (a batch of datagrams, a slot of the grid) each is drained before the next one is looked at. */
#include "run/driver.h"

#include "base/table.h"
#include <string.h>

enum {
    ROUNDS_PER_TURN = 16, /* handlers that cause events for ever get the next turn, too */
    LEISURE_US = 400000   /* deadlines farther away than this may wait for others */
};

static uint64_t hash_ice(const struct bk_run *run, const struct bk_ice *ice) {
    uintptr_t key = (uintptr_t)ice;
    return siphash24(run->demux.seed, &key, sizeof key);
}

struct driven *driven_find(const struct bk_run *run, const struct bk_ice *ice) {
    size_t at = 0;
    uint32_t number;
    uint64_t hash = hash_ice(run, ice);
    while (multimap_next(&run->by_ice, hash, &at, &number))
        if (run->agents[number]->ice == ice)
            return run->agents[number];
    return NULL;
}

struct driven *driven_find_again(struct bk_run *run, const struct bk_ice *ice) {
    if (run->sender == NULL || run->sender->ice != ice)
        run->sender = driven_find(run, ice);
    return run->sender;
}

void driven_release(struct driven *a) {
    if (--a->holders == 0)
        run_put(a);
}

void driven_touch(struct driven *a) {
    if (a->ice != NULL)
        net_defer(&a->work);
}

void driven_tell_data(struct driven *a, const struct bk_ice_data *data) {
    if (a->on.data == NULL)
        return;
    driven_hold(a);
    a->on.data(a->ctx, a->ice, data);
    driven_release(a);
}

bool driven_recv(struct driven *a, const struct bk_datagram *in, struct bk_time now) {
    struct bk_ice_data data = {.data = NULL};
    enum bk_err err = bk_ice_recv(a->ice, in, now, &data);
    /* AUTH: another agent may have the same ufrag by chance, and the right password. */
    if (err == BK_ERR_NOT_OURS || err == BK_ERR_AUTH)
        return false;
    driven_touch(a);
    if (err == BK_OK && data.data != NULL)
        driven_tell_data(a, &data);
    return true;
}

static void send_datagrams(struct driven *a) {
    struct bk_datagram out;
    while (bk_ice_next_datagram(a->ice, &out)) {
        struct net_udp *udp = run_port_of(a, &out.local);
        demux_sent(&a->run->demux, a->number, &out);
        if (udp != NULL && net_udp_send(udp, &out) != BK_OK)
            continue; /* full: lost, like anywhere on the way */
    }
}

static void serve(struct driven *a, const struct bk_ice_request *r) {
    switch (r->kind) {
    case BK_ICE_DIAL:
        run_conn_dial(a, r);
        break;
    case BK_ICE_HANG_UP:
        run_conn_hang_up(a, r->id);
        break;
    case BK_ICE_RESOLVE:
        run_lookup_start(a, r);
        break;
    case BK_ICE_PUBLISH:
        run_mdns_publish(a, r);
        break;
    }
}

/* Has it heard under its present ufrag. */
static enum bk_err tell_name(struct driven *a) {
    const char *ufrag = bk_ice_ufrag(a->ice);
    size_t len = strlen(ufrag);
    enum bk_err err = demux_name(&a->run->demux, a->number, ufrag, len);
    if (err != BK_OK)
        return err;
    memset(a->ufrag, 0, sizeof a->ufrag);
    memcpy(a->ufrag, ufrag, len < sizeof a->ufrag ? len : sizeof a->ufrag);
    return BK_OK;
}

/* Everything but events: what can be taken out without a handler. */
static void take_out(struct driven *a) {
    struct bk_ice_request request;
    if (strncmp(a->ufrag, bk_ice_ufrag(a->ice), sizeof a->ufrag) != 0 && tell_name(a) != BK_OK)
        driven_touch(a); /* no memory: until there is, the peer's checks are asked for again */
    send_datagrams(a);
    while (bk_ice_next_request(a->ice, &request))
        serve(a, &request);
    (void)run_conn_drain(a); /* full: lost, too */
}

/* false: there was none, or no agent is left. */
static bool tell_events(struct driven *a) {
    struct bk_ice_event event;
    bool any = false;
    while (a->ice != NULL && bk_ice_next_event(a->ice, &event)) {
        any = true;
        if (a->on.event != NULL)
            a->on.event(a->ctx, a->ice, &event);
    }
    return any && a->ice != NULL;
}

static void forget_deadline(struct driven *a) {
    a->deadline = BK_NEVER;
    net_timer_set(&a->timer, BK_NEVER);
    grid_remove(&a->run->grid, &a->rest);
}

/* What is near is done to the microsecond: pacing, retransmissions. Consent checks may wait. */
static void set_deadline(struct driven *a, struct bk_time deadline) {
    struct bk_run *run = a->run;
    struct bk_time now = net_now(run->loop);
    if (deadline.us == a->deadline.us)
        return; /* what was far and has come near stays at rest */
    forget_deadline(a);
    a->deadline = deadline;
    if (bk_before(deadline, bk_after(now, LEISURE_US)) ||
        !grid_add(&run->grid, &a->rest, deadline, now))
        net_timer_set(&a->timer, deadline);
    else if (bk_before(deadline, run->grid_timer.deadline))
        net_timer_set(&run->grid_timer, grid_deadline(&run->grid));
}

static void on_work(void *ctx) {
    struct driven *a = ctx;
    bool more = true;
    driven_hold(a);
    for (int i = 0; i < ROUNDS_PER_TURN && more; i++) {
        take_out(a);
        more = tell_events(a);
    }
    if (a->ice != NULL)
        set_deadline(a, bk_ice_deadline(a->ice));
    if (more)
        driven_touch(a);
    driven_release(a);
}

/* Now, not at the end of the turn. */
static void drain(struct driven *a) {
    if (a->work.queued) {
        net_defer_cancel(&a->work);
        on_work(a);
    }
}

void driven_fed(struct bk_run *run) {
    struct driven *a = run->fed;
    run->fed = NULL;
    if (a != NULL)
        drain(a);
}

struct driven *driven_feed(struct bk_run *run, uint32_t number) {
    if (run->fed == NULL || run->fed->number != number)
        driven_fed(run); /* whose handlers may remove any */
    run->fed = number < run->agent_cap ? run->agents[number] : NULL;
    return run->fed;
}

static void on_due(void *ctx, struct bk_time now) {
    struct driven *a = ctx;
    a->deadline = BK_NEVER; /* it is out of timer and grid */
    bk_ice_advance(a->ice, now);
    driven_touch(a);
}

void driven_on_grid(void *ctx, struct bk_time now) {
    struct bk_run *run = ctx;
    struct grid_item *item;
    while ((item = grid_take(&run->grid, now)) != NULL) {
        struct driven *a = (void *)((char *)item - offsetof(struct driven, rest));
        on_due(a, now);
        drain(a);
    }
    net_timer_set(&run->grid_timer, grid_deadline(&run->grid));
}

void bk_run_poke(struct bk_run *run, struct bk_ice *ice) {
    struct driven *a = driven_find(run, ice);
    if (a != NULL)
        driven_touch(a);
}

/* --- coming and going --- */

static enum bk_err make_room(struct bk_run *run) {
    if (run->agent_count == run->config.agents_max)
        return BK_ERR_FULL;
    if (run->agent_count < run->agent_cap)
        return BK_OK;
    uint32_t cap = run->agent_cap == 0 ? 16 : run->agent_cap * 2;
    struct driven **bigger = run_get(cap * sizeof(struct driven *));
    if (bigger == NULL)
        return BK_ERR_NO_MEMORY;
    if (run->agent_cap > 0)
        memcpy(bigger, run->agents, run->agent_cap * sizeof(struct driven *));
    run->first_free = run->agent_cap;
    run_put(run->agents);
    run->agents = bigger;
    run->agent_cap = cap;
    return BK_OK;
}

static void leave(struct bk_run *run, struct driven *a) {
    if (run->fed == a)
        run->fed = NULL;
    if (run->sender == a)
        run->sender = NULL;
    (void)multimap_remove(&run->by_ice, hash_ice(run, a->ice), a->number);
    demux_leave(&run->demux, a->number);
    run->agents[a->number] = NULL;
    run->agent_count--;
    if (a->number < run->first_free)
        run->first_free = a->number;
}

/* Gives it a number, and with that a place in all tables. */
static enum bk_err enter(struct bk_run *run, struct driven *a) {
    enum bk_err err = make_room(run);
    if (err != BK_OK)
        return err;
    while (run->agents[run->first_free] != NULL)
        run->first_free++;
    a->number = run->first_free;
    err = multimap_add(&run->by_ice, hash_ice(run, a->ice), a->number);
    if (err != BK_OK)
        return err;
    err = demux_join(&run->demux, a->number);
    if (err != BK_OK) {
        (void)multimap_remove(&run->by_ice, hash_ice(run, a->ice), a->number);
        return err;
    }
    run->agents[a->number] = a;
    run->agent_count++;
    err = tell_name(a);
    if (err != BK_OK)
        leave(run, a);
    return err;
}

enum bk_err bk_run_add(struct bk_run *run, struct bk_ice *ice, const struct bk_run_handlers *on,
                       void *ctx) {
    if (driven_find(run, ice) != NULL)
        return BK_ERR_EXISTS;
    struct driven *a = run_get(sizeof *a);
    if (a == NULL)
        return BK_ERR_NO_MEMORY;
    *a = (struct driven){
        .run = run, .ice = ice, .on = *on, .ctx = ctx, .holders = 1, .deadline = BK_NEVER};
    net_timer_init(&a->timer, run->loop, on_due, a);
    net_deferred_init(&a->work, run->loop, on_work, a);
    enum bk_err err = enter(run, a);
    if (err != BK_OK) {
        driven_release(a);
        return err;
    }
    err = run_bases_start(run);
    if (err == BK_OK)
        err = run_ports_give(a);
    if (err != BK_OK) {
        bk_run_remove(run, ice);
        return err;
    }
    run_bases_add(a, bk_run_now(run));
    driven_touch(a);
    return BK_OK;
}

void bk_run_remove(struct bk_run *run, struct bk_ice *ice) {
    struct driven *a = driven_find(run, ice);
    if (a == NULL)
        return;
    take_out(a); /* goodbyes leave; nobody is told of anything any more */
    forget_deadline(a);
    net_defer_cancel(&a->work);
    run_lookup_end_all(a);
    run_mdns_withdraw_all(a);
    run_conn_end_all(a);
    run_ports_take(a);
    leave(run, a);
    a->ice = NULL;
    driven_release(a);
}
