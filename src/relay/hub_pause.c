/* SPDX-License-Identifier: MIT
 * Who waits: senders to a congested receiver are paused instead of dropped, here directly and on
 * other hubs by events. The rules stand in hub.h. */
#include "relay/hub_int.h"

#include <string.h>

/* How much of a bulk queue one sender may hold before it is paused: half of its fair share. */
static uint32_t pause_mark(const struct relay_hub *h, const struct lane *lane, bool packets) {
    struct lane_limit limit = lane_limit(h, LANE_BULK);
    uint32_t all = packets ? limit.packets : limit.chunks;
    return all / 2 / (lane->edges > 0 ? lane->edges : 1);
}

static bool over_mark(const struct relay_hub *h, const struct edge *e, uint32_t eighths) {
    const struct flow *f = &e->flow[LANE_BULK];
    const struct lane *lane = &h->conn[e->dst].lane[LANE_BULK];
    return (uint64_t)f->chunks * 8 > (uint64_t)pause_mark(h, lane, false) * eighths ||
           (uint64_t)f->packets * 8 > (uint64_t)pause_mark(h, lane, true) * eighths;
}

void pressure_forget(struct relay_hub *h, uint32_t i) {
    struct edge *e = &h->edge[i];
    if (!e->in_news)
        return;
    e->in_news = false;
    if (e->news_prev != NONE)
        h->edge[e->news_prev].news_next = e->news_next;
    else
        h->edge_news = e->news_next;
    if (e->news_next != NONE)
        h->edge[e->news_next].news_prev = e->news_prev;
}

static void news_add(struct relay_hub *h, uint32_t i) {
    struct edge *e = &h->edge[i];
    if (e->in_news)
        return;
    e->in_news = true;
    e->news_prev = NONE;
    e->news_next = h->edge_news;
    if (e->news_next != NONE)
        h->edge[e->news_next].news_prev = i;
    h->edge_news = i;
}

/* Small enough a step that the pause stays short, large enough that it does not flicker. */
void pause_drained(struct relay_hub *h, uint32_t edge) {
    struct edge *e = &h->edge[edge];
    if (e->pauser != NONE && !over_mark(h, e, 7))
        pause_end(h, e->pauser);
    if (e->stuck && !over_mark(h, e, 4))
        e->stuck = false;
    if (e->pressed && !over_mark(h, e, 3)) {
        e->pressed = false;
        news_add(h, edge);
    }
}

bool pause_is_on(const struct conn *c) {
    return c->paused_on != NONE || c->remote_paused != NONE || c->pacing;
}

void pause_note(struct relay_hub *h, uint32_t conn, uint32_t dst) {
    struct conn *c = &h->conn[conn];
    if (c->last_dst != dst && c->last_dst != NONE)
        c->mixed_until = bk_after(h->now, MIXED_US);
    c->last_dst = dst;
}

static void pause_start(struct relay_hub *h, uint32_t conn, int64_t first_us) {
    struct conn *c = &h->conn[conn];
    c->pause_until = bk_after(h->now, first_us);
    c->pause_end = bk_after(h->now, h->config.pause_us * PAUSE_STRETCH);
    h->stats.pauses++;
    c->retell = true;
    conn_wake(h, conn);
    conn_schedule(h, conn);
}

void pause_consider(struct relay_hub *h, uint32_t conn, uint32_t edge) {
    struct conn *c = &h->conn[conn];
    struct edge *e = &h->edge[edge];
    if (pause_is_on(c) || e->pauser != NONE || e->stuck || bk_before(h->now, c->mixed_until))
        return;
    if (!over_mark(h, e, 8))
        return;
    e->pauser = conn;
    c->paused_on = edge;
    c->taken_at_pause = h->conn[e->dst].taken;
    pause_start(h, conn, h->config.pause_us);
}

