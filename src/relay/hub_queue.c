/* SPDX-License-Identifier: MIT
 * Who gets through to a receiver: pairs, deficit round robin (Shreedhar and Varghese), dropping. */
#include "relay/hub_int.h"

#include <string.h>

bool edge_is_idle(const struct edge *e) {
    return e->flow[LANE_BULK].packets == 0 && e->flow[LANE_URGENT].packets == 0;
}

void count_drop(struct relay_hub *h, enum relay_hub_drop why, bool urgent) {
    h->stats.dropped[why][urgent ? 1 : 0]++;
}

bool packet_is_urgent(const struct relay_hub *h, uint32_t packet, uint32_t skip) {
    const struct chunk *c = &h->chunk[packet];
    size_t at = (size_t)c->off + skip;
    return derp_is_urgent(chunk_data(h, packet) + at, c->end > at ? c->end - at : 0);
}

static void pair_key(uint32_t src, uint32_t dst, uint8_t out[8]) {
    memcpy(out, &src, 4);
    memcpy(out + 4, &dst, 4);
}

static void age_unlink(struct relay_hub *h, uint32_t i) {
    struct edge *e = &h->edge[i];
    if (e->age_prev != NONE)
        h->edge[e->age_prev].age_next = e->age_next;
    else
        h->age_first = e->age_next;
    if (e->age_next != NONE)
        h->edge[e->age_next].age_prev = e->age_prev;
    else
        h->age_last = e->age_prev;
}

static void age_append(struct relay_hub *h, uint32_t i) {
    struct edge *e = &h->edge[i];
    e->age_prev = h->age_last;
    e->age_next = NONE;
    if (h->age_last != NONE)
        h->edge[h->age_last].age_next = i;
    else
        h->age_first = i;
    h->age_last = i;
}

static void edge_link(struct relay_hub *h, uint32_t i) {
    struct edge *e = &h->edge[i];
    uint32_t *src_head = &h->peer[e->src].edges;
    uint32_t *dst_head = &h->conn[e->dst].edges;
    e->src_prev = e->dst_prev = NONE;
    e->src_next = *src_head;
    e->dst_next = *dst_head;
    if (e->src_next != NONE)
        h->edge[e->src_next].src_prev = i;
    if (e->dst_next != NONE)
        h->edge[e->dst_next].dst_prev = i;
    *src_head = *dst_head = i;
    age_append(h, i);
}

static void edge_unlink(struct relay_hub *h, uint32_t i) {
    struct edge *e = &h->edge[i];
    if (e->src_prev != NONE)
        h->edge[e->src_prev].src_next = e->src_next;
    else
        h->peer[e->src].edges = e->src_next;
    if (e->src_next != NONE)
        h->edge[e->src_next].src_prev = e->src_prev;
    if (e->dst_prev != NONE)
        h->edge[e->dst_prev].dst_next = e->dst_next;
    else
        h->conn[e->dst].edges = e->dst_next;
    if (e->dst_next != NONE)
        h->edge[e->dst_next].dst_prev = e->dst_prev;
    age_unlink(h, i);
}

/* An edge that goes while it presses says nothing: the pause on the other hub ends by time. */
void edge_free(struct relay_hub *h, uint32_t i) {
    struct edge *e = &h->edge[i];
    bk_assert(edge_is_idle(e));
    pressure_forget(h, i);
    if (e->pauser != NONE)
        pause_end(h, e->pauser);
    uint8_t key[8];
    pair_key(e->src, e->dst, key);
    bk_assert(table_remove(&h->pairs, key));
    edge_unlink(h, i);
    e->src = NONE;
    e->age_next = h->edge_free;
    h->edge_free = i;
}

/* All pairs are in use: the idle one that has been silent longest is forgotten. It is looked for
 * among the oldest few only, so that a full table costs a bounded time. */
static bool edge_forget_oldest(struct relay_hub *h) {
    enum { LOOK_AT = 32 };
    uint32_t i = h->age_first;
    for (int n = 0; n < LOOK_AT && i != NONE; n++) {
        uint32_t next = h->edge[i].age_next;
        uint32_t src = h->edge[i].src;
        if (edge_is_idle(&h->edge[i])) {
            edge_free(h, i);
            peer_release(h, src);
            return true;
        }
        age_unlink(h, i); /* busy: it is not old */
        age_append(h, i);
        i = next;
    }
    return false;
}

