/* SPDX-License-Identifier: MIT */
#include "lab/fabric.h"

#include "base/assert.h"
#include "lab/box.h"
#include "lab/cut.h"
#include "lab/fragment.h"
#include "lab/icmp.h"
#include "lab/link.h"
#include "lab/route.h"
#include "lab/router.h"
#include "lab/sight.h"
#include "lab/transit.h"
#include <string.h>

static enum bk_err add_boxes(struct fabric *f) {
    for (size_t i = 0; i < f->topology->node_count; i++) {
        struct fabric_box *box = &f->boxes[i];
        box->fabric = f;
        box->node = &f->topology->nodes[i];
        box->armed = BK_NEVER;
        for (int d = 0; d < TOPOLOGY_DIRECTIONS; d++)
            box->link[d].config = box->node->link[d];
        if (box->node->kind != TOPOLOGY_NAT)
            continue;
        enum bk_err err = box_init(f, box);
        if (err != BK_OK)
            return err;
    }
    return BK_OK;
}

enum bk_err fabric_init(struct fabric *f, const struct topology *topology,
                        const struct bk_alloc *alloc, fabric_deliver *deliver, void *ctx) {
    memset(f, 0, sizeof *f);
    f->topology = topology;
    f->alloc = *alloc;
    f->deliver = deliver;
    f->ctx = ctx;
    rng_seed(&f->random, topology->seed);
    struct bk_rng rng = rng_from_seeded(&f->random);
    size_t nodes = topology->node_count;
    f->boxes = alloc->get(alloc->ctx, nodes * sizeof *f->boxes);
    enum bk_err err = f->boxes == NULL ? BK_ERR_NO_MEMORY : BK_OK;
    if (err == BK_OK)
        err = table_init(&f->routes, sizeof(struct route_key), nodes * TOPOLOGY_ADDRESSES_MAX, &rng,
                         alloc);
    if (err == BK_OK)
        err = heap_init(&f->timers, nodes * (TOPOLOGY_DIRECTIONS + 1), alloc);
    if (err == BK_OK)
        err = add_boxes(f);
    if (err == BK_OK)
        err = route_add_all(f);
    if (err != BK_OK)
        fabric_fini(f);
    return err;
}

void fabric_fini(struct fabric *f) {
    for (size_t i = 0; f->boxes != NULL && i < f->topology->node_count; i++) {
        for (int d = 0; d < TOPOLOGY_DIRECTIONS; d++) {
            struct transit *t;
            while ((t = link_pop(&f->boxes[i].link[d], BK_NEVER)) != NULL)
                transit_free(f, t);
        }
        box_fini(&f->boxes[i]);
    }
    f->alloc.put(f->alloc.ctx, f->boxes);
    table_fini(&f->routes);
    heap_fini(&f->timers);
    memset(f, 0, sizeof *f);
}

static void on_mapping(void *ctx, const struct nat_mapping_view *mapping, bool made) {
    const struct fabric_box *box = ctx;
    const struct fabric_watcher *watcher = box->fabric->watcher;
    if (watcher->mapping != NULL)
        watcher->mapping(watcher->ctx, (int)(box - box->fabric->boxes), mapping, made);
}

void fabric_watch(struct fabric *f, const struct fabric_watcher *watcher) {
    f->watcher = watcher;
    for (size_t i = 0; i < f->topology->node_count; i++)
        if (f->boxes[i].nat != NULL)
            nat_look_on(f->boxes[i].nat, watcher == NULL ? NULL : on_mapping, &f->boxes[i]);
}

static bool is_multicast(const struct bk_ip *ip) {
    return ip->family == BK_IPV6 ? ip->bytes[0] == 0xff : ip->bytes[0] >= 224;
}

/* Puts a packet on the link's queue. false: no room or no memory. */
static bool park(struct fabric *f, struct fabric_link *link, struct transit *t) {
    if (f->queued_bytes + t->len > FABRIC_QUEUED_MAX)
        return false;
    struct transit *kept = transit_can_wait(t) ? t : transit_copy(f, t);
    if (kept == NULL)
        return false;
    f->queued_bytes += kept->len;
    bool was_empty = link->first == NULL;
    size_t id = (size_t)kept->node * TOPOLOGY_DIRECTIONS + (size_t)kept->direction;
    enum topology_direction direction = kept->direction;
    kept->place = direction == TOPOLOGY_UP ? FABRIC_IN_SEGMENT : FABRIC_AT_NODE;
    kept->node = direction == TOPOLOGY_UP ? f->boxes[kept->node].node->parent : kept->node;
    link_push(link, kept);
    if (was_empty)
        heap_set(&f->timers, (uint32_t)id, link_deadline(link));
    return true;
}

