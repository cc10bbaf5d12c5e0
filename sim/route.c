/* SPDX-License-Identifier: MIT
 * The way of a packet: up through NAT boxes until a node knows where its destination is, then down.
 * Boxes count as hops; the core does not. */
#include "nat/alg.h"
#include "sim/state.h"

static void count_loss(struct world *w, enum trace_kind why) {
    struct world_counters *c = &w->counters;
    switch (why) {
    case TRACE_LOST:
        c->lost++;
        return;
    case TRACE_CUT:
        c->cut++;
        return;
    case TRACE_QUEUE_FULL:
        c->queue_full++;
        return;
    case TRACE_NAT_DROP:
        c->nat_dropped++;
        return;
    case TRACE_NO_ROUTE:
        c->no_route++;
        return;
    case TRACE_NO_SOCKET:
        c->no_socket++;
        return;
    case TRACE_TTL:
        c->ttl_expired++;
        return;
    case TRACE_TOO_BIG:
        c->too_big++;
        return;
    case TRACE_SEND:
    case TRACE_NAT:
    case TRACE_DELIVER:
    case TRACE_RESEND:
    case TRACE_NOTE:
        return;
    }
}

static void lose(struct world *w, uint32_t index, enum trace_kind why, enum nat_drop drop) {
    struct sim_packet *p = &w->packets[index];
    count_loss(w, why);
    trace_packet(w, why, p->at, p, drop);
    if (p->kind == PACKET_SEGMENT)
        stream_lost(w, index);
    else
        packet_give(w, index);
}

void route_lose(struct world *w, uint32_t index, enum trace_kind why) {
    lose(w, index, why, NAT_DROP_NONE);
}

/* Down to the child that has the destination, or up if there is none and `up` allows it. */
static void onward(struct world *w, node_id from, uint32_t index, bool up) {
    const struct bk_ip *dst = &w->packets[index].header.flow.dst.ip;
    node_id child;
    w->packets[index].at = from;
    if (topology_child(w, from, dst, &child))
        link_transmit(w, child, WAY_DOWN, index);
    else if (up && from != WORLD_CORE)
        link_transmit(w, from, WAY_UP, index);
    else
        route_lose(w, index, TRACE_NO_ROUTE);
}

void route_from(struct world *w, node_id from, uint32_t index) {
    w->packets[index].path_len = 0;
    if (from == WORLD_CORE)
        onward(w, from, index, false);
    else
        link_transmit(w, from, WAY_UP, index);
}

void route_send(struct world *w, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    w->counters.sent++;
    p->at = p->origin;
    p->way = WAY_DOWN;
    p->path_len = 0;
    trace_packet(w, TRACE_SEND, p->origin, p, NAT_DROP_NONE);
    if (topology_host_has(w, p->origin, &p->header.flow.dst.ip))
        packet_schedule(w, index, w->now); /* to itself */
    else
        link_transmit(w, p->origin, WAY_UP, index);
}

/* What an application gateway does to it. */
static void rewrite_payload(struct world *w, node_id box, struct sim_packet *p,
                            const struct nat_header *after) {
    enum nat_alg alg = nat_get_config(w->nodes[box].nat)->alg;
    size_t len = p->len;
    if (alg == NAT_ALG_OFF || p->kind != PACKET_DATAGRAM)
        return;
    (void)nat_alg_payload(alg, &p->header, after, p->data, &len, sizeof p->data);
    p->len = (uint16_t)len;
}

static void through_nat(struct world *w, node_id box, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    enum nat_side from = p->way == WAY_UP ? NAT_INSIDE : NAT_OUTSIDE;
    struct nat_verdict v;
    if (p->ttl <= 1) {
        route_lose(w, index, TRACE_TTL);
        return;
    }
    p->ttl--;
    nat_packet(w->nodes[box].nat, from, &p->header, w->now, &v);
    switch (v.action) {
    case NAT_FORWARD:
    case NAT_HAIRPIN:
        rewrite_payload(w, box, p, &v.header);
        p->header = v.header;
        trace_packet(w, TRACE_NAT, box, p, NAT_DROP_NONE);
        if (v.to == NAT_OUTSIDE)
            link_transmit(w, box, WAY_UP, index);
        else
            onward(w, box, index, false);
        return;
    case NAT_ANSWER:
        if (v.answer == NAT_ANSWER_TCP_RESET && p->kind == PACKET_SEGMENT) {
            trace_packet(w, TRACE_NAT_DROP, box, p, v.drop);
            stream_refuse(w, box, index);
            return;
        }
        lose(w, index, TRACE_NAT_DROP, v.drop); /* sockets here do not see ICMP errors */
        return;
    case NAT_DROP:
        lose(w, index, TRACE_NAT_DROP, v.drop);
        return;
    }
}

static bool is_to_all(const struct bk_ip *dst) {
    return dst->family == BK_IPV6 ? dst->bytes[0] == 0xff : dst->bytes[0] >= 224;
}

/* From a host to the others on its box's switch, and no further: what goes to all is routed
 * nowhere. */
static void flood(struct world *w, uint32_t index) {
    for (node_id i = 0; i < w->node_count; i++) {
        const struct sim_packet *p = &w->packets[index];
        if (w->nodes[i].kind != NODE_HOST || w->nodes[i].parent != p->at || i == p->origin)
            continue;
        uint32_t copy = packet_take(w);
        if (copy == SIM_NONE)
            break;
        w->packets[copy] = *p;
        link_transmit(w, i, WAY_DOWN, copy);
    }
    packet_give(w, index);
}

static void at_host(struct world *w, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    if (cut_applies(cut_between(w, p->origin, p->at), p->header.flow.proto)) {
        route_lose(w, index, TRACE_CUT);
        return;
    }
    if (!topology_host_has(w, p->at, &p->header.flow.dst.ip) &&
        !is_to_all(&p->header.flow.dst.ip)) {
        route_lose(w, index, TRACE_NO_ROUTE); /* it moved while the packet was on its way */
        return;
    }
    if (p->kind == PACKET_SEGMENT)
        stream_deliver(w, index);
    else
        udp_deliver(w, index);
}

void route_arrive(struct world *w, uint32_t index) {
    struct sim_packet *p = &w->packets[index];
    node_id child;
    switch (w->nodes[p->at].kind) {
    case NODE_CORE:
        onward(w, p->at, index, false);
        return;
    case NODE_NAT:
        /* Between two nodes inside the box is only its switch, which translates nothing. */
        if (p->way == WAY_UP && is_to_all(&p->header.flow.dst.ip) &&
            w->nodes[p->origin].parent == p->at)
            flood(w, index);
        else if (p->way == WAY_UP && topology_child(w, p->at, &p->header.flow.dst.ip, &child))
            link_transmit(w, child, WAY_DOWN, index);
        else
            through_nat(w, p->at, index);
        return;
    case NODE_HOST:
        at_host(w, index);
        return;
    }
}