static const struct flow flow_empty = {.queue = {NONE, NONE}, .next = NONE, .prev = NONE};

uint32_t edge_get(struct relay_hub *h, uint32_t src, uint32_t dst) {
    uint8_t key[8];
    uint32_t i;
    pair_key(src, dst, key);
    if (table_get(&h->pairs, key, &i)) {
        if (h->age_last != i) {
            age_unlink(h, i);
            age_append(h, i);
        }
        return i;
    }
    if (h->edge_free == NONE && !edge_forget_oldest(h))
        return NONE;
    i = h->edge_free;
    h->edge_free = h->edge[i].age_next;
    h->edge[i] =
        (struct edge){.src = src, .dst = dst, .pauser = NONE, .flow = {flow_empty, flow_empty}};
    bk_assert(table_put(&h->pairs, key, i) == BK_OK);
    edge_link(h, i);
    return i;
}

/* The edge's first packet in this lane puts it at the end of the ring; the last one takes it out.
 */
static void ring_add(struct relay_hub *h, struct lane *lane, enum lane_kind kind, uint32_t i) {
    struct flow *f = &h->edge[i].flow[kind];
    f->deficit = 0;
    if (lane->cur == NONE) {
        lane->cur = f->next = f->prev = i;
    } else {
        f->next = lane->cur;
        f->prev = h->edge[lane->cur].flow[kind].prev;
        h->edge[f->prev].flow[kind].next = i;
        h->edge[f->next].flow[kind].prev = i;
    }
    lane->edges++;
}

static void ring_remove(struct relay_hub *h, struct lane *lane, enum lane_kind kind, uint32_t i) {
    struct flow *f = &h->edge[i].flow[kind];
    h->edge[f->prev].flow[kind].next = f->next;
    h->edge[f->next].flow[kind].prev = f->prev;
    if (lane->cur == i)
        lane->cur = f->next == i ? NONE : f->next;
    lane->edges--;
}

static uint32_t flow_pop(struct relay_hub *h, uint32_t edge, enum lane_kind kind) {
    struct edge *e = &h->edge[edge];
    struct flow *f = &e->flow[kind];
    struct lane *lane = &h->conn[e->dst].lane[kind];
    uint32_t packet = packets_pop(h, &f->queue);
    uint32_t count = h->chunk[packet].count;
    f->packets--;
    f->chunks -= count;
    lane->packets--;
    lane->chunks -= count;
    if (f->packets == 0)
        ring_remove(h, lane, kind, edge);
    return packet;
}

static void flow_push(struct relay_hub *h, uint32_t edge, enum lane_kind kind, uint32_t packet) {
    struct edge *e = &h->edge[edge];
    struct flow *f = &e->flow[kind];
    struct lane *lane = &h->conn[e->dst].lane[kind];
    uint32_t count = h->chunk[packet].count;
    if (f->packets == 0)
        ring_add(h, lane, kind, edge);
    packets_push(h, &f->queue, packet);
    f->packets++;
    f->chunks += count;
    lane->packets++;
    lane->chunks += count;
}

void edge_discard(struct relay_hub *h, uint32_t edge, enum relay_hub_drop why) {
    for (int kind = 0; kind < LANES; kind++) {
        while (h->edge[edge].flow[kind].packets > 0) {
            packet_free(h, flow_pop(h, edge, (enum lane_kind)kind));
            count_drop(h, why, kind == LANE_URGENT);
        }
    }
    edge_free(h, edge);
}

/* A queue may hold what the configuration says, and at most a quarter of what the pool has left
 * (Choudhury and Hahne, dynamic thresholds): as memory gets short every queue gets shorter, and
 * those who are short already lose nothing. */
struct lane_limit lane_limit(const struct relay_hub *h, enum lane_kind kind) {
    uint32_t reserve = pool_reserve(h);
    uint32_t left = h->chunks_free > reserve ? h->chunks_free - reserve : 0;
    struct lane_limit limit = {h->config.queue_packets,
                               (uint32_t)(h->config.queue_bytes / RELAY_HUB_CHUNK)};
    if (kind == LANE_URGENT)
        limit.packets = h->config.urgent_packets;
    if (limit.chunks > left / 4 + 1)
        limit.chunks = left / 4 + 1;
    return limit;
}

