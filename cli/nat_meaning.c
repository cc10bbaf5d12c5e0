/* SPDX-License-Identifier: MIT
 * The rules are those of bodkin/oracle.h, turned round: here one side is known and the sentences
 * speak about all possible peers. */
#include "cli/nat_meaning.h"

static bool known(const struct bk_nat_record *r, enum bk_nat_attr attr, int64_t value) {
    return r->findings[attr].status == BK_NAT_KNOWN && r->findings[attr].value == value;
}

/* Symmetric: each destination sees another port. Filters of the peer's that ignore the port let its
 * packets in all the same, because they come from the known address. */
static const char *symmetric(const struct bk_nat_traits *t) {
    if (t->filtering == BK_NAT_EI)
        return "Direct with every peer all the same: whoever knows a port of this NAT gets in, so "
               "the port that the server saw serves for peers, too.";
    if (t->ports == BK_NAT_PORTS_SEQUENTIAL || t->ports == BK_NAT_PORTS_TIME)
        return "Direct with peers behind a full or restricted cone. Relayed with port-restricted "
               "and symmetric ones, unless the next port is predicted: it follows a rule, so that "
               "works while few others make mappings.";
    if (t->filtering == BK_NAT_AD)
        return "Direct with peers behind a full or restricted cone. Relayed with port-restricted "
               "and symmetric ones, unless some hundred ports are tried: this filter looks at "
               "addresses only, so one hit is enough.";
    return "Direct with peers behind a full or restricted cone. Relayed with port-restricted ones, "
           "unless some hundred ports are tried; relayed with symmetric ones.";
}

static const char *cone(const struct bk_nat_traits *t) {
    switch (t->filtering) {
    case BK_NAT_EI:
        return "Direct with every peer that has UDP: once a port is open, anybody gets in by it.";
    case BK_NAT_AD:
        return "Direct with every peer that has UDP, symmetric ones too: the filter ignores ports.";
    case BK_NAT_APD:
        return "Direct with most peers: with all whose NAT is a cone, or whose filter ignores "
               "ports. Relayed with symmetric peers, unless their port is predicted or guessed.";
    case BK_NAT_DEP_UNKNOWN:
        break;
    }
    return "Direct with most peers: with all whose NAT is a cone. With symmetric peers it depends "
           "on the filtering, which is not known.";
}

static const char *about_udp(const struct bk_nat_record *r) {
    const struct bk_nat_traits *t = &r->traits;
    if (t->udp_blocked == BK_YES)
        return "Relayed with everybody: what bodkin does directly, it does over UDP.";
    if (t->translated == BK_NO && t->filtering == BK_NAT_EI)
        return "Direct with every peer that has UDP: everybody reaches this machine.";
    if (t->mapping == BK_NAT_EI)
        return cone(t);
    if (t->mapping == BK_NAT_AD || t->mapping == BK_NAT_APD)
        return symmetric(t);
    if (known(r, BK_NAT_MAPPING, BK_NAT_DEP_UNKNOWN) || t->translated != BK_UNKNOWN)
        return "How well direct connections work depends on the mapping, which is not known.";
    return "Nothing can be said about direct connections.";
}

static const char *about_port_mapping(const struct bk_nat_record *r) {
    if (r->traits.two_nats == BK_YES)
        return "The router opens ports on request (port mapping), but a second NAT stands behind "
               "it, so that alone does not let peers in.";
    return "The router opens ports on request (port mapping): with such a port open, every peer "
           "that has UDP gets in.";
}

size_t nat_meaning(const struct bk_nat_record *r, const char *out[NAT_MEANINGS_MAX]) {
    const struct bk_nat_traits *t = &r->traits;
    bool ipv6 = t->ipv6 == BK_YES || known(r, BK_NAT_IPV6, BK_YES);
    size_t n = 0;
    if (r->findings[BK_NAT_UDP].status != BK_NAT_NOT_ASKED || !ipv6)
        out[n++] = about_udp(r);
    if (ipv6)
        out[n++] = "IPv6 works: direct with every peer that has it, too.";
    if (t->port_mapping == BK_YES)
        out[n++] = about_port_mapping(r);
    if (t->inbound_first == BK_YES)
        out[n++] = "Beware: a peer's packet that arrives before the first one from here spoils "
                   "the mapping. Both sides must start at the same time, or send a first packet "
                   "that dies on its way.";
    if (known(r, BK_NAT_PORT_SPECIFIC, BK_YES))
        out[n++] = "Beware: STUN's port is treated in another way than others, so what a STUN "
                   "server sees need not hold for peers.";
    if (known(r, BK_NAT_UDP, BK_NAT_UDP_SOME_PORTS))
        out[n++] = "UDP passes to some ports only, so most peers cannot be reached directly.";
    if (t->paired == BK_NO)
        out[n++] = "The public address changes from mapping to mapping: what the server saw of "
                   "one socket is no use to another.";
    if (known(r, BK_NAT_ALG, BK_YES))
        out[n++] = "The box rewrites addresses inside packets, which breaks protocols that carry "
                   "them in clear.";
    return n;
}
