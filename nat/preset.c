/* SPDX-License-Identifier: MIT
 * Named boxes. A preset is the default with a few fields changed; each says what it stands for and
 * where the figures come from. */
#include "nat/nat.h"

#include <string.h>

/* What Linux does with `masquerade` and an input chain that drops, measured on 6.18: EIM, APDF,
 * port preserved, else random; UDP 30 s, 120 s once answered and older than 2 s, refreshed by both
 * directions; TCP 5 days, 120 s for SYN and TIME_WAIT; no hairpin; ICMP 30 s. */
const struct nat_config nat_config_default = {
    .ipv4 = NAT_MODE_TRANSLATE,
    .ipv6 = NAT_MODE_FIREWALL,
    .mapping = NAT_EI,
    .filtering = NAT_APD,
    .ports = NAT_PORT_PRESERVE,
    .tcp_mapping = NAT_DEP_AS_UDP,
    .tcp_filtering = NAT_DEP_AS_UDP,
    .tcp_ports = NAT_PORT_AS_UDP,
    .icmp_ports = NAT_PORT_AS_UDP,
    .mapping_epoch_us = 10 * BK_US_PER_S,
    .port_min = 1024, /* the range of Linux' fully-random */
    .port_max = 65535,
    .port_step = 1,
    .port_rate = 100,
    .port_space = NAT_SPACE_RANGE,
    .block_size = 512, /* the most frequent one: Richter et al., IMC 2016, section 5.2 */
    .psid_offset = 6,  /* RFC 7597 section 5.1: the default, keeps clear of ports 0-1023 */
    .psid_len = 6,
    .pooling = NAT_POOL_PAIRED,
    .hairpin = NAT_HAIRPIN_OFF,
    .unsolicited = NAT_UNSOLICITED_DROP,
    .refresh = NAT_REFRESH_BOTH,
    .refresh_strangers = true,
    .udp_blocked = false,
    .icmp_errors = NAT_ICMP_ERRORS_TRANSLATE,
    .fragments = NAT_FRAGMENTS_ANY_ORDER,
    .fragments_max = 64,
    .alg = NAT_ALG_OFF,
    .tcp_simultaneous_open = true,
    .tcp_pickup = true,
    .udp_first_us = 30 * BK_US_PER_S,
    .udp_replied_us = 120 * BK_US_PER_S,
    .udp_replied_after_us = 2 * BK_US_PER_S,
    .tcp_reset = NAT_RESET_SHORTENS,
    .tcp_partial_us = 120 * BK_US_PER_S,
    .tcp_established_us = 432000 * BK_US_PER_S,
    .tcp_transitory_us = 120 * BK_US_PER_S,
    .icmp_us = 30 * BK_US_PER_S,
    .mappings_max = 16384,
    .sessions_max = 32768,
    .mappings_per_host_max = 0,
    .full = NAT_FULL_DROP,
    .refusal = NAT_REFUSAL_SILENT,
};

static void change_nothing(struct nat_config *c) {
    (void)c;
}

/* RFC 4787's recommendations: EIF "for transparency" (REQ-8), hairpin (REQ-9), 5 minutes (REQ-5c),
 * TCP 2 h 4 min and 4 min (RFC 5382 REQ-5), ICMP 60 s (RFC 5508 REQ-2). */
static void make_full_cone(struct nat_config *c) {
    c->filtering = NAT_EI;
    c->hairpin = NAT_HAIRPIN_EXTERNAL;
    c->udp_first_us = c->udp_replied_us = 300 * BK_US_PER_S;
    c->tcp_established_us = 7440 * BK_US_PER_S;
    c->tcp_transitory_us = 240 * BK_US_PER_S;
    c->icmp_us = 60 * BK_US_PER_S;
}

static void make_restricted(struct nat_config *c) {
    make_full_cone(c);
    c->filtering = NAT_AD;
}

static void make_port_restricted(struct nat_config *c) {
    make_full_cone(c);
    c->filtering = NAT_APD;
    c->hairpin = NAT_HAIRPIN_OFF;
}

/* `masquerade fully-random` on Linux, and many company firewalls: a new random port per remote. */
static void make_symmetric(struct nat_config *c) {
    c->mapping = NAT_APD;
    c->ports = NAT_PORT_RANDOM;
}

/* Ports counted up, one per remote: 22 % of fixed-line and 26 % of cellular carrier NATs (Richter
 * et al., IMC 2016, table 5). */
static void make_symmetric_seq(struct nat_config *c) {
    c->mapping = NAT_APD;
    c->ports = NAT_PORT_SEQUENTIAL;
}

/* A network that lets only TCP out: 4.4 % of clients could not use QUIC (Langley et al., SIGCOMM
 * 2017). */
static void make_udp_blocked(struct nat_config *c) {
    c->udp_blocked = true;
}

/* A carrier's NAT: EIM, random port, UDP idle for 35 s at most (the median of fixed-line carriers,
 * Richter et al., IMC 2016), paired pooling, a bounded number of mappings per subscriber. */
static void make_carrier(struct nat_config *c) {
    c->ports = NAT_PORT_RANDOM;
    c->udp_first_us = c->udp_replied_us = 35 * BK_US_PER_S;
    c->mappings_per_host_max = 2048;
}

/* No translation: what a router does for IPv6 (RFC 6092) or for public IPv4 hosts. */
static void make_firewall(struct nat_config *c) {
    c->ipv4 = NAT_MODE_FIREWALL;
}

static void make_open(struct nat_config *c) {
    c->ipv4 = NAT_MODE_ROUTE;
    c->ipv6 = NAT_MODE_ROUTE;
}

static const struct {
    const char *name, *summary;
    void (*change)(struct nat_config *c);
} presets[] = {
    {"home", "EIM, APDF, ports preserved, 30 s and 120 s: a Linux router", change_nothing},
    {"full-cone", "EIM, EIF, hairpin, 5 minutes: what RFC 4787 recommends", make_full_cone},
    {"restricted", "EIM, ADF, hairpin, 5 minutes", make_restricted},
    {"port-restricted", "EIM, APDF, no hairpin, 5 minutes", make_port_restricted},
    {"symmetric", "APDM, APDF, random ports", make_symmetric},
    {"symmetric-seq", "APDM, APDF, ports counted up", make_symmetric_seq},
    {"udp-blocked", "home, but no UDP passes", make_udp_blocked},
    {"carrier", "EIM, APDF, random ports, 35 s: a carrier-grade NAT", make_carrier},
    {"firewall", "no translation, stateful filtering for both IP versions", make_firewall},
    {"open", "a plain router: no translation, no filter", make_open},
};

enum bk_err nat_preset(const char *name, struct nat_config *out) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(presets[i].name, name) != 0)
            continue;
        *out = nat_config_default;
        presets[i].change(out);
        return BK_OK;
    }
    for (size_t i = 0; i < NAT_TYPES27; i++) {
        struct nat_config type;
        if (strcmp(nat_type27(i, &type), name) != 0)
            continue;
        *out = type;
        return BK_OK;
    }
    return BK_ERR_NOT_FOUND;
}

const char *nat_preset_name(size_t index, const char **summary) {
    if (index >= sizeof presets / sizeof *presets)
        return NULL;
    if (summary != NULL)
        *summary = presets[index].summary;
    return presets[index].name;
}
