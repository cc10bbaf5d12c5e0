/* SPDX-License-Identifier: MIT */
#include "lab/box.h"

#include "lab/fragment.h"
#include "lab/route.h"
#include "lab/router.h"
#include "lab/sight.h"
#include "lab/transit.h"
#include "nat/alg.h"
#include "nat/fragment.h"
#include <string.h>

enum {
    MANY_NODES = 64,
    MANY_FRAGMENTS = 8,
    SMALL_MAPPINGS = 2048,
    VERY_MANY_NODES = 512,
    TINY_MAPPINGS = 512
};

/* In a lab of many boxes each holds less, unless the file says otherwise: 13 MB each would be 13 GB
 * for a thousand, and filling them with nothing would take longer than making the hosts. */
static struct nat_config box_config(const struct fabric *f, const struct topology_node *node) {
    struct nat_config config = node->nat;
    if (f->topology->node_count > MANY_NODES && !node->tables_set) {
        bool very_many = f->topology->node_count > VERY_MANY_NODES;
        config.mappings_max = very_many ? TINY_MAPPINGS : SMALL_MAPPINGS;
        config.sessions_max = 2 * config.mappings_max;
        config.fragments_max = MANY_FRAGMENTS;
    }
    return config;
}

enum bk_err box_init(struct fabric *f, struct fabric_box *box) {
    struct nat_config config = box_config(f, box->node);
    struct bk_rng rng = rng_from_seeded(&f->random);
    return nat_new(&config, &rng, &f->alloc, &box->nat);
}

void box_fini(struct fabric_box *box) {
    if (box->fragments != NULL)
        fragments_free(box->fragments);
    nat_free(box->nat);
}

/* The box's timers run by themselves, so that mappings end when they should and not when somebody
 * happens to look. */
static void arm(struct fabric *f, int node) {
    struct fabric_box *box = &f->boxes[node];
    struct bk_time when = nat_deadline(box->nat);
    if (when.us == box->armed.us)
        return;
    box->armed = when;
    heap_set(&f->timers, (uint32_t)(f->topology->node_count * TOPOLOGY_DIRECTIONS) + (uint32_t)node,
             when);
}

/* Where a packet goes that leaves the box on side `to`, with its addresses as they are then;
 * TOPOLOGY_NOWHERE: nowhere, and that has been told. */
static int next_link(struct fabric *f, const struct transit *t, int segment, enum nat_side to,
                     const struct bk_ip *dst) {
    int next = to == NAT_OUTSIDE ? segment : route_find(f, segment, dst);
    if (next == TOPOLOGY_NOWHERE)
        sight_dropped(f, t, LAB_DROP_NO_ROUTE, segment);
    return next;
}

static void leave(struct transit *t, int next, enum nat_side to) {
    t->dst = t->packet.header.flow.dst.ip;
    transit_send(t, next, to == NAT_OUTSIDE ? TOPOLOGY_UP : TOPOLOGY_DOWN);
}

/* The gateway may make a payload longer, so it works where there is room. */
static void rewrite_payload(struct fabric *f, struct transit *t, enum nat_alg alg,
                            const struct nat_header *before) {
    if (alg == NAT_ALG_OFF || t->len > sizeof f->payload / 2)
        return;
    struct packet p = t->packet;
    p.data = f->payload + FABRIC_VNET_LEN;
    memmove(f->payload, t->bytes, t->len); /* by a second box they are there already */
    if (packet_alg(&p, alg, before, sizeof f->payload - FABRIC_VNET_LEN) == 0)
        return;
    t->packet = p;
    t->bytes = f->payload;
    t->len = p.len + FABRIC_VNET_LEN;
    t->wire_len = p.len;
}

/* Fragments that waited for the one that has just been let through. */
static void release_fragments(struct fabric *f, int segment) {
    struct packet p;
    enum nat_side to;
    while (fragments_next(f->boxes[segment].fragments, &p, &to)) {
        if (p.len + FABRIC_VNET_LEN > sizeof f->fragment)
            continue;
        memset(f->fragment, 0, FABRIC_VNET_LEN);
        memcpy(f->fragment + FABRIC_VNET_LEN, p.data, p.len);
        struct transit t = {.bytes = f->fragment, .len = p.len + FABRIC_VNET_LEN, .node = segment};
        int next = transit_parse(&t) ? next_link(f, &t, segment, to, &t.dst) : TOPOLOGY_NOWHERE;
        if (next == TOPOLOGY_NOWHERE)
            continue;
        leave(&t, next, to);
        struct transit *copy = transit_copy(f, &t);
        if (copy != NULL)
            router_send(f, copy);
    }
}

