/* SPDX-License-Identifier: MIT
 * The clock and the event queue. */
#include "sim/state.h"

#include "base/assert.h"

#include <string.h>

const struct world_config world_config_default = {
    .seed = 1,
    .nodes_max = 64,
    .actors_max = 64,
    .sockets_max = 1024,
    .streams_max = 64,
    .packets_max = 8192,
    .trace_max = 4096,
    .stream_window = 256 * 1024,
    .stream_rto_us = 200 * BK_US_PER_MS, /* Linux' least retransmission timeout */
    .stream_retries = 8,
};

static void *get(struct world *w, size_t count, size_t size) {
    return w->alloc.get(w->alloc.ctx, count * size);
}

static enum bk_err init_tables(struct world *w) {
    const struct world_config *c = &w->config;
    const struct {
        struct table *table;
        size_t key_len, capacity;
    } wanted[] = {
        {&w->by_address, KEY_NODE_IP, (size_t)c->nodes_max * ADDRESSES_MAX},
        {&w->by_socket, KEY_NODE_ADDR, c->sockets_max},
        {&w->by_listener, KEY_NODE_PORT, c->actors_max},
        {&w->by_host_pair, KEY_NODES, CUTS_MAX},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        enum bk_err e =
            table_init(wanted[i].table, wanted[i].key_len, wanted[i].capacity, &w->rng, &w->alloc);
        if (e != BK_OK)
            return e;
    }
    return heap_init(&w->events, (size_t)c->packets_max + c->actors_max, &w->alloc);
}

static enum bk_err init_pools(struct world *w) {
    const struct world_config *c = &w->config;
    w->packets = get(w, c->packets_max, sizeof *w->packets);
    w->free_packets = get(w, c->packets_max, sizeof *w->free_packets);
    w->nodes = get(w, c->nodes_max, sizeof *w->nodes);
    w->actors = get(w, c->actors_max, sizeof *w->actors);
    w->streams_of_luck = get(w, c->actors_max, sizeof *w->streams_of_luck);
    w->sockets = get(w, c->sockets_max, sizeof *w->sockets);
    w->streams = get(w, c->streams_max, sizeof *w->streams);
    w->trace = get(w, c->trace_max, sizeof *w->trace);
    bool all = w->packets != NULL && w->free_packets != NULL && w->nodes != NULL &&
               w->actors != NULL && w->streams_of_luck != NULL && w->sockets != NULL &&
               w->streams != NULL && w->trace != NULL;
    return all ? init_tables(w) : BK_ERR_NO_MEMORY;
}

static bool config_right(const struct world_config *c) {
    return c->nodes_max > 0 && c->actors_max > 0 && c->sockets_max > 0 && c->streams_max > 0 &&
           c->packets_max > 0 && c->trace_max > 0 && c->stream_window >= SEGMENT_MAX &&
           c->stream_rto_us > 0 && c->stream_retries > 0 && c->stream_retries < 32;
}

enum bk_err world_new(const struct world_config *config, const struct bk_alloc *alloc,
                      struct world **out) {
    if (!config_right(config))
        return BK_ERR_ARGUMENT;
    struct world *w = alloc->get(alloc->ctx, sizeof *w);
    if (w == NULL)
        return BK_ERR_NO_MEMORY;
    w->config = *config;
    w->alloc = *alloc;
    w->now.us = BK_US_PER_S; /* not 0: nobody should rely on where time begins */
    rng_seed(&w->seeded, config->seed);
    w->rng = rng_from_seeded(&w->seeded);
    enum bk_err e = init_pools(w);
    if (e != BK_OK) {
        world_free(w);
        return e;
    }
    for (uint32_t i = 0; i < config->packets_max; i++)
        w->free_packets[i] = config->packets_max - 1 - i;
    w->free_count = config->packets_max;
    w->node_count = 1;
    memcpy(w->nodes[WORLD_CORE].name, "core", sizeof "core");
    hash_word(w, config->seed);
    *out = w;
    return BK_OK;
}

void world_free(struct world *w) {
    if (w == NULL)
        return;
    struct bk_alloc alloc = w->alloc;
    for (node_id i = 0; w->nodes != NULL && i < w->node_count; i++)
        nat_free(w->nodes[i].nat);
    table_fini(&w->by_address);
    table_fini(&w->by_socket);
    table_fini(&w->by_listener);
    table_fini(&w->by_host_pair);
    heap_fini(&w->events);
    void *const owned[] = {w->packets,         w->free_packets, w->nodes,   w->actors,
                           w->streams_of_luck, w->sockets,      w->streams, w->trace};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        alloc.put(alloc.ctx, owned[i]);
    alloc.put(alloc.ctx, w);
}

