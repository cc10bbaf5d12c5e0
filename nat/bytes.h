/* SPDX-License-Identifier: MIT
 * Where things are in IP packets, for packet.c and answer.c. Offsets are patched in place, which is
 * why this code indexes bytes; packet_parse() has checked every offset it hands out. */
#ifndef NAT_BYTES_H
#define NAT_BYTES_H

#include <stddef.h>
#include <stdint.h>

enum {
    IP4_LEN = 2, /* offsets in an IPv4 header, RFC 791 section 3.1 */
    IP4_ID = 4,
    IP4_FRAGMENT = 6,
    IP4_TTL = 8,
    IP4_PROTO = 9,
    IP4_CHECKSUM = 10,
    IP4_SRC = 12,
    IP4_DST = 16,
    IP4_HEADER = 20,

    IP6_LEN = 4, /* in an IPv6 header, RFC 8200 section 3 */
    IP6_NEXT = 6,
    IP6_HOPS = 7,
    IP6_SRC = 8,
    IP6_DST = 24,
    IP6_HEADER = 40,

    PROTO_ICMP4 = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ICMP6 = 58,

    UDP_LEN = 4, /* in transport headers; ports are at 0 and 2 */
    UDP_CHECKSUM = 6,
    UDP_HEADER = 8,
    TCP_SEQ = 4,
    TCP_ACK = 8,
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_CHECKSUM = 16,
    TCP_HEADER = 20,
    ICMP_CHECKSUM = 2,
    ICMP_ID = 4,
    ICMP_HEADER = 8
};

/* The sum of the pseudo header of the packet at `ip`, RFC 9293 section 3.1 and RFC 8200 8.1. */
uint32_t pseudo_sum(const uint8_t *ip, uint8_t proto, size_t transport_len);

#endif
