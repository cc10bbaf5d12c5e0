/* SPDX-License-Identifier: MIT
 * A hub and its clients, joined by byte streams in memory. Every stream can be slow: `chunk` bytes
 * at a time, or a receiver that takes only `budget` bytes. */
#ifndef TESTS_UNIT_RELAY_FIXTURE_H
#define TESTS_UNIT_RELAY_FIXTURE_H

#include "../test.h"
#include "base/rng.h"
#include "box/box.h"
#include "relay/client.h"
#include "relay/hub.h"
#include "relay/upgrade.h"
#include "wire/derp.h"
#include "wire/reader.h"

enum { NODES = 8, LOG_MAX = 4096 };

struct node {
    struct relay_client *client;
    uint32_t conn;
    bool open;   /* the hub knows the connection */
    bool closed; /* the hub asked to close it */
    enum relay_close why_closed;
    size_t budget; /* bytes this node will still take from the hub */
    size_t connected, packets, gone, not_here, pongs, closes, room;
    size_t bytes; /* of packets' data */
    enum bk_err why;
    uint8_t last_key[RELAY_KEY_LEN], last_data[64];
    size_t last_len;
    uint32_t log[LOG_MAX]; /* first four bytes of each packet */
};

struct world {
    struct rng_seeded seeded;
    struct bk_rng rng;
    struct relay_hub *hub;
    struct bk_time now;
    size_t chunk; /* bytes moved at a time */
    struct node node[NODES];
};

static inline void world_init(struct world *w, const struct relay_hub_config *config) {
    struct relay_hub_config c = *config;
    uint8_t key[32];
    memset(w, 0, sizeof *w);
    rng_seed(&w->seeded, 7);
    w->rng = rng_from_seeded(&w->seeded);
    box_keypair(&w->rng, key, c.secret);
    w->chunk = SIZE_MAX;
    w->now = test_at_ms(1000);
    assert_int_equal(relay_hub_new(&c, &w->rng, &test_alloc, &w->hub), BK_OK);
}

static inline struct relay_hub_config small_hub(void) {
    struct relay_hub_config c = relay_hub_config_default;
    c.conns_max = NODES;
    c.pool_bytes = 4u << 20;
    return c;
}

static inline void world_fini(struct world *w) {
    relay_hub_check(w->hub);
    for (int i = 0; i < NODES; i++)
        relay_client_free(w->node[i].client);
    relay_hub_free(w->hub);
}

/* Connects node `i` with a fresh key, or the key of node `same_as` if that is not negative. */
static inline void node_open(struct world *w, int i, const uint8_t *secret) {
    struct node *n = &w->node[i];
    struct relay_client_config c = relay_client_config_default;
    struct bk_addr from = bk_addr(bk_ipv4(192, 0, 2, 1), (uint16_t)(1000 + i));
    uint8_t key[32];
    memset(n, 0, sizeof *n);
    n->budget = SIZE_MAX;
    box_keypair(&w->rng, key, c.secret);
    if (secret != NULL)
        memcpy(c.secret, secret, sizeof c.secret);
    c.start = RELAY_START_RAW;
    assert_int_equal(relay_client_new(&c, &w->rng, &test_alloc, w->now, &n->client), BK_OK);
    assert_int_equal(relay_hub_accept(w->hub, &from, w->now, &n->conn), BK_OK);
    n->open = true;
}

static inline void node_events(struct node *n) {
    struct relay_client_event ev;
    while (relay_client_next_event(n->client, &ev)) {
        memcpy(n->last_key, ev.key, sizeof n->last_key);
        switch (ev.type) {
        case RELAY_CLIENT_CONNECTED:
            n->connected++;
            break;
        case RELAY_CLIENT_PACKET:
            n->last_len = ev.len;
            memcpy(n->last_data, ev.data, ev.len < 64 ? ev.len : 64);
            if (ev.len >= 4 && n->packets < LOG_MAX) {
                struct wire_reader r = wire_reader(ev.data, ev.len);
                n->log[n->packets] = wire_u32(&r);
            }
            n->packets++;
            n->bytes += ev.len;
            break;
        case RELAY_CLIENT_PEER_GONE:
            n->gone++;
            n->not_here += ev.not_here;
            break;
        case RELAY_CLIENT_PONG:
            n->pongs++;
            break;
        case RELAY_CLIENT_ROOM:
            n->room++;
            break;
        case RELAY_CLIENT_CLOSED:
            n->closes++;
            n->why = ev.why;
            break;
        case RELAY_CLIENT_HEALTH:
        case RELAY_CLIENT_RESTARTING:
        case RELAY_CLIENT_PRESENT:
            n->last_len = ev.len;
            break;
        }
    }
}

