/* SPDX-License-Identifier: MIT */
#include "lab/fabric.h"

#include "base/assert.h"
#include "lab/icmp.h"
#include "lab/link.h"
#include "lab/route.h"
#include "lab/transit.h"
#include <string.h>

enum { MANY_NODES = 64, SMALL_MAPPINGS = 2048 };

/* The internet's own routers, as sources of ICMP errors: RFC 2544 and RFC 5180 addresses, which
 * nobody else has. */
static const struct bk_ip core_v4 = {.family = BK_IPV4, .bytes = {198, 18, 0, 1}};
static const struct bk_ip core_v6 = {.family = BK_IPV6,
                                     .bytes = {0x20, 0x01, 0x00, 0x02, [15] = 0x01}};

/* In a lab of many boxes each holds less, unless the file says otherwise: 5 MB each would be 5 GB
 * for a thousand. */
static struct nat_config box_config(const struct fabric *f, const struct topology_node *node) {
    struct nat_config config = node->nat;
    if (f->topology->node_count > MANY_NODES && !node->tables_set) {
        config.mappings_max = SMALL_MAPPINGS;
        config.sessions_max = 2 * SMALL_MAPPINGS;
    }
    return config;
}

static enum bk_err add_boxes(struct fabric *f) {
    struct bk_rng rng = rng_from_seeded(&f->random);
    for (size_t i = 0; i < f->topology->node_count; i++) {
        struct fabric_box *box = &f->boxes[i];
        box->node = &f->topology->nodes[i];
        for (int d = 0; d < TOPOLOGY_DIRECTIONS; d++)
            box->link[d].config = box->node->link[d];
        if (box->node->kind != TOPOLOGY_NAT)
            continue;
        struct nat_config config = box_config(f, box->node);
        enum bk_err err = nat_new(&config, &rng, &f->alloc, &box->nat);
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
        err = heap_init(&f->timers, nodes * TOPOLOGY_DIRECTIONS, alloc);
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
        nat_free(f->boxes[i].nat);
    }
    f->alloc.put(f->alloc.ctx, f->boxes);
    table_fini(&f->routes);
    heap_fini(&f->timers);
    memset(f, 0, sizeof *f);
}

static bool is_multicast(const struct bk_ip *ip) {
    return ip->family == BK_IPV6 ? ip->bytes[0] == 0xff : ip->bytes[0] >= 224;
}

/* The address a router of this segment speaks with, or NULL. */
static const struct bk_ip *router_address(const struct fabric *f, int segment, uint8_t family) {
    if (segment == TOPOLOGY_NOWHERE)
        return family == BK_IPV4 ? &core_v4 : &core_v6;
    const struct topology_node *n = &f->topology->nodes[segment];
    for (size_t i = 0; i < n->inside_count; i++)
        if (n->inside[i].ip.family == family)
            return &n->inside[i].ip;
    for (size_t i = 0; i < n->address_count; i++)
        if (n->address[i].ip.family == family)
            return &n->address[i].ip;
    return NULL;
}

/* A packet the router of `segment` wrote itself, `len` bytes behind room for a vnet header. It goes
 * back where its cause came from: into the segment, or up the box's link. */
static void queue_answer(struct fabric *f, uint8_t *bytes, size_t len, int segment,
                         enum topology_direction cause_came) {
    memset(bytes, 0, FABRIC_VNET_LEN);
    bool leaves = cause_came == TOPOLOGY_DOWN && segment != TOPOLOGY_NOWHERE;
    struct transit t = {.place = leaves ? FABRIC_AT_LINK : FABRIC_IN_SEGMENT,
                        .node = segment,
                        .direction = leaves ? TOPOLOGY_UP : TOPOLOGY_DOWN,
                        .bytes = bytes,
                        .len = len + FABRIC_VNET_LEN};
    if (!transit_parse(&t))
        return;
    struct transit *copy = transit_copy(f, &t);
    if (copy == NULL)
        return;
    copy->next = f->answers;
    f->answers = copy;
}

