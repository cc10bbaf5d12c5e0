/* SPDX-License-Identifier: MIT
 * Keys: where each lives, which of its connections receives, who is told when it goes, and what the
 * other hubs are told. */
#include "relay/hub_int.h"

#include <string.h>

void peers_init(struct relay_hub *h) {
    h->peer_free = NONE;
    for (uint32_t i = h->peers_max; i > 0; i--) {
        h->peer[i - 1].next = h->peer_free;
        h->peer_free = i - 1;
    }
    h->news_first = h->news_last = NONE;
    bk_assert(h->peer_free == ANONYMOUS);
    h->peer_free = h->peer[ANONYMOUS].next;
    h->peer[ANONYMOUS] = (struct peer){.used = true, .active = NONE, .remote = 0, .edges = NONE};
}

uint32_t peer_find(const struct relay_hub *h, const uint8_t *key) {
    uint32_t i;
    return table_get(&h->keys, key, &i) ? i : NONE;
}

bool peer_is_here(const struct peer *p) {
    return p->active != NONE || p->remote != NONE;
}

/* Senders that left with packets still queued keep their place until those are gone, but only so
 * many of them: the oldest pair's packets are dropped for a new key. */
static uint32_t peer_take(struct relay_hub *h) {
    for (uint32_t e = h->age_first; h->peer_free == NONE && e != NONE;) {
        uint32_t next = h->edge[e].age_next, src = h->edge[e].src;
        if (!peer_is_here(&h->peer[src])) {
            edge_discard(h, e, RELAY_DROP_QUEUE_HEAD);
            peer_release(h, src);
        }
        e = next;
    }
    return h->peer_free;
}

static uint32_t peer_get(struct relay_hub *h, const uint8_t *key) {
    uint32_t i = peer_find(h, key);
    if (i != NONE)
        return i;
    i = peer_take(h);
    if (i == NONE)
        return NONE;
    h->peer_free = h->peer[i].next;
    h->peer[i] = (struct peer){
        .used = true, .active = NONE, .remote = NONE, .edges = NONE, .claim_after = h->now};
    memcpy(h->peer[i].key, key, RELAY_HUB_KEY_LEN);
    bk_assert(table_put(&h->keys, key, i) == BK_OK);
    return i;
}

void peer_release(struct relay_hub *h, uint32_t i) {
    struct peer *p = &h->peer[i];
    if (i == ANONYMOUS || !p->used || peer_is_here(p) || p->edges != NONE || p->in_news)
        return;
    bk_assert(table_remove(&h->keys, p->key));
    p->used = false;
    p->next = h->peer_free;
    h->peer_free = i;
}

/* Does this hub hold the newest claim on the key? */
static bool peer_is_ours(const struct peer *p) {
    return p->active != NONE && !p->remote_newer;
}

/* The other hubs must hear about this peer. News is state, not a list of happenings: what the
 * caller fetches is how things are then, so it cannot overflow. */
static void peer_news(struct relay_hub *h, uint32_t i) {
    struct peer *p = &h->peer[i];
    if (!h->config.announce || p->in_news)
        return;
    p->in_news = true;
    p->next = NONE;
    if (h->news_first == NONE)
        h->news_first = i;
    else
        h->peer[h->news_last].next = i;
    h->news_last = i;
}

static void tell_watchers(struct relay_hub *h, const struct conn *who, const uint8_t *key) {
    if (h->watchers == 0)
        return;
    for (uint32_t i = 0; i < h->config.conns_max; i++) {
        if (h->conn[i].state != CONN_OPEN || !h->conn[i].watching)
            continue;
        if (who != NULL)
            ctl_peer_present(h, i, who, key);
        else
            ctl_peer_gone(h, i, key, DERP_GONE_DISCONNECTED);
    }
}

/* Nobody can reach the key any more: whoever had a packet from it is told, once. Packets it left
 * behind are still delivered. */
static void peer_gone(struct relay_hub *h, uint32_t i) {
    struct peer *p = &h->peer[i];
    for (uint32_t e = p->edges; e != NONE;) {
        uint32_t next = h->edge[e].src_next;
        if (h->edge[e].delivered) {
            h->edge[e].delivered = false;
            h->stats.peer_gone_disconnected++;
            ctl_peer_gone(h, h->edge[e].dst, p->key, DERP_GONE_DISCONNECTED);
        }
        if (edge_is_idle(&h->edge[e]))
            edge_free(h, e);
        e = next;
    }
    peer_release(h, i);
}

bool peer_join(struct relay_hub *h, uint32_t conn, const uint8_t *key) {
    uint32_t i = peer_get(h, key);
    if (i == NONE)
        return false;
    struct peer *p = &h->peer[i];
    struct conn *c = &h->conn[conn];
    if (p->active == NONE)
        h->stats.keys++;
    else
        h->stats.duplicate_conns++;
    c->peer = i;
    c->same_next = p->active;
    p->active = conn;
    p->remote_newer = false;
    peer_news(h, i);
    tell_watchers(h, c, p->key);
    return true;
}

