/* SPDX-License-Identifier: MIT
 * The hub as a whole: creation, connections coming and going, timers, what the caller is told. */
#include "relay/hub_int.h"

#include "base/rng.h"
#include "base/wipe.h"
#include "box/box.h"

#include <string.h>

const struct relay_hub_config relay_hub_config_default = {
    .conns_max = 10000,
    .pool_bytes = 64u << 20,
    .queue_packets = 512,
    .queue_bytes = 512u << 10,
    .urgent_packets = 32,
    .handshake_us = 10 * BK_US_PER_S,
    .keepalive_us = 60 * BK_US_PER_S,
    .stall_us = 15 * BK_US_PER_S,
    .pause_us = 250 * BK_US_PER_MS,
    .rate_burst_bytes = 32 + DERP_PACKET_MAX + DERP_HEADER_LEN,
};

const char *relay_hub_drop_name(enum relay_hub_drop reason) {
    switch (reason) {
    case RELAY_DROP_UNKNOWN_DEST:
        return "unknown_dest";
    case RELAY_DROP_UNKNOWN_DEST_ON_FWD:
        return "unknown_dest_on_fwd";
    case RELAY_DROP_GONE:
        return "gone_disconnected";
    case RELAY_DROP_QUEUE_HEAD:
        return "queue_head";
    case RELAY_DROP_QUEUE_TAIL:
        return "queue_tail";
    case RELAY_DROP_WRITE_ERROR:
        return "write_error";
    case RELAY_DROP_DUP_CLIENT:
        return "dup_client";
    case RELAY_DROPS:
        break;
    }
    return "other";
}

/* The configuration with the fields filled in that say "default" by 0. BK_ERR_ARGUMENT otherwise
 * for the first bad one. */
static enum bk_err config_check(const struct relay_hub_config *in, struct relay_hub_config *out) {
    struct relay_hub_config c = *in;
    if (c.pairs_max == 0)
        c.pairs_max = 4 * c.conns_max;
    if (c.rate_burst_bytes == 0)
        c.rate_burst_bytes = relay_hub_config_default.rate_burst_bytes;
    if (c.conns_max < 1 || c.conns_max > 1000000 || c.remote_keys_max > 10000000 ||
        c.pairs_max > 100000000 || c.pool_bytes < 1u << 20 ||
        c.pool_bytes / RELAY_HUB_CHUNK > 1u << 30)
        return BK_ERR_ARGUMENT;
    if (c.queue_packets < 1 || c.urgent_packets < 1 || c.queue_bytes < DERP_PACKET_MAX + HOLE)
        return BK_ERR_ARGUMENT;
    if (c.handshake_us <= 0 || c.keepalive_us <= 0 || c.stall_us <= 0 || c.pause_us <= 0)
        return BK_ERR_ARGUMENT;
    if (c.rate_bytes_per_s > UINT64_C(100000000000) ||
        c.rate_burst_bytes < relay_hub_config_default.rate_burst_bytes ||
        c.rate_burst_bytes > INT64_MAX / 2)
        return BK_ERR_ARGUMENT;
    *out = c;
    return BK_OK;
}

/* Room for every connection's key, every key elsewhere, the anonymous sender, and some that have
 * left with packets still queued. */
static uint32_t peers_for(const struct relay_hub_config *c) {
    return 1 + c->conns_max + c->conns_max / 4 + 16 + c->remote_keys_max;
}

/* What a hash table takes per entry: a slot of the key, a mark and the value, at most half full. */
static size_t table_bytes(size_t key_len, size_t capacity) {
    size_t slots = 8;
    while (slots < capacity * 2)
        slots *= 2;
    return slots * (1 + key_len + sizeof(uint32_t));
}

size_t relay_hub_memory(const struct relay_hub_config *config) {
    struct relay_hub_config c;
    if (config_check(config, &c) != BK_OK)
        return 0;
    size_t chunks = c.pool_bytes / RELAY_HUB_CHUNK;
    return sizeof(struct relay_hub) + c.conns_max * sizeof(struct conn) +
           peers_for(&c) * sizeof(struct peer) + c.pairs_max * sizeof(struct edge) +
           table_bytes(DERP_KEY_LEN, peers_for(&c)) + table_bytes(8, c.pairs_max) +
           c.conns_max * (sizeof(struct heap_node) + sizeof(uint32_t)) +
           chunks * (sizeof(struct chunk) + RELAY_HUB_CHUNK) + DERP_PACKET_MAX + DERP_KEY_LEN;
}

