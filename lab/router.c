/* SPDX-License-Identifier: MIT */
#include "lab/router.h"

#include "lab/fragment.h"
#include "lab/icmp.h"
#include "lab/sight.h"
#include "lab/transit.h"
#include <string.h>

/* The internet's own routers, as sources of ICMP errors: RFC 2544 and RFC 5180 addresses, which
 * nobody else has. */
static const struct bk_ip core_v4 = {.family = BK_IPV4, .bytes = {198, 18, 0, 1}};
static const struct bk_ip core_v6 = {.family = BK_IPV6,
                                     .bytes = {0x20, 0x01, 0x00, 0x02, [15] = 0x01}};

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

void router_send(struct fabric *f, struct transit *t) {
    t->next = NULL;
    if (f->answers == NULL)
        f->answers = t;
    else
        f->last_answer->next = t;
    f->last_answer = t;
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
    if (copy != NULL)
        router_send(f, copy);
}

void router_refuse(struct fabric *f, const struct transit *t, enum nat_answer answer, int segment,
                   enum topology_direction came) {
    uint8_t bytes[FABRIC_VNET_LEN + PACKET_ANSWER_MAX];
    size_t len = 0;
    const struct bk_ip *from = router_address(f, segment, t->dst.family);
    bool first = t->fragment && t->packet.part == PACKET_FIRST;
    if ((!t->parsed && !first) || from == NULL)
        return; /* never about other fragments: RFC 1122 section 3.2.2 */
    if (came == TOPOLOGY_DOWN && segment != TOPOLOGY_NOWHERE && f->boxes[segment].nat != NULL &&
        nat_is_external(f->boxes[segment].nat, &t->dst))
        from = &t->dst; /* seen from outside, the box has its public address */
    if (packet_build_answer(&t->packet, answer, from, bytes + FABRIC_VNET_LEN, PACKET_ANSWER_MAX,
                            &len) != BK_OK)
        return;
    queue_answer(f, bytes, len, segment, came);
}

/* A fragment is quoted like any other packet, whatever its ports would be. */
static struct packet quotable(const struct transit *t) {
    struct packet p = {.data = t->bytes + FABRIC_VNET_LEN, .len = t->len - FABRIC_VNET_LEN};
    bool v4 = t->dst.family == BK_IPV4;
    p.header.flow.src.ip =
        v4 ? bk_ipv4(p.data[12], p.data[13], p.data[14], p.data[15]) : bk_ipv6(p.data + 8);
    return t->parsed ? t->packet : p;
}

static void router_too_big(struct fabric *f, const struct transit *t, uint32_t mtu, int segment,
                           enum topology_direction came) {
    uint8_t bytes[FABRIC_VNET_LEN + PACKET_ANSWER_MAX];
    size_t len = 0;
    const struct bk_ip *from = router_address(f, segment, t->dst.family);
    struct packet cause = quotable(t);
    if (from == NULL ||
        icmp_too_big(&cause, from, mtu, bytes + FABRIC_VNET_LEN, PACKET_ANSWER_MAX, &len) != BK_OK)
        return;
    queue_answer(f, bytes, len, segment, came);
}

bool router_fits(struct fabric *f, const struct transit *t, int node, int segment,
                 enum topology_direction came) {
    uint32_t mtu = f->boxes[node].node->mtu;
    if (t->wire_len <= mtu || fragment_allowed(t))
        return true;
    sight_dropped(f, t, LAB_DROP_TOO_BIG, segment);
    router_too_big(f, t, mtu, segment, came);
    return false;
}

void router_late(struct fabric *f, int node, const struct nat_late *late) {
    uint8_t bytes[64];
    size_t len = 0;
    struct transit syn = {.dst = late->header.flow.dst.ip};
    if (packet_build_syn(&late->header, bytes, sizeof bytes, &len) != BK_OK ||
        packet_parse(&syn.packet, bytes, len, false) != BK_OK)
        return;
    syn.parsed = true;
    router_refuse(f, &syn, late->answer, node, TOPOLOGY_DOWN);
}

bool router_hop(struct fabric *f, struct transit *t, int segment, enum topology_direction came) {
    if ((!t->parsed && !t->fragment) || packet_hop(&t->packet) == BK_OK)
        return true;
    sight_dropped(f, t, LAB_DROP_HOPS, segment);
    router_refuse(f, t, NAT_ANSWER_TIME_EXCEEDED, segment, came);
    return false;
}

void router_addressed(struct fabric *f, const struct transit *t) {
    uint8_t bytes[FABRIC_VNET_LEN + PACKET_ANSWER_MAX];
    size_t len = 0;
    if (t->parsed &&
        icmp_echo_reply(&t->packet, bytes + FABRIC_VNET_LEN, PACKET_ANSWER_MAX, &len) == BK_OK) {
        queue_answer(f, bytes, len, t->node, TOPOLOGY_UP);
        return;
    }
    sight_dropped(f, t, LAB_DROP_NO_SERVICE, t->node);
    router_refuse(f, t, NAT_ANSWER_PORT_UNREACHABLE, t->node, TOPOLOGY_UP);
}

bool router_is(const struct fabric *f, int segment, const struct bk_ip *ip) {
    const struct topology_node *n = &f->topology->nodes[segment];
    for (size_t i = 0; i < n->inside_count; i++)
        if (bk_ip_equal(&n->inside[i].ip, ip))
            return true;
    return false;
}
