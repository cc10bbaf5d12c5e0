/* SPDX-License-Identifier: MIT
 * What needs no state: which packets a box carries at all, by address, protocol and port. */
#include "nat/state.h"

/* Routers forward no multicast, loopback or link-local packets: RFC 1812 section 5.3.7. */
static bool is_routable(const struct nat_flow *flow) {
    return flow->src.ip.family == flow->dst.ip.family &&
           bk_ip_scope(&flow->src.ip) >= BK_SCOPE_PRIVATE &&
           bk_ip_scope(&flow->dst.ip) >= BK_SCOPE_PRIVATE;
}

static bool on_list(const struct nat_allow *allow, uint16_t port) {
    for (size_t i = 0; i < allow->count; i++) {
        if (allow->ports[i] == port)
            return true;
    }
    return !allow->limited;
}

/* Networks that let out only the web, by the port at the far side. */
static bool is_allowed(const struct nat_config *c, enum nat_side from, const struct nat_flow *f) {
    uint16_t remote = from == NAT_INSIDE ? f->dst.port : f->src.port;
    switch (f->proto) {
    case NAT_UDP:
        return !c->udp_blocked && (!c->udp_allow.limited || on_list(&c->udp_allow, remote));
    case NAT_TCP:
        return !c->tcp_allow.limited || on_list(&c->tcp_allow, remote);
    case NAT_ICMP:
    case NAT_PROTOS:
        break;
    }
    return true;
}

enum nat_drop nat_policy(const struct nat *nat, enum nat_side from, const struct nat_header *in) {
    if (!is_routable(&in->flow))
        return NAT_DROP_UNROUTABLE;
    if (nat_mode_of(nat, &in->flow.src.ip) == NAT_MODE_BLOCK)
        return NAT_DROP_BLOCKED;
    return is_allowed(&nat->config, from, &in->flow) ? NAT_DROP_NONE : NAT_DROP_BLOCKED;
}

/* RFC 5508 REQ-8, RFC 6888 REQ-11: the inside may be told. */
enum nat_answer nat_policy_refusal(const struct nat *nat, enum nat_drop why) {
    if (why != NAT_DROP_BLOCKED && why != NAT_DROP_FULL && why != NAT_DROP_RATE)
        return NAT_ANSWER_NONE;
    switch (nat->config.refusal) {
    case NAT_REFUSAL_ADMIN:
        return NAT_ANSWER_ADMIN_PROHIBITED;
    case NAT_REFUSAL_HOST:
        return NAT_ANSWER_HOST_UNREACHABLE;
    case NAT_REFUSAL_SILENT:
        break;
    }
    return NAT_ANSWER_NONE;
}