size_t relay_hub_memory_per_conn(const struct relay_hub_config *config) {
    size_t chunks = config->pool_bytes / RELAY_HUB_CHUNK;
    size_t all = relay_hub_memory(config);
    size_t pool = chunks * (sizeof(struct chunk) + RELAY_HUB_CHUNK);
    return all < pool ? 0 : (all - pool) / config->conns_max;
}

static void *get(struct relay_hub *h, size_t count, size_t size) {
    return h->alloc.get(h->alloc.ctx, count * size);
}

static bool allocate(struct relay_hub *h) {
    const struct relay_hub_config *c = &h->config;
    h->peers_max = peers_for(c);
    h->chunks = (uint32_t)(c->pool_bytes / RELAY_HUB_CHUNK);
    h->data = get(h, h->chunks, RELAY_HUB_CHUNK);
    h->chunk = get(h, h->chunks, sizeof *h->chunk);
    h->conn = get(h, c->conns_max, sizeof *h->conn);
    h->peer = get(h, h->peers_max, sizeof *h->peer);
    h->edge = get(h, c->pairs_max, sizeof *h->edge);
    h->scratch = get(h, 1, DERP_PACKET_MAX + DERP_KEY_LEN);
    if (table_init(&h->keys, DERP_KEY_LEN, h->peers_max, &h->rng, &h->alloc) != BK_OK ||
        table_init(&h->pairs, 8, c->pairs_max, &h->rng, &h->alloc) != BK_OK ||
        heap_init(&h->timers, c->conns_max, &h->alloc) != BK_OK)
        return false;
    return h->data != NULL && h->chunk != NULL && h->conn != NULL && h->peer != NULL &&
           h->edge != NULL && h->scratch != NULL;
}

static void link_free_lists(struct relay_hub *h) {
    queue_pool_init(h);
    peers_init(h);
    h->conn_free = h->edge_free = NONE;
    for (uint32_t i = h->config.conns_max; i > 0; i--) {
        h->conn[i - 1].same_next = h->conn_free;
        h->conn_free = i - 1;
    }
    for (uint32_t i = h->config.pairs_max; i > 0; i--) {
        h->edge[i - 1].src = NONE;
        h->edge[i - 1].age_next = h->edge_free;
        h->edge_free = i - 1;
    }
    h->ready_first = h->ready_last = h->in_first = h->in_last = NONE;
    h->age_first = h->age_last = h->edge_news = h->forward_shown = NONE;
    h->forward = (struct packets){NONE, NONE};
}

enum bk_err relay_hub_new(const struct relay_hub_config *config, const struct bk_rng *rng,
                          const struct bk_alloc *alloc, struct relay_hub **out) {
    struct relay_hub_config checked;
    uint8_t key[RELAY_HUB_KEY_LEN];
    enum bk_err err = config_check(config, &checked);
    if (err == BK_OK)
        err = box_public(config->secret, key);
    if (err != BK_OK)
        return err;
    struct relay_hub *h = alloc->get(alloc->ctx, sizeof *h);
    if (h == NULL)
        return BK_ERR_NO_MEMORY;
    h->config = checked;
    h->rng = *rng;
    h->alloc = *alloc;
    memcpy(h->key, key, sizeof h->key);
    if (!allocate(h)) {
        relay_hub_free(h);
        return BK_ERR_NO_MEMORY;
    }
    link_free_lists(h);
    *out = h;
    return BK_OK;
}

void relay_hub_free(struct relay_hub *h) {
    if (h == NULL)
        return;
    struct bk_alloc alloc = h->alloc;
    void *parts[] = {h->data, h->chunk, h->conn, h->peer, h->edge, h->scratch};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        alloc.put(alloc.ctx, parts[i]);
    table_fini(&h->keys);
    table_fini(&h->pairs);
    heap_fini(&h->timers);
    wipe(h, sizeof *h);
    alloc.put(alloc.ctx, h);
}

const uint8_t *relay_hub_key(const struct relay_hub *h) {
    return h->key;
}

void conn_wake(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    if (c->listed)
        return;
    c->listed = true;
    c->next_ready = NONE;
    if (h->ready_first == NONE)
        h->ready_first = conn;
    else
        h->conn[h->ready_last].next_ready = conn;
    h->ready_last = conn;
}

