/* SPDX-License-Identifier: MIT
 * One step through the box in either direction: find or make the session, let TCP have its say,
 * refresh, rewrite. A hairpin is a step out followed by a step in. */
#include "nat/state.h"

/* Has the box room for one more session, of this mapping or of a new one? */
static bool has_room(const struct nat *nat, uint32_t mapping) {
    return nat_session_room(nat, NAT_INSIDE) &&
           (mapping != NAT_NONE || nat->free_mapping != NAT_NONE);
}

/* RFC 6888 REQ-11 forbids to delete the mappings of others; some boxes do. */
static void evict_one(struct nat *nat) {
    bool any = nat->config.full == NAT_FULL_EVICT_RANDOM;
    (void)nat_evict(nat, any ? NAT_EVICT_RANDOM : NAT_EVICT_OLDEST, 1);
}

/* Makes the session, and if need be the mapping, for a packet from inside. */
static enum nat_drop open_session(struct nat *nat, const struct nat_flow *flow, uint32_t *out) {
    uint32_t mapping = nat_mapping_find(nat, flow);
    if (!has_room(nat, mapping) && nat->config.full != NAT_FULL_DROP) {
        evict_one(nat);
        mapping = nat_mapping_find(nat, flow); /* it may have been this one */
    }
    if (!has_room(nat, mapping) || !nat_host_session_room(nat, &flow->src.ip))
        return NAT_DROP_FULL;
    if (mapping == NAT_NONE) {
        enum nat_drop drop = nat_mapping_make(nat, flow, &mapping);
        if (drop != NAT_DROP_NONE)
            return drop;
    }
    *out = nat_session_make(nat, mapping, &flow->dst, NAT_INSIDE);
    return NAT_DROP_NONE;
}

static enum nat_tcp_state tcp_state(const struct nat *nat, uint32_t session) {
    return session == NAT_NONE ? NAT_TCP_NONE : nat->sessions[session].tcp;
}

/* A box whose mappings are per connection makes a new one for the next connection, though the
 * endpoints are the same; so does one that looks at flows only, if no other flow has the mapping.
 */
static bool begins_anew(const struct nat *nat, uint32_t session, const struct nat_header *in) {
    if (session == NAT_NONE ||
        nat->mappings[nat->sessions[session].mapping].mode != NAT_MODE_TRANSLATE)
        return false;
    bool anew = nat->mapping_of[in->flow.proto] == NAT_DEP_CONNECTION ||
                nat->config.overload == NAT_OVERLOAD_REMOTE;
    return anew && nat_tcp_is_over(nat->sessions[session].tcp) && nat_tcp_is_fresh_syn(in);
}

/* Kinds of packets that never make or use a session in this direction. */
static enum nat_drop refuse_kind(const struct nat_header *in, enum nat_icmp query) {
    bool icmp = in->flow.proto == NAT_ICMP;
    return icmp && in->icmp != query ? NAT_DROP_ICMP : NAT_DROP_NONE;
}

enum nat_drop nat_translate_out(struct nat *nat, const struct nat_header *in,
                                struct nat_header *out) {
    if (in->flow.proto == NAT_ICMP && in->icmp == NAT_ICMP_ERROR)
        return nat_icmp_error_out(nat, in, out);
    enum nat_drop drop = refuse_kind(in, NAT_ICMP_ECHO);
    if (drop != NAT_DROP_NONE)
        return drop;
    const struct nat_flow *flow = &in->flow;
    uint32_t session = nat_session_find_flow(nat, flow->proto, &flow->src, &flow->dst);
    enum nat_tcp_state next = NAT_TCP_NONE;
    bool tcp = flow->proto == NAT_TCP;
    if (tcp && !nat_tcp_next(nat, session, NAT_INSIDE, in, &next))
        return NAT_DROP_TCP_STATE;
    if (tcp && begins_anew(nat, session, in)) {
        if (nat->config.overload == NAT_OVERLOAD_OFF)
            nat_session_end_all(nat, nat->sessions[session].mapping);
        else
            nat_session_end(nat, session);
        session = NAT_NONE;
    }
    if (session == NAT_NONE)
        drop = open_session(nat, flow, &session);
    if (drop != NAT_DROP_NONE)
        return drop;
    nat_timer_touch(nat, session, NAT_INSIDE, next);
    bool hairpin = nat_is_external(nat, &flow->dst.ip);
    if (nat->sessions[session].made_by == NAT_INSIDE && !hairpin)
        nat_overload_lead(nat, nat->sessions[session].mapping);
    *out = *in;
    out->flow.src = nat->mappings[nat->sessions[session].mapping].external;
    if (!tcp)
        return NAT_DROP_NONE;
    nat_late_meet(nat, out);
    nat_tcp_note(&nat->sessions[session], NAT_INSIDE, in);
    if (nat_tcp_kills(nat, in))
        nat_session_end(nat, session);
    return NAT_DROP_NONE;
}