/* Returns false when the packet is on a queue now and no longer the caller's. */
static bool cross_link(struct fabric *f, struct transit *t, struct bk_time now) {
    struct fabric_link *link = &f->boxes[t->node].link[t->direction];
    if (t->wire_len > f->boxes[t->node].node->mtu && fragment_allowed(t)) {
        fragment_send(f, t); /* the pieces come here one by one */
        t->place = FABRIC_GONE;
        return true;
    }
    if (t->path_len < FABRIC_PATH_MAX)
        t->path[t->path_len++] = t->node;
    t->place = FABRIC_GONE;
    if (t->direction == TOPOLOGY_UP)
        sight_crossed(f, t);
    if (f->cut_count > 0 && cut_drops(f, t)) {
        sight_dropped(f, t, LAB_DROP_CUT, t->node);
        return true;
    }
    switch (link_enter(link, t, &f->random, now)) {
    case LINK_PASS:
        t->place = t->direction == TOPOLOGY_UP ? FABRIC_IN_SEGMENT : FABRIC_AT_NODE;
        t->node = t->direction == TOPOLOGY_UP ? f->boxes[t->node].node->parent : t->node;
        return true;
    case LINK_WAIT:
        if (park(f, link, t))
            return !transit_can_wait(t); /* it was copied: the caller's is done with */
        sight_dropped(f, t, LAB_DROP_QUEUE_FULL, t->node);
        return true;
    case LINK_FULL:
        sight_dropped(f, t, LAB_DROP_QUEUE_FULL, t->node);
        return true;
    case LINK_LOST:
        sight_dropped(f, t, LAB_DROP_LOST, t->node);
        return true;
    }
    return true;
}

/* Delivers to every host of the LAN but the sender. */
static void flood(struct fabric *f, const struct transit *t) {
    if (t->node == TOPOLOGY_NOWHERE || !t->parsed || t->packet.header.flow.proto != NAT_UDP)
        return;
    for (size_t i = 0; i < f->topology->node_count; i++) {
        const struct topology_node *n = &f->topology->nodes[i];
        if (n->parent != t->node || n->kind != TOPOLOGY_HOST || cut_passed(t, (int)i))
            continue;
        struct transit *copy = transit_copy(f, t);
        if (copy == NULL)
            return;
        transit_send(copy, (int)i, TOPOLOGY_DOWN);
        router_send(f, copy);
    }
}

static bool is_broadcast(const struct fabric *f, const struct transit *t) {
    if (t->dst.family != BK_IPV4 || t->node == TOPOLOGY_NOWHERE)
        return false;
    const struct topology_node *n = &f->topology->nodes[t->node];
    for (size_t i = 0; i < n->inside_count; i++) {
        const struct topology_prefix *net = &n->inside[i];
        if (net->bits > 30 || !topology_contains(net, &t->dst))
            continue;
        uint32_t host = 0xffffffffU >> net->bits, low = 0;
        for (size_t b = 0; b < 4; b++)
            low = low << 8 | t->dst.bytes[b];
        if ((low & host) == host)
            return true;
    }
    return false;
}

/* Somewhere in a segment, looking for the way on. */
static void in_segment(struct fabric *f, struct transit *t, struct bk_time now) {
    int segment = t->node, next;
    t->place = FABRIC_GONE;
    if (is_multicast(&t->dst) || is_broadcast(f, t)) {
        flood(f, t);
        return;
    }
    if (segment == TOPOLOGY_NOWHERE && t->path_len > 0 && !router_hop(f, t, segment, TOPOLOGY_DOWN))
        return;
    next = route_find(f, segment, &t->dst);
    if (next != TOPOLOGY_NOWHERE) {
        if (router_fits(f, t, next, segment, TOPOLOGY_UP))
            transit_send(t, next, TOPOLOGY_DOWN);
        return;
    }
    if (segment == TOPOLOGY_NOWHERE || t->direction == TOPOLOGY_DOWN) {
        sight_dropped(f, t, LAB_DROP_NO_ROUTE, segment);
        return;
    }
    if (router_is(f, segment, &t->dst))
        router_addressed(f, t);
    else
        box_through(f, t, segment, NAT_INSIDE, now);
}

static void at_node(struct fabric *f, struct transit *t, struct bk_time now) {
    sight_crossed(f, t);
    if (f->boxes[t->node].nat != NULL) {
        box_through(f, t, t->node, NAT_OUTSIDE, now);
        return;
    }
    t->place = FABRIC_GONE;
    if (!f->deliver(f->ctx, t->node, t->bytes, t->len)) {
        sight_dropped(f, t, LAB_DROP_HOST_BUSY, t->node);
        return;
    }
    f->counters.delivered++;
    f->counters.delivered_bytes += t->len - FABRIC_VNET_LEN;
}

/* Moves one packet until it is gone or has to wait. */
static void carry(struct fabric *f, struct transit *t, struct bk_time now) {
    while (t->place != FABRIC_GONE) {
        switch (t->place) {
        case FABRIC_AT_LINK:
            if (!cross_link(f, t, now))
                return;
            break;
        case FABRIC_IN_SEGMENT:
            in_segment(f, t, now);
            break;
        case FABRIC_AT_NODE:
            at_node(f, t, now);
            break;
        case FABRIC_GONE:
            break;
        }
    }
    transit_free(f, t);
}

