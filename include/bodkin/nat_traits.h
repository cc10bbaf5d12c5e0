/* SPDX-License-Identifier: MIT
 * What a NAT does, in the words of RFC 4787, as far as it decides how two peers can meet. A
 * classifier fills it (bodkin/natcheck.h), an oracle reads two of them and says what is
 * possible between them (bodkin/oracle.h).
 *
 * Plain data: copy it, compare it, send it to the other side. All zero means "nothing is known". */
#ifndef BODKIN_NAT_TRAITS_H
#define BODKIN_NAT_TRAITS_H

#include <bodkin/addr.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum bk_maybe { BK_UNKNOWN, BK_NO, BK_YES };

/* On which part of the remote endpoint a behaviour depends. RFC 4787 sections 4.1 and 5. */
enum bk_nat_dep {
    BK_NAT_DEP_UNKNOWN,
    BK_NAT_EI, /* on nothing: endpoint-independent */
    BK_NAT_AD, /* on its address: address-dependent */
    BK_NAT_APD /* on its address and port: address- and port-dependent */
};

/* Which outside port a new mapping gets. RFC 4787 section 4.2.1. */
enum bk_nat_ports {
    BK_NAT_PORTS_UNKNOWN,
    BK_NAT_PORTS_PRESERVE,   /* the inside port, while it is free */
    BK_NAT_PORTS_SEQUENTIAL, /* the last one given, plus `step` */
    BK_NAT_PORTS_RANDOM,     /* any of the ports in [port_min, port_max] */
    BK_NAT_PORTS_TIME        /* grows with the clock, `ports_per_s` */
};

enum bk_nat_hairpin {
    BK_NAT_HAIRPIN_UNKNOWN,
    BK_NAT_HAIRPIN_NONE,
    BK_NAT_HAIRPIN_EXTERNAL, /* delivered, the source is the sender's mapping: RFC 4787 REQ-9a */
    BK_NAT_HAIRPIN_INTERNAL  /* delivered with the inside source, which breaks most peers */
};

/* What happens to a UDP packet from outside that nobody asked for. */
enum bk_nat_unsolicited {
    BK_NAT_UNSOLICITED_UNKNOWN,
    BK_NAT_UNSOLICITED_DROP,
    BK_NAT_UNSOLICITED_REJECT
};

struct bk_nat_traits {
    enum bk_maybe translated;  /* NO: the outside sees the host's own address */
    enum bk_maybe udp_blocked; /* YES: nothing else about UDP is known */
    enum bk_maybe udp_limited; /* YES: UDP passes only to some well-known ports, such as 53 */
    enum bk_nat_dep mapping;   /* EI when translated == BK_NO */
    enum bk_nat_dep filtering; /* of the box, or of a firewall without translation */
    enum bk_nat_ports ports;
    int32_t step;         /* SEQUENTIAL: signed, not 0. PRESERVE: how far the next one is
                             taken when that one is not free; 0: no such rule known */
    double ports_per_s;   /* TIME: how fast; 0: unknown */
    double foreign_per_s; /* SEQUENTIAL: new mappings that others make, a second */
    uint16_t port_min;    /* RANDOM, and other choices within a block: where its mappings */
    uint16_t port_max;    /*   fall, inclusive; 0: unknown, taken as 1024..65535 */
    uint32_t port_count;  /* how many ports that are; fewer than max - min + 1 when the set
                             has gaps (MAP-E); 0: all of them */
    enum bk_maybe paired; /* NO: another outside address per mapping. RFC 4787 REQ-2 */
    enum bk_nat_hairpin hairpin;
    enum bk_nat_unsolicited unsolicited;
    enum bk_maybe inbound_first; /* YES: a packet from outside before the one from inside spoils the
                                    mapping, so the first one out must not reach the peer's NAT */
    uint32_t mappings_max;       /* at once, as far as measured; 0: unknown */
    int64_t udp_lifetime_us;     /* of a mapping that was answered; 0: unknown */
    struct bk_ip external;       /* the address the outside sees; family 0: unknown */
    struct bk_ip inner;          /* of two NATs in a row (CGN): the outside address of the one next
                                    to the host, as PCP or UPnP IGD tell it; family 0: unknown */
    enum bk_maybe two_nats;      /* YES: there is such a second one */
    enum bk_maybe port_mapping;  /* YES: PCP, NAT-PMP or UPnP IGD opens a port for all the world */
    enum bk_maybe tcp_punch;     /* YES: a SYN may come in after one went out, RFC 5382 REQ-2b */
    enum bk_maybe ipv6;          /* YES: the host has a global IPv6 address, too, and UDP on it */
};

/* Text for people: "endpoint-independent", "port-preserving" ... never NULL. */
BK_API const char *bk_nat_dep_text(enum bk_nat_dep dep);
BK_API const char *bk_nat_ports_text(enum bk_nat_ports ports);
/* The old name (RFC 3489): "full cone", "port-restricted cone", "symmetric" ...; "" when unknown.
 */
BK_API const char *bk_nat_cone_text(const struct bk_nat_traits *traits);

#ifdef __cplusplus
}
#endif

#endif