/* May this packet from outside pass, and by which session? *session may be NAT_NONE afterwards: a
 * stranger whom the filter admits. */
static enum nat_drop admit(const struct nat *nat, uint32_t mapping, const struct nat_header *in,
                           uint32_t *session) {
    *session = nat_session_find_remote(nat, mapping, &in->flow.src);
    bool anew = nat_tcp_is_over(tcp_state(nat, *session)) && nat_tcp_is_fresh_syn(in);
    if (*session != NAT_NONE && !anew)
        return NAT_DROP_NONE;
    return nat_filter_admits(nat, mapping, &in->flow.src) ? NAT_DROP_NONE : NAT_DROP_FILTERED;
}

/* The session remembers by which mapping the remote endpoint came, so that the answer leaves by the
 * same one, even if the mapping behaviour would choose another for it. */
static void carry_in(struct nat *nat, uint32_t mapping, const struct nat_header *in,
                     uint32_t session, enum nat_tcp_state next) {
    bool tcp = in->flow.proto == NAT_TCP;
    if (session == NAT_NONE && !nat->config.refresh_strangers && !tcp)
        return; /* RFC 7857 section 7 */
    if (session == NAT_NONE)
        session = nat_session_make(nat, mapping, &in->flow.src, NAT_OUTSIDE);
    else if (nat->mapping_of[in->flow.proto] != NAT_EI)
        nat_session_own_flow(nat, session);
    if (session == NAT_NONE)
        return; /* no room for a stranger's session: the packet passes, and leaves no trace */
    nat_timer_touch(nat, session, NAT_OUTSIDE, next);
    if (tcp)
        nat_tcp_note(&nat->sessions[session], NAT_OUTSIDE, in);
    if (tcp && nat_tcp_kills(nat, in))
        nat_session_end(nat, session);
}

enum nat_drop nat_translate_in(struct nat *nat, const struct nat_header *in,
                               struct nat_header *out) {
    if (in->flow.proto == NAT_ICMP && in->icmp == NAT_ICMP_ERROR)
        return nat_icmp_error_in(nat, in, out);
    enum nat_drop drop = refuse_kind(in, NAT_ICMP_ECHO_REPLY);
    if (drop != NAT_DROP_NONE)
        return drop;
    const struct nat_flow *flow = &in->flow;
    uint32_t mapping = nat_overload_find(nat, flow->proto, &flow->dst, &flow->src), session;
    drop = NAT_DROP_UNSOLICITED;
    if (mapping != NAT_NONE && !nat->mappings[mapping].local)
        drop = admit(nat, mapping, in, &session);
    if (drop != NAT_DROP_NONE) {
        nat_inbound_remember(nat, in);
        return drop;
    }
    enum nat_tcp_state next = NAT_TCP_NONE;
    bool tcp = in->flow.proto == NAT_TCP;
    if (tcp && !nat_tcp_next(nat, session, NAT_OUTSIDE, in, &next))
        return NAT_DROP_TCP_STATE;
    *out = *in;
    out->flow.dst = nat->mappings[mapping].internal;
    carry_in(nat, mapping, in, session, next);
    return NAT_DROP_NONE;
}