/* Refuses a packet on behalf of the box (or the internet) at `segment`. */
static void refuse(struct fabric *f, const struct transit *t, enum nat_answer answer, int segment,
                   enum topology_direction came) {
    uint8_t bytes[FABRIC_VNET_LEN + PACKET_ANSWER_MAX];
    size_t len = 0;
    const struct bk_ip *from = router_address(f, segment, t->dst.family);
    if (!t->parsed || from == NULL)
        return;
    if (came == TOPOLOGY_DOWN && segment != TOPOLOGY_NOWHERE && f->boxes[segment].nat != NULL &&
        nat_is_external(f->boxes[segment].nat, &t->dst))
        from = &t->dst; /* seen from outside, the box has its public address */
    if (packet_build_answer(&t->packet, answer, from, bytes + FABRIC_VNET_LEN, PACKET_ANSWER_MAX,
                            &len) != BK_OK)
        return;
    queue_answer(f, bytes, len, segment, came);
}

/* Does the packet fit the link to `node`? If not, it is refused on behalf of box `segment`. */
static bool fits(struct fabric *f, const struct transit *t, int node, int segment,
                 enum topology_direction came) {
    uint32_t mtu = f->boxes[node].node->mtu;
    if (t->wire_len <= mtu || !t->parsed || !icmp_dont_fragment(&t->packet))
        return true; /* what may be fragmented passes whole, as if put together again */
    f->counters.too_big++;
    uint8_t bytes[FABRIC_VNET_LEN + PACKET_ANSWER_MAX];
    size_t len = 0;
    const struct bk_ip *from = router_address(f, segment, t->dst.family);
    if (from == NULL || icmp_too_big(&t->packet, from, mtu, bytes + FABRIC_VNET_LEN,
                                     PACKET_ANSWER_MAX, &len) != BK_OK)
        return false;
    queue_answer(f, bytes, len, segment, came);
    return false;
}

static bool hop(struct fabric *f, struct transit *t, int segment, enum topology_direction came) {
    if (!t->parsed || packet_hop(&t->packet) == BK_OK)
        return true;
    f->counters.ttl_expired++;
    refuse(f, t, NAT_ANSWER_TIME_EXCEEDED, segment, came);
    return false;
}

static void send_across(struct transit *t, int node, enum topology_direction direction) {
    t->place = FABRIC_AT_LINK;
    t->node = node;
    t->direction = direction;
}

static unsigned protocol_bit(const struct transit *t) {
    if (!t->parsed || t->packet.header.flow.proto == NAT_ICMP)
        return TOPOLOGY_OTHER;
    return t->packet.header.flow.proto == NAT_UDP ? TOPOLOGY_UDP : TOPOLOGY_TCP;
}

static bool passed(const struct transit *t, int node) {
    for (size_t i = 0; i < t->path_len; i++)
        if (t->path[i] == node)
            return true;
    return node == TOPOLOGY_NOWHERE;
}

static bool is_cut(const struct fabric *f, const struct transit *t) {
    for (size_t i = 0; i < f->cut_count; i++) {
        const struct fabric_cut *cut = &f->cuts[i];
        if (cut->flaps && !topology_flap_is_down(&cut->flap, cut->since.us, f->now.us))
            continue;
        if ((cut->protocols & protocol_bit(t)) != 0 && passed(t, cut->node) &&
            passed(t, cut->other))
            return true;
    }
    return false;
}