void conn_output(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    if (bk_is_never(c->stalled_at)) {
        c->stalled_at = bk_after(h->now, h->config.stall_us);
        conn_schedule(h, conn);
    }
    if (!c->told_write)
        conn_wake(h, conn);
}

void conn_schedule(struct relay_hub *h, uint32_t conn) {
    const struct conn *c = &h->conn[conn];
    struct bk_time when = BK_NEVER;
    if (c->state == CONN_HELLO || c->state == CONN_OPEN) {
        when = bk_earlier(bk_earlier(c->hello_by, c->keepalive_at), c->stalled_at);
        when = bk_earlier(when, bk_earlier(c->pause_until, c->rate_until));
    }
    heap_set(&h->timers, conn, when);
}

/* The hub is done with the connection: it tells the caller, who closes. */
void conn_fail(struct relay_hub *h, uint32_t conn, enum relay_close why) {
    struct conn *c = &h->conn[conn];
    if (c->state == CONN_CLOSING)
        return;
    switch (why) {
    case RELAY_CLOSE_HANDSHAKE:
    case RELAY_CLOSE_HANDSHAKE_TIMEOUT:
        h->stats.handshake_failed++;
        break;
    case RELAY_CLOSE_PROTOCOL:
    case RELAY_CLOSE_PERMISSION:
        h->stats.protocol_errors++;
        break;
    case RELAY_CLOSE_STALLED:
        h->stats.stalled++;
        break;
    case RELAY_CLOSE_NOT:
    case RELAY_CLOSE_PEER:
    case RELAY_CLOSE_RESOURCES:
        break;
    }
    c->state = CONN_CLOSING;
    c->close = why;
    conn_schedule(h, conn);
    conn_wake(h, conn);
}

static void conn_start(struct relay_hub *h, struct conn *c, const struct bk_addr *remote) {
    struct lane empty = {.cur = NONE};
    bool listed = c->listed; /* its previous life may still be on the ready list */
    uint32_t next_ready = c->next_ready;
    int64_t jitter_us = (int64_t)rng_below(&h->rng, (uint32_t)KEEPALIVE_JITTER_US);
    *c = (struct conn){
        .state = CONN_HELLO,
        .listed = listed,
        .next_ready = next_ready,
        .told_read = true,
        .not_here_tokens = NOT_HERE_BURST,
        .in = NONE,
        .peer = NONE,
        .same_next = NONE,
        .edges = NONE,
        .paused_on = NONE,
        .remote_paused = NONE,
        .remote_stuck = NONE,
        .last_dst = NONE,
        .lane = {empty, empty},
        .ctl = NONE,
        .staged = {NONE, NONE},
        .hello_by = bk_after(h->now, h->config.handshake_us),
        .keepalive_at = bk_after(h->now, h->config.keepalive_us + jitter_us),
        .stalled_at = BK_NEVER,
        .pause_until = BK_NEVER,
        .pause_end = BK_NEVER,
        .rate_until = BK_NEVER,
        .mixed_until = h->now,
        .not_here_at = h->now,
        .tokens_at = h->now,
        .tokens = (int64_t)h->config.rate_burst_bytes,
        .remote = *remote,
    };
}

enum bk_err relay_hub_accept(struct relay_hub *h, const struct bk_addr *remote, struct bk_time now,
                             uint32_t *conn) {
    h->now = bk_later(h->now, now);
    uint32_t i = h->conn_free;
    if (i == NONE) {
        h->stats.refused++;
        return BK_ERR_FULL;
    }
    uint8_t buf[DERP_HEADER_LEN + DERP_MAGIC_LEN + DERP_KEY_LEN];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    derp_put_server_key(&w, h->key);
    struct conn *c = &h->conn[i];
    uint32_t next_free = c->same_next;
    conn_start(h, c, remote);
    if (!ctl_put(h, i, &w)) {
        c->state = CONN_FREE;
        c->same_next = next_free;
        heap_set(&h->timers, i, BK_NEVER);
        h->stats.refused++;
        return BK_ERR_FULL;
    }
    h->conn_free = next_free;
    h->stats.accepted++;
    h->stats.conns++;
    conn_schedule(h, i);
    *conn = i;
    return BK_OK;
}

bool relay_hub_wants_read(const struct relay_hub *h, uint32_t conn) {
    const struct conn *c = &h->conn[conn];
    return (c->state == CONN_HELLO || c->state == CONN_OPEN) && !pause_is_on(c) &&
           bk_is_never(c->rate_until);
}

