/* SPDX-License-Identifier: MIT
 * One packet over one direction of one link: cut, loss, rate, delay, jitter, duplication. */
#include "sim/state.h"

static bool chance(struct world *w, uint32_t ppm) {
    return ppm > 0 && rng_below(&w->rng, 1000000) < ppm;
}

/* When the rate limit lets the packet out. false: the queue is too long, it is dropped. */
static bool queue(struct world *w, struct direction *d, size_t len, struct bk_time *out) {
    enum { HEADERS = 28, DEFAULT_QUEUE_US = 100000 };
    if (d->link.rate_bps == 0) {
        *out = w->now;
        return true;
    }
    struct bk_time start = bk_later(w->now, d->busy_until);
    int64_t limit = d->link.queue_us > 0 ? d->link.queue_us : DEFAULT_QUEUE_US;
    if (bk_elapsed_us(w->now, start) > limit)
        return false;
    uint64_t bits = ((uint64_t)len + HEADERS) * 8;
    *out = bk_after(start, (int64_t)(bits * 1000000 / d->link.rate_bps));
    d->busy_until = *out;
    return true;
}

static struct bk_time arrival(struct world *w, struct direction *d, struct bk_time leaves) {
    int64_t delay = d->link.delay_us;
    if (d->link.jitter_us > 0)
        delay += (int64_t)(rng_u64(&w->rng) % ((uint64_t)d->link.jitter_us + 1));
    struct bk_time when = bk_after(leaves, delay);
    if (d->link.keep_order)
        when = bk_later(when, d->last_arrival);
    d->last_arrival = bk_later(when, d->last_arrival);
    return when;
}

/* TCP would throw the copy of a segment away, so we make none. */
static void duplicate(struct world *w, struct direction *d, const struct sim_packet *p,
                      struct bk_time leaves) {
    if (p->kind != PACKET_DATAGRAM || !chance(w, d->link.duplicate_ppm))
        return;
    uint32_t copy = packet_take(w);
    if (copy == SIM_NONE)
        return;
    w->packets[copy] = *p;
    w->counters.duplicated++;
    packet_schedule(w, copy, arrival(w, d, leaves));
}

/* The IP packet's length: RFC 791 section 3.1, RFC 8200 section 3, RFC 768. */
static bool fits(const struct world_link *link, const struct sim_packet *p) {
    uint32_t headers = (p->header.flow.dst.ip.family == BK_IPV6 ? 40 : 20) + 8;
    return link->mtu == 0 || p->kind != PACKET_DATAGRAM || p->len + headers <= link->mtu;
}

void link_transmit(struct world *w, node_id node, enum way way, uint32_t index) {
    struct node *n = &w->nodes[node];
    struct direction *d = &n->way[way];
    struct sim_packet *p = &w->packets[index];
    struct bk_time leaves;
    p->at = way == WAY_UP ? n->parent : node;
    p->way = way;
    if (p->path_len < PATH_MAX_NODES)
        p->path[p->path_len++] = (uint16_t)node;
    if (cut_applies(n->cut, p->header.flow.proto) || (w->path_cut_count > 0 && cut_on_path(w, p)))
        route_lose(w, index, TRACE_CUT);
    else if (!fits(&d->link, p))
        route_lose(w, index, TRACE_TOO_BIG);
    else if (chance(w, d->link.loss_ppm))
        route_lose(w, index, TRACE_LOST);
    else if (!queue(w, d, p->len, &leaves))
        route_lose(w, index, TRACE_QUEUE_FULL);
    else {
        packet_schedule(w, index, arrival(w, d, leaves));
        duplicate(w, d, p, leaves);
    }
}