/* Makes the table of fragments for the first one that comes, as most boxes never see any. NULL:
 * they are dropped. */
static struct fragments *fragments_of(struct fabric *f, struct fabric_box *box) {
    const struct nat_config *c = nat_get_config(box->nat);
    struct bk_rng rng = rng_from_seeded(&f->random);
    if (box->fragments == NULL && c->fragments != NAT_FRAGMENTS_DROP &&
        fragments_new(c->fragments, c->fragments_max, &rng, &f->alloc, &box->fragments) != BK_OK)
        box->fragments = NULL;
    return box->fragments;
}

/* A fragment that is not the first one goes where that went. */
static void later_fragment(struct fabric *f, struct transit *t, int segment, enum nat_side from,
                           struct bk_time now) {
    enum nat_side to;
    switch (fragments_pass(f->boxes[segment].fragments, from, &t->packet, now, &to)) {
    case FRAGMENT_PASSES: {
        int next = next_link(f, t, segment, to, &t->packet.header.flow.dst.ip);
        if (next != TOPOLOGY_NOWHERE)
            leave(t, next, to);
        return;
    }
    case FRAGMENT_WAITS:
        return;
    case FRAGMENT_DROPPED:
        sight_dropped(f, t, LAB_DROP_FRAGMENT, segment);
        return;
    }
}

/* A whole packet or a first fragment. */
static void decide(struct fabric *f, struct transit *t, int segment, enum nat_side from,
                   struct bk_time now) {
    struct fabric_box *box = &f->boxes[segment];
    enum topology_direction came = from == NAT_INSIDE ? TOPOLOGY_UP : TOPOLOGY_DOWN;
    struct nat_header before = t->packet.header;
    struct nat_verdict v;
    nat_packet(box->nat, from, &before, now, &v);
    arm(f, segment);
    if (t->fragment)
        fragments_learn(box->fragments, from, &t->packet, &before, &v, now);
    if (v.action == NAT_DROP || v.action == NAT_ANSWER) {
        sight_refused(f, t, v.drop, segment);
        if (v.action == NAT_ANSWER)
            router_refuse(f, t, v.answer, segment, came);
        return;
    }
    int next = next_link(f, t, segment, v.to, &v.header.flow.dst.ip);
    if (next == TOPOLOGY_NOWHERE || !router_fits(f, t, next, segment, came))
        return;
    packet_rewrite(&t->packet, &v.header);
    rewrite_payload(f, t, nat_get_config(box->nat)->alg, &before);
    leave(t, next, v.to);
    if (t->fragment)
        release_fragments(f, segment);
}

void box_through(struct fabric *f, struct transit *t, int segment, enum nat_side from,
                 struct bk_time now) {
    enum topology_direction came = from == NAT_INSIDE ? TOPOLOGY_UP : TOPOLOGY_DOWN;
    t->place = FABRIC_GONE;
    if (!t->parsed && (!t->fragment || fragments_of(f, &f->boxes[segment]) == NULL)) {
        sight_dropped(f, t, fragment_is(t) ? LAB_DROP_FRAGMENT : LAB_DROP_PROTOCOL, segment);
        return;
    }
    if (!router_hop(f, t, segment, came))
        return;
    if (t->fragment && t->packet.part == PACKET_LATER)
        later_fragment(f, t, segment, from, now);
    else
        decide(f, t, segment, from, now);
}

void box_advance(struct fabric *f, int node, struct bk_time now) {
    struct nat_late late;
    f->boxes[node].armed = BK_NEVER;
    nat_advance(f->boxes[node].nat, now);
    while (nat_next_late(f->boxes[node].nat, &late))
        router_late(f, node, &late);
    arm(f, node);
}
