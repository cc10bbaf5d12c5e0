/* SPDX-License-Identifier: MIT
 * The outside ports an inside host may get, numbered from 0: runs of equal length at equal
 * distances. A range is one run; the scattered ports of MAP-E are many. */
#include "nat/state.h"

uint16_t nat_space_at(const struct nat_space *s, uint32_t index) {
    return (uint16_t)(s->first + index / s->run * s->gap + index % s->run);
}

bool nat_space_rank(const struct nat_space *s, uint16_t port, uint32_t *out) {
    if (port < s->first)
        return false;
    uint32_t n = (port - s->first) / s->gap, in_run = (port - s->first) % s->gap;
    if (in_run >= s->run || n * s->run + in_run >= s->len)
        return false;
    *out = n * s->run + in_run;
    return true;
}

/* RFC 4787 REQ-3a: ports below 1024 stay there. Linux even keeps two classes of them apart, see
 * nf_nat_l4proto_unique_tuple(). false: no class of its own. */
static bool low_class(const struct nat_flow *flow, struct nat_space *out) {
    uint16_t port = flow->src.port;
    if (flow->proto == NAT_ICMP || port == 0 || port > 1023)
        return false;
    out->first = port < 512 ? 1 : 600;
    out->len = port < 512 ? 511 : 1023 - 600 + 1;
    return true;
}

/* RFC 7597 section 5.1: a port is a bits, the PSID, and the rest; a customer has all the ports with
 * its PSID, but none whose first a bits are zero, so that 0-1023 stay free with a = 6. */
static void psid_space(const struct nat_config *c, struct nat_space *out) {
    uint32_t skip = c->psid_offset > 0 ? 1 : 0;
    out->gap = UINT32_C(1) << (16 - c->psid_offset);
    out->run = UINT32_C(1) << (16 - c->psid_offset - c->psid_len);
    out->first = skip * out->gap + c->psid * out->run;
    out->len = ((UINT32_C(1) << c->psid_offset) - skip) * out->run;
    if (out->first == 0) { /* port 0 belongs to nobody */
        out->first = 1;
        out->run = out->len = out->run > 1 ? out->run - 1 : 1;
    }
}

struct nat_space nat_space_for(struct nat *nat, const struct nat_flow *flow) {
    const struct nat_config *c = &nat->config;
    struct nat_space s = {.first = c->port_min,
                          .len = (uint32_t)(c->port_max - c->port_min) + 1,
                          .next = &nat->next_port};
    if (c->port_space == NAT_SPACE_PSID) {
        psid_space(c, &s);
        return s;
    }
    if (c->port_class && low_class(flow, &s))
        s.next = &nat->next_low_port;
    s.run = s.gap = s.len;
    return s;
}