/* The answers that carrying made; RFC 1122 section 3.2.2 keeps them from making more of them. */
static void carry_answers(struct fabric *f, struct bk_time now) {
    struct transit *t;
    while ((t = f->answers) != NULL) {
        f->answers = t->next;
        t->next = NULL;
        carry(f, t, now);
    }
}

void fabric_packet(struct fabric *f, int host, uint8_t *bytes, size_t len, struct bk_time now) {
    f->now = now;
    f->counters.packets++;
    if (len <= FABRIC_VNET_LEN) {
        sight_malformed(f);
        return;
    }
    f->counters.bytes += len - FABRIC_VNET_LEN;
    struct transit t = {.place = FABRIC_AT_LINK,
                        .node = host,
                        .direction = TOPOLOGY_UP,
                        .bytes = bytes,
                        .len = len};
    if (!transit_parse(&t)) {
        sight_malformed(f);
        return;
    }
    transit_measure(&t);
    carry(f, &t, now);
    carry_answers(f, now);
}

static void advance_link(struct fabric *f, uint32_t id, struct bk_time now) {
    struct fabric_link *link = &f->boxes[id / TOPOLOGY_DIRECTIONS].link[id % TOPOLOGY_DIRECTIONS];
    struct transit *t = link_pop(link, now);
    heap_set(&f->timers, id, link_deadline(link));
    if (t == NULL)
        return;
    f->queued_bytes -= t->len;
    carry(f, t, now);
    carry_answers(f, now);
}

void fabric_advance(struct fabric *f, struct bk_time now) {
    uint32_t id, links = (uint32_t)(f->topology->node_count * TOPOLOGY_DIRECTIONS);
    f->now = now;
    while (heap_take_due(&f->timers, now, &id)) {
        if (id < links)
            advance_link(f, id, now);
        else {
            box_advance(f, (int)(id - links), now);
            carry_answers(f, now);
        }
    }
}

struct bk_time fabric_deadline(const struct fabric *f) {
    return heap_earliest(&f->timers);
}

bool fabric_wants_superpackets(const struct fabric *f) {
    for (size_t i = 0; i < f->topology->node_count; i++)
        for (int d = 0; d < TOPOLOGY_DIRECTIONS; d++)
            if (f->boxes[i].link[d].config.loss_ppm > 0 || f->boxes[i].link[d].config.rate_bps > 0)
                return false;
    for (size_t i = 0; i < f->topology->node_count; i++)
        if (f->boxes[i].nat != NULL && nat_get_config(f->boxes[i].nat)->alg != NAT_ALG_OFF)
            return false;
    return true;
}

static void set_link(struct topology_link *link, const struct topology_change *c, int direction) {
    const struct topology_link *want = &c->link[direction];
    link->delay_us = c->set_delay ? want->delay_us : link->delay_us;
    link->jitter_us = c->set_jitter ? want->jitter_us : link->jitter_us;
    link->loss_ppm = c->set_loss ? want->loss_ppm : link->loss_ppm;
    link->rate_bps = c->set_rate ? want->rate_bps : link->rate_bps;
    link->queue_bytes = c->set_queue ? want->queue_bytes : link->queue_bytes;
}

static enum bk_err readdress(struct fabric *f, const struct topology_change *c) {
    struct nat *nat = f->boxes[c->node].nat;
    const struct nat_config *config = nat_get_config(nat);
    for (size_t i = 0; i < config->external_count; i++) {
        struct bk_ip old = config->external[i];
        if (old.family != c->ip.family)
            continue;
        enum bk_err err = route_move(f, c->node, &old, &c->ip);
        return err != BK_OK ? err : nat_set_external(nat, i, &c->ip);
    }
    return BK_ERR_NOT_FOUND;
}

enum bk_err fabric_change(struct fabric *f, const struct topology_change *c) {
    switch (c->kind) {
    case TOPOLOGY_CUT:
    case TOPOLOGY_FLAP:
        return cut_add(f, c);
    case TOPOLOGY_RESTORE:
        cut_restore(f, c);
        return BK_OK;
    case TOPOLOGY_SET:
        for (int d = 0; d < TOPOLOGY_DIRECTIONS; d++)
            set_link(&f->boxes[c->node].link[d].config, c, d);
        return BK_OK;
    case TOPOLOGY_REBOOT:
        nat_reboot(f->boxes[c->node].nat);
        return BK_OK;
    case TOPOLOGY_EVICT:
        (void)nat_evict(f->boxes[c->node].nat, c->any ? NAT_EVICT_RANDOM : NAT_EVICT_OLDEST,
                        c->count);
        return BK_OK;
    case TOPOLOGY_EXHAUST:
        nat_exhaust(f->boxes[c->node].nat, !c->off);
        return BK_OK;
    case TOPOLOGY_LIMIT:
        nat_limit_rate(f->boxes[c->node].nat, c->count);
        return BK_OK;
    case TOPOLOGY_READDRESS:
        return readdress(f, c);
    }
    return BK_ERR_ARGUMENT;
}