/* Puts a packet on the link's queue. false: no room or no memory. */
static bool park(struct fabric *f, struct fabric_link *link, struct transit *t) {
    if (f->queued_bytes + t->len > FABRIC_QUEUED_MAX)
        return false;
    struct transit *kept = t->owned ? t : transit_copy(f, t);
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
    if (t->path_len < FABRIC_PATH_MAX)
        t->path[t->path_len++] = t->node;
    t->place = FABRIC_GONE;
    if (f->cut_count > 0 && is_cut(f, t)) {
        f->counters.cut++;
        return true;
    }
    switch (link_enter(link, t, &f->random, now)) {
    case LINK_PASS:
        t->place = t->direction == TOPOLOGY_UP ? FABRIC_IN_SEGMENT : FABRIC_AT_NODE;
        t->node = t->direction == TOPOLOGY_UP ? f->boxes[t->node].node->parent : t->node;
        return true;
    case LINK_WAIT:
        if (park(f, link, t))
            return !t->owned; /* a borrowed one was copied: the caller's is done with */
        f->counters.queue_full++;
        return true;
    case LINK_FULL:
        f->counters.queue_full++;
        return true;
    case LINK_LOST:
        f->counters.lost++;
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
        if (n->parent != t->node || n->kind != TOPOLOGY_HOST || passed(t, (int)i))
            continue;
        struct transit *copy = transit_copy(f, t);
        if (copy == NULL)
            return;
        send_across(copy, (int)i, TOPOLOGY_DOWN);
        copy->next = f->answers;
        f->answers = copy;
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

/* What is sent to the box's own inside address: it answers pings and refuses the rest. */
static void at_router(struct fabric *f, const struct transit *t) {
    uint8_t bytes[FABRIC_VNET_LEN + PACKET_ANSWER_MAX];
    size_t len = 0;
    if (t->parsed &&
        icmp_echo_reply(&t->packet, bytes + FABRIC_VNET_LEN, PACKET_ANSWER_MAX, &len) == BK_OK)
        queue_answer(f, bytes, len, t->node, TOPOLOGY_UP);
    else
        refuse(f, t, NAT_ANSWER_PORT_UNREACHABLE, t->node, TOPOLOGY_UP);
}

static bool is_own_address(const struct fabric *f, int segment, const struct bk_ip *ip) {
    const struct topology_node *n = &f->topology->nodes[segment];
    for (size_t i = 0; i < n->inside_count; i++)
        if (bk_ip_equal(&n->inside[i].ip, ip))
            return true;
    return false;
}

/* The box at `segment` decides; `from` is the side the packet came from. */
static void through_box(struct fabric *f, struct transit *t, int segment, enum nat_side from,
                        struct bk_time now) {
    struct fabric_box *box = &f->boxes[segment];
    enum topology_direction came = from == NAT_INSIDE ? TOPOLOGY_UP : TOPOLOGY_DOWN;
    struct nat_verdict v;
    t->place = FABRIC_GONE;
    if (!t->parsed) {
        f->counters.nat_dropped++;
        return;
    }
    if (!hop(f, t, segment, came))
        return;
    nat_packet(box->nat, from, &t->packet.header, now, &v);
    if (v.action == NAT_DROP || v.action == NAT_ANSWER) {
        f->counters.nat_dropped++;
        if (v.action == NAT_ANSWER)
            refuse(f, t, v.answer, segment, came);
        return;
    }
    bool out = v.action == NAT_FORWARD && v.to == NAT_OUTSIDE;
    int next = out ? segment : route_find(f, segment, &v.header.flow.dst.ip);
    if (next == TOPOLOGY_NOWHERE) {
        f->counters.no_route++;
        return;
    }
    if (!fits(f, t, next, segment, came))
        return;
    packet_rewrite(&t->packet, &v.header);
    t->dst = t->packet.header.flow.dst.ip;
    send_across(t, next, out ? TOPOLOGY_UP : TOPOLOGY_DOWN);
}

/* Somewhere in a segment, looking for the way on. */
static void in_segment(struct fabric *f, struct transit *t, struct bk_time now) {
    int segment = t->node, next;
    t->place = FABRIC_GONE;
    if (is_multicast(&t->dst) || is_broadcast(f, t)) {
        flood(f, t);
        return;
    }
    if (segment == TOPOLOGY_NOWHERE && t->path_len > 0 && !hop(f, t, segment, TOPOLOGY_DOWN))
        return;
    next = route_find(f, segment, &t->dst);
    if (next != TOPOLOGY_NOWHERE) {
        if (fits(f, t, next, segment, TOPOLOGY_UP))
            send_across(t, next, TOPOLOGY_DOWN);
        return;
    }
    if (segment == TOPOLOGY_NOWHERE || t->direction == TOPOLOGY_DOWN) {
        f->counters.no_route++;
        return;
    }
    if (is_own_address(f, segment, &t->dst))
        at_router(f, t);
    else
        through_box(f, t, segment, NAT_INSIDE, now);
}

static void at_node(struct fabric *f, struct transit *t, struct bk_time now) {
    if (f->boxes[t->node].nat != NULL) {
        through_box(f, t, t->node, NAT_OUTSIDE, now);
        return;
    }
    t->place = FABRIC_GONE;
    if (!f->deliver(f->ctx, t->node, t->bytes, t->len))
        return;
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
        f->counters.malformed++;
        return;
    }
    f->counters.bytes += len - FABRIC_VNET_LEN;
    struct transit t = {.place = FABRIC_AT_LINK,
                        .node = host,
                        .direction = TOPOLOGY_UP,
                        .bytes = bytes,
                        .len = len};
    if (!transit_parse(&t)) {
        f->counters.malformed++;
        return;
    }
    transit_measure(&t);
    carry(f, &t, now);
    carry_answers(f, now);
}

void fabric_advance(struct fabric *f, struct bk_time now) {
    uint32_t id;
    f->now = now;
    while (heap_take_due(&f->timers, now, &id)) {
        struct fabric_link *link = &f->boxes[id / TOPOLOGY_DIRECTIONS].link[id % 2];
        struct transit *t = link_pop(link, now);
        heap_set(&f->timers, id, link_deadline(link));
        if (t == NULL)
            continue;
        f->queued_bytes -= t->len;
        carry(f, t, now);
        carry_answers(f, now);
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
    return true;
}

static void restore(struct fabric *f, const struct topology_change *c) {
    size_t kept = 0;
    for (size_t i = 0; i < f->cut_count; i++) {
        struct fabric_cut cut = f->cuts[i];
        bool same = (cut.node == c->node && cut.other == c->other) ||
                    (cut.node == c->other && cut.other == c->node);
        if (same || c->node == TOPOLOGY_NOWHERE)
            cut.protocols &= ~c->protocols;
        if (cut.protocols != 0)
            f->cuts[kept++] = cut;
    }
    f->cut_count = kept;
}

static void set_link(struct topology_link *link, const struct topology_change *c, int direction) {
    const struct topology_link *want = &c->link[direction];
    link->delay_us = c->set_delay ? want->delay_us : link->delay_us;
    link->jitter_us = c->set_jitter ? want->jitter_us : link->jitter_us;
    link->loss_ppm = c->set_loss ? want->loss_ppm : link->loss_ppm;
    link->rate_bps = c->set_rate ? want->rate_bps : link->rate_bps;
    link->queue_bytes = c->set_queue ? want->queue_bytes : link->queue_bytes;
}

static enum bk_err add_cut(struct fabric *f, const struct topology_change *c) {
    struct fabric_cut cut = {.node = c->node,
                             .other = c->other,
                             .protocols = c->protocols,
                             .flaps = c->kind == TOPOLOGY_FLAP,
                             .flap = *c,
                             .since = f->now};
    if (f->cut_count == FABRIC_CUTS_MAX)
        return BK_ERR_FULL;
    f->cuts[f->cut_count++] = cut;
    return BK_OK;
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
        return add_cut(f, c);
    case TOPOLOGY_RESTORE:
        restore(f, c);
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