/* Packets have left the edge. */
static void edge_drained(struct relay_hub *h, uint32_t edge) {
    struct edge *e = &h->edge[edge];
    pause_drained(h, edge);
    if (!edge_is_idle(e) || peer_is_here(&h->peer[e->src]))
        return;
    uint32_t src = e->src; /* the sender left while its packets were still queued */
    edge_free(h, edge);
    peer_release(h, src);
}

/* The edge that holds most of the lane once `edge` gets `more` chunks. Looks at every sender with a
 * packet in the queue; there are never more of them than queue_packets. */
static uint32_t lane_hog(const struct relay_hub *h, const struct lane *lane, enum lane_kind kind,
                         uint32_t edge, uint32_t more) {
    uint32_t hog = edge, i = lane->cur;
    const struct flow *own = &h->edge[edge].flow[kind];
    uint64_t most = ((uint64_t)own->chunks + more) << 32 | (own->packets + 1);
    for (uint32_t n = 0; n < lane->edges; n++) {
        const struct flow *f = &h->edge[i].flow[kind];
        uint64_t holds = (uint64_t)f->chunks << 32 | f->packets;
        if (i != edge && holds > most) {
            most = holds;
            hog = i;
        }
        i = f->next;
    }
    return hog;
}

/* Makes room for one more packet of `edge` by dropping from the head of whoever holds most. The
 * oldest go first because real-time traffic has no use for them. false: the new packet itself is
 * the one to drop. */
static bool lane_make_room(struct relay_hub *h, uint32_t edge, enum lane_kind kind, uint32_t need) {
    struct lane *lane = &h->conn[h->edge[edge].dst].lane[kind];
    uint32_t freed = 0;
    for (;;) {
        struct lane_limit limit = lane_limit(h, kind);
        bool packets_ok = lane->packets < limit.packets;
        /* A lane whose limit has shrunk below what it holds trades chunk for chunk: it does not
         * lose all its packets at once. */
        bool chunks_ok = lane->chunks + need <= limit.chunks || (freed > 0 && freed >= need);
        if (packets_ok && chunks_ok)
            return true;
        uint32_t hog = lane_hog(h, lane, kind, edge, need);
        if (h->edge[hog].flow[kind].packets == 0)
            return false;
        uint32_t packet = flow_pop(h, hog, kind);
        freed += h->chunk[packet].count;
        packet_free(h, packet);
        count_drop(h, RELAY_DROP_QUEUE_HEAD, kind == LANE_URGENT);
        if (hog != edge)
            edge_drained(h, hog);
    }
}

void queue_packet(struct relay_hub *h, uint32_t edge, enum lane_kind kind, uint32_t packet) {
    uint32_t dst = h->edge[edge].dst;
    if (!lane_make_room(h, edge, kind, h->chunk[packet].count)) {
        packet_free(h, packet);
        count_drop(h, RELAY_DROP_QUEUE_TAIL, kind == LANE_URGENT);
        return;
    }
    flow_push(h, edge, kind, packet);
    conn_output(h, dst);
}

/* One packet of the lane by deficit round robin: a sender whose credit does not reach for its first
 * packet gets a quantum more and the next one has its turn. */
static uint32_t lane_take(struct relay_hub *h, struct lane *lane, enum lane_kind kind,
                          uint32_t *edge) {
    for (;;) {
        uint32_t i = lane->cur;
        struct flow *f = &h->edge[i].flow[kind];
        uint32_t bytes = h->chunk[f->queue.first].bytes;
        if (f->deficit < bytes) {
            f->deficit += QUANTUM;
            lane->cur = f->next;
            continue;
        }
        f->deficit -= bytes;
        h->edge[i].delivered = true;
        *edge = i;
        return flow_pop(h, i, kind);
    }
}

uint32_t queue_take(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    bool bulk_waits = c->lane[LANE_BULK].packets > 0;
    bool urgent = c->lane[LANE_URGENT].packets > 0 && (!bulk_waits || c->urgent_run < URGENT_RUN);
    if (!urgent && !bulk_waits)
        return NONE;
    enum lane_kind kind = urgent ? LANE_URGENT : LANE_BULK;
    c->urgent_run = (uint8_t)(urgent && bulk_waits ? c->urgent_run + 1 : 0);
    uint32_t edge = NONE;
    uint32_t packet = lane_take(h, &c->lane[kind], kind, &edge);
    edge_drained(h, edge);
    h->stats.packets_out++;
    h->stats.bytes_out += h->chunk[packet].bytes - DERP_HEADER_LEN - DERP_KEY_LEN;
    return packet;
}
