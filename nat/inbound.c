/* SPDX-License-Identifier: MIT
 * Packets from outside that come first. A box that does not drop them takes them for its own: Linux
 * makes a connection tracking entry for a packet its input chain accepts. When the inside host then
 * sends to that remote endpoint by the same outside endpoint, it collides with the box itself and
 * is given another port, which its peer does not expect; and its later mappings follow
 * (overload.c). With a fixed port (NAT_PORT_PRESERVE_STRICT) its packets are dropped. This is why
 * two peers must not start at different times, and why a first packet that dies on the way helps.
 *
 * The box's memory is a mapping of its own, whose inside endpoint is the outside one. TCP needs
 * none: the box answers with a reset, and Linux reuses the place of a connection that was reset. */
#include "nat/state.h"

static uint32_t own_mapping(struct nat *nat, const struct nat_flow *flow) {
    uint32_t mapping = nat_mapping_find_external(nat, flow->proto, &flow->dst);
    while (mapping != NAT_NONE && !nat->mappings[mapping].local)
        mapping = nat->mappings[mapping].next_outside;
    return mapping != NAT_NONE ? mapping : nat_mapping_make_local(nat, flow->proto, &flow->dst);
}

static uint32_t own_session(struct nat *nat, const struct nat_flow *flow) {
    uint32_t mapping = nat_overload_find(nat, flow->proto, &flow->dst, &flow->src);
    if (mapping != NAT_NONE && nat->mappings[mapping].local)
        return nat_session_find_remote(nat, mapping, &flow->src);
    if (!nat_session_room(nat, NAT_OUTSIDE))
        return NAT_NONE; /* a flood of strangers must not fill the box */
    mapping = own_mapping(nat, flow);
    return mapping != NAT_NONE ? nat_session_make(nat, mapping, &flow->src, NAT_OUTSIDE) : NAT_NONE;
}

void nat_inbound_remember(struct nat *nat, const struct nat_header *in) {
    const struct nat_flow *flow = &in->flow;
    bool wanted = nat->config.inbound_first && flow->proto == NAT_UDP &&
                  nat_mode_of(nat, &flow->dst.ip) == NAT_MODE_TRANSLATE;
    if (!wanted || !nat_is_external(nat, &flow->dst.ip) || nat_is_external(nat, &flow->src.ip))
        return;
    uint32_t session = own_session(nat, flow);
    if (session != NAT_NONE)
        nat_timer_touch(nat, session, NAT_OUTSIDE, NAT_TCP_NONE);
}
