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
    .icmp_filtering = NAT_DEP_AS_UDP,
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

/* A router that keeps as little as it can, from the strict ends of Haetoenen et al., IMC 2010 (UDP
 * 30 s, TCP 239 s), refreshed from inside only, one-shot ports, mappings that a reset ends. */
static void make_home_strict(struct nat_config *c) {
    c->ports = NAT_PORT_PRESERVE_STRICT;
    c->refresh = NAT_REFRESH_OUT;
    c->udp_replied_us = 30 * BK_US_PER_S;
    c->tcp_pickup = false;
    c->tcp_reset = NAT_RESET_KILLS;
    c->tcp_partial_us = c->tcp_transitory_us = 30 * BK_US_PER_S;
    c->tcp_established_us = 239 * BK_US_PER_S;
    c->fragments = NAT_FRAGMENTS_IN_ORDER;
}

/* nft `masquerade` on Linux 6.18 and an input chain that drops: "home" and what tests rarely see,
 * ports shared by mappings to different remotes, and low ports that stay low. */
static void make_linux(struct nat_config *c) {
    c->overload = NAT_OVERLOAD_REMOTE;
    c->port_class = true;
    c->tcp_closing_us = 120 * BK_US_PER_S;
    c->tcp_reset_us = 10 * BK_US_PER_S; /* nf_conntrack_tcp_timeout_close */
    c->unsolicited_inside = NAT_UNSOLICITED_REJECT;
    c->icmp_filtering = NAT_APD;
    c->icmp_ports = NAT_PORT_PRESERVE;
}

/* The same with an input chain that accepts: packets from outside that come first move mappings. */
static void make_linux_accept(struct nat_config *c) {
    make_linux(c);
    c->inbound_first = true;
    c->unsolicited = NAT_UNSOLICITED_REJECT;
}

/* `masquerade random` or `fully-random`: Linux then looks for no mapping to share. */
static void make_linux_random(struct nat_config *c) {
    make_linux(c);
    make_symmetric(c);
    c->icmp_ports = NAT_PORT_AS_UDP; /* identifiers, too */
}

/* OpenWrt's firewall4 and its sysctl defaults (11-nf-conntrack.conf): UDP 60 and 180 s, TCP 7440 s;
 * its zone "wan" rejects what comes in. */
static void make_openwrt(struct nat_config *c) {
    make_linux(c);
    c->unsolicited = NAT_UNSOLICITED_REJECT;
    c->udp_first_us = 60 * BK_US_PER_S;
    c->udp_replied_us = 180 * BK_US_PER_S;
    c->tcp_established_us = 7440 * BK_US_PER_S;
}

/* pf as pfSense sets it up: every state its own random port ("static-port" off), strict sequence
 * numbers; timeouts of pf.conf(5): UDP 60/30/60, TCP 120/30/86400/900/45/90. */
static void make_pfsense(struct nat_config *c) {
    make_symmetric(c);
    c->udp_first_us = c->udp_replied_us = 60 * BK_US_PER_S;
    c->udp_replied_after_us = 0;
    c->tcp_pickup = false;
    c->tcp_reset_in_window = true;
    c->tcp_partial_us = 30 * BK_US_PER_S;
    c->tcp_established_us = 86400 * BK_US_PER_S;
    c->tcp_closing_us = 900 * BK_US_PER_S;
    c->tcp_transitory_us = c->tcp_reset_us = 90 * BK_US_PER_S;
    c->icmp_us = 20 * BK_US_PER_S;
}

/* A fixed-line carrier as RFC 6888 wants it and Richter et al. (IMC 2016, section 6) saw it: EIM,
 * EIF, paired, blocks of 512 ports, UDP 35 s, hairpin, no port again for 120 s. */
static void make_cgn(struct nat_config *c) {
    make_full_cone(c);
    c->ports = NAT_PORT_RANDOM;
    c->port_space = NAT_SPACE_BLOCKS;
    c->block_size = 512;
    c->blocks_per_host = 4;
    c->port_hold_us = 120 * BK_US_PER_S;
    c->udp_first_us = c->udp_replied_us = 35 * BK_US_PER_S;
    c->mappings_per_host_max = 2048;
    c->refresh_strangers = false;
    c->refusal = NAT_REFUSAL_HOST;
    c->mappings_max = 65536;
    c->sessions_max = 131072;
}

/* A cellular carrier of the hard kind: 40 % are symmetric and all seen filter by address and port
 * (NetPiculet, SIGCOMM 2011, section 4; Richter et al., section 6.4); UDP 65 s. */
static void make_cgn_cellular(struct nat_config *c) {
    make_symmetric(c);
    c->mapping = NAT_DEP_CONNECTION;
    c->udp_first_us = c->udp_replied_us = 65 * BK_US_PER_S;
    c->tcp_pickup = false;
    c->tcp_established_us = 1800 * BK_US_PER_S;
    c->mappings_per_host_max = 2048;
}

/* Five of NetPiculet's carriers: the port tells the time. */
static void make_cgn_time(struct nat_config *c) {
    make_cgn_cellular(c);
    c->ports = NAT_PORT_TIME;
}

/* Three of NetPiculet's carriers: a hash of the flow chooses one of several NATs. Give it two
 * addresses. */
static void make_cgn_mixed(struct nat_config *c) {
    make_cgn_cellular(c);
    c->mapping = NAT_DEP_HASH;
    c->ports = NAT_PORT_PRESERVE;
}

/* 21 % of fixed-line carriers: another address for every mapping (Richter et al., section 6.2).
 * Give it several. */
static void make_cgn_arbitrary(struct nat_config *c) {
    make_carrier(c);
    c->pooling = NAT_POOL_ARBITRARY;
}