static inline void node_close(struct world *w, int i) {
    struct node *n = &w->node[i];
    if (n->open)
        relay_hub_close(w->hub, n->conn, w->now);
    n->open = false;
    relay_client_free(n->client);
    n->client = NULL;
}

static inline bool node_upload(struct world *w, struct node *n) {
    struct relay_piece p;
    if (!relay_hub_wants_read(w->hub, n->conn) || !relay_client_next_bytes(n->client, &p))
        return false;
    size_t len = p.len < w->chunk ? p.len : w->chunk;
    if (len > 16384)
        len = 16384; /* what one read of a TLS stream gives */
    relay_hub_recv(w->hub, n->conn, p.data, len, w->now);
    relay_client_sent(n->client, len);
    return true;
}

static inline bool node_download(struct world *w, struct node *n) {
    struct relay_piece p[RELAY_HUB_PIECES];
    size_t count = relay_hub_next_bytes(w->hub, n->conn, p, RELAY_HUB_PIECES);
    size_t sent = 0;
    for (size_t i = 0; i < count && n->budget > 0; i++) {
        size_t len = p[i].len < n->budget ? p[i].len : n->budget;
        for (size_t at = 0; at < len;) {
            size_t step = len - at < w->chunk ? len - at : w->chunk;
            at += relay_client_recv(n->client, p[i].data + at, step, w->now);
            node_events(n);
        }
        n->budget -= len;
        sent += len;
        if (len < p[i].len)
            break;
    }
    relay_hub_sent(w->hub, n->conn, sent, w->now);
    return sent > 0;
}

/* Moves bytes until nothing moves any more. */
static inline void world_run(struct world *w) {
    bool moved = true;
    while (moved) {
        struct relay_ready ready;
        moved = false;
        while (relay_hub_next_ready(w->hub, &ready)) {
            for (int i = 0; i < NODES; i++) {
                struct node *n = &w->node[i];
                if (!n->open || n->conn != ready.conn || ready.close == RELAY_CLOSE_NOT)
                    continue;
                n->closed = true;
                n->why_closed = ready.close;
                n->open = false;
                relay_hub_close(w->hub, n->conn, w->now);
                break;
            }
        }
        for (int i = 0; i < NODES; i++) {
            struct node *n = &w->node[i];
            if (n->client != NULL)
                node_events(n);
            if (n->open && n->client != NULL) {
                moved = node_upload(w, n) || moved;
                moved = node_download(w, n) || moved;
            }
        }
        relay_hub_check(w->hub);
    }
}

static inline void world_pass_ms(struct world *w, int64_t ms) {
    w->now = bk_after(w->now, ms * 1000);
    relay_hub_advance(w->hub, w->now);
    for (int i = 0; i < NODES; i++)
        if (w->node[i].client != NULL)
            relay_client_advance(w->node[i].client, w->now);
}

static inline const uint8_t *node_key(const struct world *w, int i) {
    return relay_client_key(w->node[i].client);
}

/* A packet of `len` >= 4 bytes that begins with `number`. */
static inline enum bk_err node_send(struct world *w, int from, const uint8_t *dst, uint32_t number,
                                    size_t len) {
    static const uint8_t filler[RELAY_MESSAGE_MAX];
    uint8_t head[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                       (uint8_t)number};
    struct relay_piece pieces[2] = {{head, 4}, {filler, len - 4}};
    return relay_client_send(w->node[from].client, dst, pieces, 2);
}

#endif