uint32_t packet_take(struct world *w) {
    if (w->free_count == 0) {
        w->counters.overflow++;
        return SIM_NONE;
    }
    return w->free_packets[--w->free_count];
}

void packet_give(struct world *w, uint32_t index) {
    bk_assert(w->free_count < w->config.packets_max);
    w->free_packets[w->free_count++] = index;
}

void packet_schedule(struct world *w, uint32_t index, struct bk_time when) {
    heap_set(&w->events, index, when);
}

struct bk_time world_now(const struct world *w) {
    return w->now;
}

void actor_turn(struct world *w, actor_id actor) {
    const struct world_actor *calls = &w->actors[actor].calls;
    if (calls->on_turn != NULL)
        calls->on_turn(calls->ctx, w, w->now);
    if (calls->deadline == NULL)
        return;
    struct bk_time when = calls->deadline(calls->ctx);
    /* At least a microsecond on: an object that stays due must not stop the clock. */
    if (!bk_is_never(when))
        when = bk_later(when, bk_after(w->now, 1));
    heap_set(&w->events, w->config.packets_max + actor, when);
}

void world_wake(struct world *w, actor_id actor) {
    actor_turn(w, actor);
}

void world_post(struct world *w, actor_id to, int64_t delay_us, const void *data, size_t len) {
    bk_assert(len <= WORLD_DATAGRAM_MAX && to < w->actor_count);
    uint32_t index = packet_take(w);
    if (index == SIM_NONE)
        return;
    struct sim_packet *p = &w->packets[index];
    p->kind = PACKET_MESSAGE;
    p->to = to;
    p->len = (uint16_t)len;
    if (len > 0)
        memcpy(p->data, data, len);
    hash_payload(w, p->data, len);
    packet_schedule(w, index, bk_after(w->now, delay_us));
}

struct bk_rng world_rng(struct world *w, const char *name) {
    bk_assert(w->luck_count < w->config.actors_max);
    struct rng_seeded *r = &w->streams_of_luck[w->luck_count++];
    const uint64_t key[2] = {w->config.seed, UINT64_C(0x626f646b696e)};
    rng_seed(r, siphash24(key, name, strlen(name)));
    return rng_from_seeded(r);
}

static void message_arrives(struct world *w, uint32_t index) {
    const struct sim_packet *p = &w->packets[index];
    actor_id actor = p->to;
    const struct world_actor *calls = &w->actors[actor].calls;
    hash_word(w, (uint64_t)w->now.us);
    if (calls->on_message != NULL)
        calls->on_message(calls->ctx, w, p->data, p->len);
    packet_give(w, index);
    actor_turn(w, actor);
}

static void packet_event(struct world *w, uint32_t index) {
    const struct sim_packet *p = &w->packets[index];
    if (p->kind == PACKET_MESSAGE)
        message_arrives(w, index);
    else if (p->at == SIM_NONE)
        stream_resend(w, index);
    else
        route_arrive(w, index);
}

static void timer_event(struct world *w, actor_id actor) {
    const struct world_actor *calls = &w->actors[actor].calls;
    hash_word(w, (uint64_t)w->now.us);
    hash_word(w, actor);
    if (calls->on_timer != NULL)
        calls->on_timer(calls->ctx, w, w->now);
    actor_turn(w, actor);
}

bool world_step(struct world *w) {
    struct bk_time when = heap_earliest(&w->events);
    uint32_t id;
    if (bk_is_never(when))
        return false;
    w->now = bk_later(w->now, when);
    bool taken = heap_take_due(&w->events, w->now, &id);
    bk_assert(taken);
    w->counters.events++;
    if (id < w->config.packets_max)
        packet_event(w, id);
    else
        timer_event(w, id - w->config.packets_max);
    return true;
}

void world_run(struct world *w, int64_t us) {
    struct bk_time until = bk_after(w->now, us);
    while (bk_due(heap_earliest(&w->events), until))
        (void)world_step(w);
    w->now = bk_later(w->now, until);
}

bool world_run_until(struct world *w, bool (*done)(void *ctx), void *ctx, int64_t us) {
    struct bk_time until = bk_after(w->now, us);
    while (!done(ctx)) {
        if (!bk_due(heap_earliest(&w->events), until)) {
            w->now = bk_later(w->now, until);
            return done(ctx);
        }
        (void)world_step(w);
    }
    return true;
}