static void same_unlink(struct relay_hub *h, struct peer *p, uint32_t conn) {
    uint32_t *at = &p->active;
    while (*at != conn)
        at = &h->conn[*at].same_next;
    *at = h->conn[conn].same_next;
}

void peer_leave(struct relay_hub *h, uint32_t conn) {
    uint32_t i = h->conn[conn].peer;
    struct peer *p = &h->peer[i];
    same_unlink(h, p, conn);
    h->conn[conn].peer = NONE;
    if (p->active != NONE) {
        h->stats.duplicate_conns--;
        return;
    }
    h->stats.keys--;
    peer_news(h, i);
    tell_watchers(h, NULL, p->key);
    if (p->remote == NONE)
        peer_gone(h, i);
}

void peer_heard(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    struct peer *p = &h->peer[c->peer];
    if (p->active != conn) {
        same_unlink(h, p, conn);
        c->same_next = p->active;
        p->active = conn;
    }
    /* Two hubs that both hear the key would trade claims with every packet: once a second will do.
     */
    if (p->remote_newer && !bk_before(h->now, p->claim_after)) {
        p->remote_newer = false;
        p->claim_after = bk_after(h->now, BK_US_PER_S);
        peer_news(h, c->peer);
    }
}

void watch_start(struct relay_hub *h, uint32_t conn) {
    if (h->conn[conn].watching)
        return;
    h->conn[conn].watching = true;
    h->watchers++;
    for (uint32_t i = 0; i < h->config.conns_max; i++) {
        const struct conn *c = &h->conn[i];
        if (c->state == CONN_OPEN && c->peer != NONE && h->peer[c->peer].active == i)
            ctl_peer_present(h, conn, c, h->peer[c->peer].key);
    }
}

enum bk_err relay_hub_remote_present(struct relay_hub *h, uint32_t from,
                                     const uint8_t key[RELAY_HUB_KEY_LEN]) {
    uint32_t i = peer_find(h, key);
    if ((i == NONE || h->peer[i].remote == NONE) &&
        h->stats.remote_keys >= h->config.remote_keys_max)
        return BK_ERR_FULL;
    i = peer_get(h, key);
    if (i == NONE)
        return BK_ERR_FULL;
    struct peer *p = &h->peer[i];
    if (p->remote == NONE)
        h->stats.remote_keys++;
    p->remote = from;
    p->remote_newer = true;
    return BK_OK;
}

static void remote_forget(struct relay_hub *h, uint32_t i) {
    struct peer *p = &h->peer[i];
    bool newer = p->remote_newer;
    p->remote = NONE;
    p->remote_newer = false;
    h->stats.remote_keys--;
    if (p->active == NONE)
        peer_gone(h, i); /* which keeps it while news or senders hang on it */
    else if (newer)
        peer_news(h, i); /* ours again: the others have forgotten us meanwhile */
}

void relay_hub_remote_gone(struct relay_hub *h, uint32_t from,
                           const uint8_t key[RELAY_HUB_KEY_LEN]) {
    uint32_t i = peer_find(h, key);
    if (i != NONE && h->peer[i].remote == from)
        remote_forget(h, i);
}

void relay_hub_remote_down(struct relay_hub *h, uint32_t from) {
    for (uint32_t i = 1; i < h->peers_max; i++)
        if (h->peer[i].used && h->peer[i].remote == from)
            remote_forget(h, i);
}

/* One piece of news, or none if everything is as the others know it already. */
static bool news_event(struct relay_hub *h, struct relay_hub_event *out) {
    while (h->news_first != NONE) {
        uint32_t i = h->news_first;
        struct peer *p = &h->peer[i];
        h->news_first = p->next;
        p->in_news = false;
        bool ours = peer_is_ours(p);
        bool tell = ours || p->announced; /* a present is repeated: it is a new claim */
        if (tell) {
            *out = (struct relay_hub_event){.type = ours ? RELAY_HUB_PRESENT : RELAY_HUB_GONE};
            memcpy(out->key, p->key, sizeof out->key);
            p->announced = ours;
        }
        peer_release(h, i);
        if (tell)
            return true;
    }
    return false;
}

static bool forward_event(struct relay_hub *h, struct relay_hub_event *out) {
    uint32_t packet = packets_pop(h, &h->forward);
    if (packet == NONE)
        return false;
    h->forward_shown = packet;
    h->forward_chunks -= h->chunk[packet].count;
    const uint8_t *hole = chunk_data(h, packet);
    *out = (struct relay_hub_event){.type = RELAY_HUB_FORWARD};
    memcpy(&out->hub, hole + DERP_KEY_LEN, sizeof out->hub);
    memcpy(out->key, hole, DERP_KEY_LEN);
    memcpy(out->dst, hole + HOLE, DERP_KEY_LEN);
    packet_move_start(h, packet, HOLE + DERP_KEY_LEN);
    out->data = packet_flat(h, packet);
    out->len = h->chunk[packet].bytes;
    return true;
}

bool relay_hub_next_event(struct relay_hub *h, struct relay_hub_event *out) {
    if (h->forward_shown != NONE) {
        packet_free(h, h->forward_shown);
        h->forward_shown = NONE;
    }
    return news_event(h, out) || pressure_event(h, out) || forward_event(h, out);
}
