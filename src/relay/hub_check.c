/* SPDX-License-Identifier: MIT
 * What must hold between calls. Tests and fuzzing run this after every step. */
#include "relay/hub_int.h"

static uint32_t packets_count(const struct relay_hub *h, const struct packets *q,
                              uint32_t *packets) {
    uint32_t chunks = 0;
    for (uint32_t p = q->first; p != NONE; p = h->chunk[p].next_packet) {
        uint32_t count = 0, bytes = 0;
        for (uint32_t i = p; i != NONE; i = h->chunk[i].next) {
            bk_assert(h->chunk[i].off <= h->chunk[i].end && h->chunk[i].end <= RELAY_HUB_CHUNK);
            bytes += (uint32_t)(h->chunk[i].end - h->chunk[i].off);
            count++;
        }
        bk_assert(count == h->chunk[p].count && bytes == h->chunk[p].bytes);
        bk_assert(h->chunk[p].next_packet != NONE || q->last == p);
        chunks += count;
        (*packets)++;
    }
    return chunks;
}

static uint32_t check_lanes(const struct relay_hub *h, uint32_t conn) {
    const struct conn *c = &h->conn[conn];
    uint32_t all = 0;
    for (int kind = 0; kind < LANES; kind++) {
        uint32_t edges = 0, packets = 0, chunks = 0;
        for (uint32_t e = c->edges; e != NONE; e = h->edge[e].dst_next) {
            const struct flow *f = &h->edge[e].flow[kind];
            uint32_t n = 0, k = packets_count(h, &f->queue, &n);
            bk_assert(h->edge[e].dst == conn && n == f->packets && k == f->chunks);
            edges += n > 0;
            packets += n;
            chunks += k;
        }
        bk_assert(c->lane[kind].edges == edges && c->lane[kind].packets == packets);
        bk_assert(c->lane[kind].chunks == chunks && (c->lane[kind].cur == NONE) == (edges == 0));
        all += chunks;
    }
    bk_assert(c->lane[LANE_BULK].packets <= h->config.queue_packets);
    bk_assert(c->lane[LANE_URGENT].packets <= h->config.urgent_packets);
    return all;
}

static uint32_t check_conn(const struct relay_hub *h, uint32_t conn) {
    const struct conn *c = &h->conn[conn];
    uint32_t packets = 0;
    uint32_t chunks = check_lanes(h, conn) + packets_count(h, &c->staged, &packets);
    if (c->in != NONE)
        chunks += h->chunk[c->in].count;
    if (c->ctl != NONE)
        chunks += h->chunk[c->ctl].count;
    bk_assert(c->state != CONN_OPEN || c->peer != NONE);
    bk_assert(c->paused_on == NONE || h->edge[c->paused_on].pauser == conn);
    bk_assert(pause_is_on(c) != bk_is_never(c->pause_until));
    bk_assert(c->paused_on == NONE || c->remote_paused == NONE);
    bk_assert(c->listed || c->state == CONN_FREE || c->told_write || !conn_has_output(c));
    bk_assert(c->listed || c->state == CONN_FREE || c->told_read == relay_hub_wants_read(h, conn));
    return chunks;
}

static void check_peers(const struct relay_hub *h) {
    uint32_t keys = 0, remote = 0, duplicates = 0;
    for (uint32_t i = 1; i < h->peers_max; i++) {
        const struct peer *p = &h->peer[i];
        if (!p->used)
            continue;
        bk_assert(peer_find(h, p->key) == i);
        bk_assert(peer_is_here(p) || p->edges != NONE || p->in_news);
        bk_assert(!p->remote_newer || p->remote != NONE);
        keys += p->active != NONE;
        remote += p->remote != NONE;
        for (uint32_t c = p->active; c != NONE; c = h->conn[c].same_next) {
            bk_assert(h->conn[c].peer == i);
            duplicates += c != p->active;
        }
    }
    bk_assert(keys == h->stats.keys && remote == h->stats.remote_keys);
    bk_assert(duplicates == h->stats.duplicate_conns);
}

void relay_hub_check(const struct relay_hub *h) {
    uint32_t conns = 0, packets = 0;
    uint32_t chunks = packets_count(h, &h->forward, &packets);
    bk_assert(chunks == h->forward_chunks);
    if (h->forward_shown != NONE)
        chunks += h->chunk[h->forward_shown].count;
    for (uint32_t i = 0; i < h->config.conns_max; i++) {
        if (h->conn[i].state == CONN_FREE)
            continue;
        conns++;
        chunks += check_conn(h, i);
    }
    bk_assert(conns == h->stats.conns);
    bk_assert(chunks == h->chunks - h->chunks_free);
    check_peers(h);
}
