/* SPDX-License-Identifier: MIT
 * ICMP errors. They belong to the session of the packet they quote, are translated with it, and
 * neither refresh nor (in a box that follows the rules) end it: RFC 5508 sections 4.1 to 4.3, RFC
 * 4787 REQ-12. Who sent the error does not matter: it is some router on the way. */
#include "nat/state.h"

/* Headers made by hand may quote the other IP version; packet_parse() never does. */
static bool is_sound(const struct nat_header *in) {
    uint8_t family = in->flow.src.ip.family;
    return in->inner.src.ip.family == family && in->inner.dst.ip.family == family;
}

/* From inside, about a packet that came in: it quotes remote -> inside endpoint. */
enum nat_drop nat_icmp_error_out(struct nat *nat, const struct nat_header *in,
                                 struct nat_header *out) {
    const struct nat_flow *quoted = &in->inner;
    uint32_t session = nat_session_find_flow(nat, quoted->proto, &quoted->dst, &quoted->src);
    if (session == NAT_NONE || !is_sound(in))
        return NAT_DROP_ICMP;
    if (nat->config.icmp_errors == NAT_ICMP_ERRORS_DROP)
        return NAT_DROP_ICMP;
    const struct nat_mapping *m = &nat->mappings[nat->sessions[session].mapping];
    *out = *in;
    out->inner.dst = m->external;
    /* RFC 5508 REQ-5: a router inside must not show its private address outside. */
    if (m->mode == NAT_MODE_TRANSLATE)
        out->flow.src.ip = m->external.ip;
    return NAT_DROP_NONE;
}

/* From outside, about a packet that went out: it quotes outside endpoint -> remote. */
enum nat_drop nat_icmp_error_in(struct nat *nat, const struct nat_header *in,
                                struct nat_header *out) {
    const struct nat_flow *quoted = &in->inner;
    uint32_t mapping = nat_overload_find(nat, quoted->proto, &quoted->src, &quoted->dst);
    if (mapping == NAT_NONE || nat->mappings[mapping].local || !is_sound(in) ||
        !bk_ip_equal(&in->flow.dst.ip, &quoted->src.ip))
        return NAT_DROP_ICMP;
    uint32_t session = nat_session_find_remote(nat, mapping, &quoted->dst);
    if (session == NAT_NONE || nat->config.icmp_errors == NAT_ICMP_ERRORS_DROP)
        return NAT_DROP_ICMP;
    const struct nat_mapping *m = &nat->mappings[mapping];
    *out = *in;
    out->inner.src = m->internal;
    out->flow.dst.ip = m->internal.ip;
    if (nat->config.icmp_errors == NAT_ICMP_ERRORS_KILL)
        nat_session_end(nat, session);
    return NAT_DROP_NONE;
}