/* MAP-E (RFC 7597) as Japanese providers use it: 240 ports in 15 runs of 16, a Linux router at the
 * customer's. Set `psid` for another customer. */
static void make_map_e(struct nat_config *c) {
    c->ports = NAT_PORT_RANDOM;
    c->port_space = NAT_SPACE_PSID;
    c->psid_offset = 4;
    c->psid_len = 8;
    c->psid = 0x34;
}

/* The vendors' documentation for the four clouds below; none was measured here. AWS: a random port
 * for each destination, all idle timers 350 s, then a reset for the inside. */
static void make_aws(struct nat_config *c) {
    make_symmetric(c);
    c->overload = NAT_OVERLOAD_REMOTE;
    c->tcp_pickup = false;
    c->udp_first_us = c->udp_replied_us = 350 * BK_US_PER_S;
    c->tcp_established_us = 350 * BK_US_PER_S;
    c->icmp_us = 350 * BK_US_PER_S;
}

/* Google Cloud NAT: 64 ports for a virtual machine, endpoint-dependent unless asked otherwise; UDP
 * 30 s, TCP 1200 s and 30 s, TIME_WAIT 120 s, ICMP 30 s. */
static void make_gcp(struct nat_config *c) {
    make_symmetric(c);
    c->port_space = NAT_SPACE_BLOCKS;
    c->block_size = 64;
    c->blocks_per_host = 1;
    c->udp_replied_us = 30 * BK_US_PER_S;
    c->tcp_partial_us = 30 * BK_US_PER_S;
    c->tcp_established_us = 1200 * BK_US_PER_S;
    c->tcp_transitory_us = 120 * BK_US_PER_S;
}

static void make_gcp_eim(struct nat_config *c) {
    make_gcp(c);
    c->mapping = NAT_EI;
}

/* Azure NAT Gateway: 64 512 ports of an address for everybody, drawn at random, idle 4 minutes; a
 * port rests for 65 s. */
static void make_azure(struct nat_config *c) {
    make_symmetric(c);
    c->udp_first_us = c->udp_replied_us = 240 * BK_US_PER_S;
    c->tcp_established_us = 240 * BK_US_PER_S;
    c->port_hold_us = 65 * BK_US_PER_S;
    c->tcp_pickup = false;
}

/* A company's firewall: symmetric, quick to forget, and nothing but TCP and UDP passes. 120 s: the
 * figure other labs use (patchbay's "corp"). */
static void make_corporate(struct nat_config *c) {
    make_symmetric(c);
    c->tcp_pickup = false;
    c->tcp_reset_in_window = true;
    c->icmp_errors = NAT_ICMP_ERRORS_DROP;
    c->fragments = NAT_FRAGMENTS_DROP;
    c->tcp_established_us = 3600 * BK_US_PER_S;
}

/* A firewall such as FortiGate: ports counted up in 5117-65533, UDP 180 s, TCP 3600 s, half open
 * 10 s, half closed 120 s; its SIP helper is on by default. From its documentation. */
static void make_fortinet(struct nat_config *c) {
    make_corporate(c);
    c->ports = NAT_PORT_SEQUENTIAL;
    c->port_min = 5117;
    c->port_max = 65533;
    c->icmp_errors = NAT_ICMP_ERRORS_TRANSLATE;
    c->udp_first_us = c->udp_replied_us = 180 * BK_US_PER_S;
    c->tcp_partial_us = 10 * BK_US_PER_S;
    c->tcp_closing_us = 120 * BK_US_PER_S;
    c->alg = NAT_ALG_TEXT;
}

/* A guest network: the web and names, nothing else. */
static void make_web_only(struct nat_config *c) {
    c->udp_allow = (struct nat_allow){.limited = true, .ports = {53}, .count = 1};
    c->tcp_allow = (struct nat_allow){.limited = true, .ports = {80, 443}, .count = 2};
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
    {"home-strict", "EIM, APDF, ports preserved or nothing, 30 s, refreshed from inside only",
     make_home_strict},
    {"linux-masquerade", "Linux 6.18 masquerade: home, and ports shared per destination",
     make_linux},
    {"linux-accept", "the same with open input: packets that come first move mappings",
     make_linux_accept},
    {"linux-random", "Linux 6.18 masquerade random: symmetric", make_linux_random},
    {"openwrt", "Linux, 60 s and 180 s, refuses aloud: an OpenWrt router", make_openwrt},
    {"pfsense", "APDM, APDF, random ports, 60 s, sequence numbers checked: pf", make_pfsense},
    {"cgn", "EIM, EIF, hairpin, blocks of 512 ports, 35 s: RFC 6888", make_cgn},
    {"cgn-cellular", "a new random port per connection, APDF, 65 s", make_cgn_cellular},
    {"cgn-time", "cellular, ports grow with the clock", make_cgn_time},
    {"cgn-mixed", "cellular, flows spread over several NATs by a hash", make_cgn_mixed},
    {"cgn-arbitrary", "carrier, another outside address for each mapping", make_cgn_arbitrary},
    {"map-e", "EIM, APDF, 240 ports in 15 runs of 16: RFC 7597", make_map_e},
    {"aws-nat-gateway", "symmetric, random ports, 350 s", make_aws},
    {"gcp-cloud-nat", "symmetric, 64 ports for a host, 30 s", make_gcp},
    {"gcp-cloud-nat-eim", "the same with endpoint-independent mapping", make_gcp_eim},
    {"azure", "symmetric, random ports that rest for 65 s, 4 minutes", make_azure},
    {"corporate", "symmetric, resets checked, no ICMP errors, no fragments", make_corporate},
    {"fortinet-like", "symmetric, ports counted up, 180 s, rewrites addresses in SIP",
     make_fortinet},
    {"web-only", "home, but only DNS and TCP 80 and 443 pass", make_web_only},
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
