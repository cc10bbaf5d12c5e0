/* SPDX-License-Identifier: MIT
 * What a NAT looks at in a packet, whether it came as bytes (nat/packet.h), from the simulator or
 * from a test. Nothing here knows how the packet is stored. */
#ifndef NAT_HEADER_H
#define NAT_HEADER_H

#include <bodkin/addr.h>
#include <stdint.h>

/* ICMPv4 and ICMPv6 are one protocol here; the addresses say which. */
enum nat_proto { NAT_UDP, NAT_TCP, NAT_ICMP, NAT_PROTOS };

/* TCP flags a NAT acts on, with their values on the wire. */
enum { NAT_TCP_FIN = 1, NAT_TCP_SYN = 2, NAT_TCP_RST = 4, NAT_TCP_ACK = 16 };

enum nat_icmp {
    NAT_ICMP_ECHO,       /* its identifier is src.port; dst.port is 0 */
    NAT_ICMP_ECHO_REPLY, /* its identifier is dst.port; src.port is 0 */
    NAT_ICMP_ERROR,      /* quotes the packet it is about: `inner` below; ports are 0 */
    NAT_ICMP_OTHER       /* router discovery and the like: never crosses a NAT */
};

/* The flow a packet belongs to, as its sender wrote it. The identifier of an ICMP echo stands where
 * a port would: RFC 5508 section 3.1 treats the two alike. */
struct nat_flow {
    enum nat_proto proto;
    struct bk_addr src, dst;
};

struct nat_header {
    struct nat_flow flow;
    uint8_t tcp_flags;        /* TCP only */
    uint32_t tcp_seq;         /* TCP only: its sequence number, 0 where nobody counts, */
    uint32_t tcp_len;         /*   and how far it moves on: data, SYN and FIN */
    enum nat_icmp icmp;       /* ICMP only */
    struct nat_flow inner;    /* NAT_ICMP_ERROR only: the quoted packet */
    enum nat_icmp inner_icmp; /* and, if that is ICMP, which */
};

#endif