/* The other hub hears of it late and has more under way, so half the mark must do. */
void pressure_consider(struct relay_hub *h, uint32_t edge) {
    struct edge *e = &h->edge[edge];
    if (e->pressed || h->peer[e->src].remote == NONE || e->src == ANONYMOUS || !over_mark(h, e, 4))
        return;
    e->pressed = true;
    news_add(h, edge);
}

bool pressure_event(struct relay_hub *h, struct relay_hub_event *out) {
    uint32_t i = h->edge_news;
    if (i == NONE)
        return false;
    const struct edge *e = &h->edge[i];
    pressure_forget(h, i);
    *out = (struct relay_hub_event){
        .type = RELAY_HUB_PRESSURE, .hub = h->peer[e->src].remote, .on = e->pressed};
    memcpy(out->key, h->peer[e->src].key, sizeof out->key);
    memcpy(out->dst, h->peer[h->conn[e->dst].peer].key, sizeof out->dst);
    return true;
}

void pause_burst(struct relay_hub *h, uint32_t conn, uint32_t bytes) {
    struct conn *c = &h->conn[conn];
    c->burst += bytes;
    if (c->burst < FORWARD_BURST || pause_is_on(c))
        return;
    c->burst = 0;
    c->pacing = true;
    c->retell = true;
    c->pause_until = bk_after(h->now, FORWARD_BREATH_US);
    conn_wake(h, conn);
    conn_schedule(h, conn);
}

static void remote_pause(struct relay_hub *h, uint32_t conn, uint32_t dst) {
    struct conn *c = &h->conn[conn];
    if ((pause_is_on(c) && !c->pacing) || c->remote_stuck == dst ||
        bk_before(h->now, c->mixed_until))
        return;
    c->pacing = false;
    c->remote_paused = dst;
    pause_start(h, conn, h->config.pause_us * PAUSE_STRETCH);
}

void relay_hub_remote_pressure(struct relay_hub *h, const uint8_t src[RELAY_HUB_KEY_LEN],
                               const uint8_t dst[RELAY_HUB_KEY_LEN], bool on, struct bk_time now) {
    h->now = bk_later(h->now, now);
    uint32_t from = peer_find(h, src), to = peer_find(h, dst);
    if (from == NONE || to == NONE || h->peer[from].active == NONE)
        return;
    uint32_t conn = h->peer[from].active;
    struct conn *c = &h->conn[conn];
    if (on) {
        remote_pause(h, conn, to);
        return;
    }
    if (c->remote_stuck == to)
        c->remote_stuck = NONE;
    if (c->remote_paused == to)
        pause_end(h, conn);
}

void pause_end(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    bk_assert(pause_is_on(c));
    if (c->paused_on != NONE) {
        bk_assert(h->edge[c->paused_on].pauser == conn);
        h->edge[c->paused_on].pauser = NONE;
    }
    c->paused_on = c->remote_paused = NONE;
    c->pacing = false;
    c->pause_until = BK_NEVER;
    conn_wake(h, conn);
    conn_schedule(h, conn);
}

/* The time of a pause is up. A receiver that has taken something meanwhile earns its sender some
 * more patience; one that has not is stuck. */
void pause_advance(struct relay_hub *h, uint32_t conn) {
    struct conn *c = &h->conn[conn];
    if (!bk_due(c->pause_until, h->now))
        return;
    if (c->pacing) {
        pause_end(h, conn);
        return;
    }
    if (c->remote_paused != NONE) {
        c->remote_stuck = c->remote_paused;
        pause_end(h, conn);
        return;
    }
    struct edge *e = &h->edge[c->paused_on];
    uint64_t taken = h->conn[e->dst].taken;
    if (taken != c->taken_at_pause && bk_before(h->now, c->pause_end)) {
        c->taken_at_pause = taken;
        c->pause_until = bk_earlier(bk_after(h->now, h->config.pause_us), c->pause_end);
        return;
    }
    e->stuck = true;
    pause_end(h, conn);
}
