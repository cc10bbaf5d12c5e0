/* SPDX-License-Identifier: MIT
 * A configuration as bodkin/nat_traits.h would describe it: what a faultless observer outside could
 * say about UDP over IPv4. */
#include "nat/nat.h"

#include <bodkin/nat_traits.h>

static enum bk_nat_dep dep_of(enum nat_dep dep) {
    switch (dep) {
    case NAT_EI:
    case NAT_DEP_TIME: /* within an epoch, which is as long as anybody looks */
    case NAT_DEP_AS_UDP:
        return BK_NAT_EI;
    case NAT_AD:
        return BK_NAT_AD;
    case NAT_APD:
    case NAT_DEP_CONNECTION:
    case NAT_DEP_HASH:
        return BK_NAT_APD;
    }
    return BK_NAT_DEP_UNKNOWN;
}

static size_t externals(const struct nat_config *c) {
    size_t count = 0;
    for (size_t i = 0; i < c->external_count; i++)
        count += c->external[i].family == BK_IPV4 ? 1 : 0;
    return count;
}

static void describe_choice(const struct nat_config *c, struct bk_nat_traits *out) {
    switch (c->ports) {
    case NAT_PORT_PRESERVE_NEXT:
        out->step = 1;
        out->ports = BK_NAT_PORTS_PRESERVE;
        break;
    case NAT_PORT_PRESERVE:
    case NAT_PORT_PRESERVE_STRICT:
        out->ports = BK_NAT_PORTS_PRESERVE;
        break;
    case NAT_PORT_SEQUENTIAL:
        out->ports = BK_NAT_PORTS_SEQUENTIAL;
        out->step = c->port_step;
        break;
    case NAT_PORT_TIME:
        out->ports = BK_NAT_PORTS_TIME;
        out->ports_per_s = (double)c->port_rate;
        break;
    case NAT_PORT_RANDOM:
    case NAT_PORT_HASH: /* who does not know the key cannot tell */
    case NAT_PORT_HASH_REMOTE:
    case NAT_PORT_AS_UDP:
        out->ports = BK_NAT_PORTS_RANDOM;
        break;
    }
}

static void describe_ports(const struct nat_config *c, struct bk_nat_traits *out) {
    describe_choice(c, out);
    if (c->port_space == NAT_SPACE_PSID) { /* RFC 7597 section 5.1: from block 1 on if a > 0 */
        uint32_t run = UINT32_C(1) << (16 - c->psid_offset - c->psid_len);
        uint32_t blocks = UINT32_C(1) << c->psid_offset, first = c->psid_offset > 0 ? 1 : 0;
        out->port_min = (uint16_t)((first << (16 - c->psid_offset)) + c->psid * run);
        out->port_max =
            (uint16_t)(((blocks - 1) << (16 - c->psid_offset)) + c->psid * run + run - 1);
        out->port_count = (blocks - first) * run;
        return;
    }
    out->port_min = c->port_min;
    out->port_max = c->port_max;
    if (c->port_space == NAT_SPACE_BLOCKS)
        out->port_count = c->block_size;
}

/* The least of the limits that hold for one host. */
static uint32_t mappings_max(const struct nat_config *c) {
    uint32_t most = c->mappings_per_host_max, blocks = c->block_size * c->blocks_per_host;
    if (c->port_space == NAT_SPACE_BLOCKS && blocks > 0 && (most == 0 || blocks < most))
        most = blocks;
    return most;
}

static enum bk_nat_hairpin hairpin_of(enum nat_hairpin hairpin) {
    switch (hairpin) {
    case NAT_HAIRPIN_EXTERNAL:
        return BK_NAT_HAIRPIN_EXTERNAL;
    case NAT_HAIRPIN_INTERNAL:
        return BK_NAT_HAIRPIN_INTERNAL;
    case NAT_HAIRPIN_OFF:
        break;
    }
    return BK_NAT_HAIRPIN_NONE;
}

static void describe_translation(const struct nat_config *c, struct bk_nat_traits *out) {
    out->translated = BK_YES;
    out->mapping = dep_of(c->mapping);
    if (c->mapping == NAT_DEP_HASH && externals(c) < 2)
        out->mapping = BK_NAT_EI; /* one address: both boxes are the same */
    describe_ports(c, out);
    bool one = externals(c) == 1;
    bool spread = c->pooling == NAT_POOL_ARBITRARY || c->mapping == NAT_DEP_HASH;
    out->paired = one || !spread ? BK_YES : BK_NO;
    out->hairpin = hairpin_of(c->hairpin);
    out->mappings_max = mappings_max(c);
    for (size_t i = 0; one && i < c->external_count; i++) {
        if (c->external[i].family == BK_IPV4)
            out->external = c->external[i];
    }
}

void nat_traits_of(const struct nat_config *config, struct bk_nat_traits *out) {
    const struct nat_config *c = config;
    *out = (struct bk_nat_traits){.translated = BK_NO,
                                  .udp_blocked = BK_NO,
                                  .udp_limited = c->udp_allow.limited ? BK_YES : BK_NO,
                                  .mapping = BK_NAT_EI,
                                  .filtering = dep_of(c->filtering),
                                  .ports = BK_NAT_PORTS_PRESERVE,
                                  .paired = BK_YES,
                                  .inbound_first = c->inbound_first ? BK_YES : BK_NO};
    if (c->ipv4 == NAT_MODE_BLOCK || c->udp_blocked) {
        *out = (struct bk_nat_traits){.udp_blocked = BK_YES};
        return;
    }
    if (c->ipv4 == NAT_MODE_ROUTE) {
        out->filtering = BK_NAT_EI;
        return;
    }
    if (c->ipv4 == NAT_MODE_TRANSLATE)
        describe_translation(c, out);
    bool answers =
        c->unsolicited == NAT_UNSOLICITED_REJECT || c->unsolicited == NAT_UNSOLICITED_ICMP;
    out->unsolicited = answers ? BK_NAT_UNSOLICITED_REJECT : BK_NAT_UNSOLICITED_DROP;
    out->udp_lifetime_us = c->udp_replied_us;
}