/* Everything that waits for the receiver goes with it. */
static void drop_output(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    bool stalled = c->close == RELAY_CLOSE_STALLED;
    while (c->edges != NONE) {
        uint32_t edge = c->edges, src = h->edge[edge].src;
        edge_discard(h, edge, stalled ? RELAY_DROP_WRITE_ERROR : RELAY_DROP_GONE);
        peer_release(h, src);
    }
    while (c->staged.first != NONE)
        packet_free(h, packets_pop(h, &c->staged));
    if (c->ctl != NONE)
        packet_free(h, c->ctl);
    c->ctl = NONE;
}

void relay_hub_close(struct relay_hub *h, uint32_t conn, struct bk_time now) {
    struct conn *c = &h->conn[conn];
    bk_assert(c->state != CONN_FREE);
    h->now = bk_later(h->now, now);
    if (pause_is_on(c))
        pause_end(h, conn);
    if (c->watching)
        h->watchers--;
    conn_in_done(h, conn);
    drop_output(h, conn);
    c->state = CONN_FREE; /* so that nothing below tells it anything */
    if (c->peer != NONE)
        peer_leave(h, conn);
    heap_set(&h->timers, conn, BK_NEVER);
    c->same_next = h->conn_free;
    h->conn_free = conn;
    h->stats.conns--;
}

/* A client that asked for quiet gets it, and a margin for a ping on its way; then it is asked. */
void keepalive_later(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    int64_t jitter_us = (int64_t)rng_below(&h->rng, (uint32_t)KEEPALIVE_JITTER_US);
    int64_t quiet_us = (int64_t)c->quiet_s * (BK_US_PER_S + BK_US_PER_S / 4);
    c->keepalive_at = bk_after(h->now, h->config.keepalive_us + quiet_us + jitter_us);
}

static void keepalive(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    uint8_t buf[DERP_HEADER_LEN];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    derp_put_keep_alive(&w);
    keepalive_later(h, conn);
    if (c->state == CONN_OPEN && !conn_has_output(c))
        (void)ctl_put(h, conn, &w); /* without memory for it, other traffic is keeping us alive */
}

static void conn_advance(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    if (bk_due(c->hello_by, h->now)) {
        conn_fail(h, conn, RELAY_CLOSE_HANDSHAKE_TIMEOUT);
        return;
    }
    if (bk_due(c->stalled_at, h->now)) {
        conn_fail(h, conn, RELAY_CLOSE_STALLED);
        return;
    }
    if (bk_due(c->keepalive_at, h->now))
        keepalive(h, conn);
    pause_advance(h, conn);
    if (bk_due(c->rate_until, h->now))
        rate_tick(h, conn);
    conn_schedule(h, conn);
}

void relay_hub_advance(struct relay_hub *h, struct bk_time now) {
    uint32_t conn;
    h->now = bk_later(h->now, now);
    while (heap_take_due(&h->timers, h->now, &conn))
        conn_advance(h, conn);
}

struct bk_time relay_hub_deadline(const struct relay_hub *h) {
    return heap_earliest(&h->timers);
}

bool relay_hub_next_ready(struct relay_hub *h, struct relay_ready *out) {
    while (h->ready_first != NONE) {
        uint32_t i = h->ready_first;
        struct conn *c = &h->conn[i];
        h->ready_first = c->next_ready;
        c->listed = false;
        if (c->state == CONN_FREE)
            continue;
        struct relay_ready ready = {.conn = i,
                                    .write = conn_has_output(c),
                                    .read = relay_hub_wants_read(h, i),
                                    .close = c->close};
        if (ready.close == RELAY_CLOSE_NOT && ready.write == c->told_write &&
            ready.read == c->told_read && !c->retell)
            continue;
        c->retell = false;
        c->told_write = ready.write;
        c->told_read = ready.read;
        *out = ready;
        return true;
    }
    return false;
}

const uint8_t *relay_hub_conn_key(const struct relay_hub *h, uint32_t conn) {
    uint32_t peer = h->conn[conn].peer;
    return peer == NONE ? NULL : h->peer[peer].key;
}

void relay_hub_stats(const struct relay_hub *h, struct relay_hub_stats *out) {
    *out = h->stats;
    out->chunks = h->chunks;
    out->chunks_used = h->chunks - h->chunks_free;
}
