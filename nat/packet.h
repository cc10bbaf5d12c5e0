/* SPDX-License-Identifier: MIT
 * Real IP packets, for whoever feeds a `struct nat` from a TUN device: bytes to header, header back
 * into the bytes with checksums updated incrementally (RFC 1624), and the packets a router makes
 * itself (ICMP errors, TCP resets).
 *
 * IP options and the common IPv6 extension headers are stepped over, RFC 8200 section 4. Fragments
 * are refused by packet_parse() (BK_ERR_UNSUPPORTED); for those who forward them,
 * packet_parse_any() takes them, and nat/fragment.h sends the later ones, which have no ports,
 * after their first one.
 *
 * With a virtio-net header that says NEEDS_CSUM, the TCP or UDP checksum field holds the folded,
 * un-inverted sum of the pseudo-header only: it depends on the addresses but not on the ports. Pass
 * `partial_csum` and it is kept that way; whoever sends the packet on keeps the vnet header. */
#ifndef NAT_PACKET_H
#define NAT_PACKET_H

#include "nat/header.h"
#include "nat/nat.h"
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum packet_part {
    PACKET_WHOLE,
    PACKET_FIRST, /* the first fragment of a packet */
    PACKET_LATER  /* another one: in `header` there are only addresses, `transport` is 0 */
};

/* A view of one IP packet in the caller's buffer, valid as long as that is. */
struct packet {
    uint8_t *data;
    size_t len;               /* as the IP header says; what follows it in the buffer is ignored */
    struct nat_header header; /* what nat_packet() wants */
    uint8_t hops;             /* TTL or hop limit */
    bool partial_csum;
    enum packet_part part;
    uint8_t ip_proto; /* fragments only: protocol number, identification, and offset in */
    uint32_t ip_id;   /*   units of 8 bytes */
    uint16_t ip_offset;
    size_t transport;       /* offset of the UDP, TCP or ICMP header */
    size_t inner;           /* offset of the IP packet an ICMP error quotes; 0: none */
    size_t inner_transport; /* and of the quoted transport header */
};

/* Reads `data`, changes nothing. Checks lengths, the IPv4 header checksum and (RFC 5508 REQ-3) the
 * checksum of ICMP; a UDP or TCP checksum is the receiver's business. Any trouble in the
 * packet an ICMP error quotes makes the error NAT_ICMP_OTHER, which no NAT forwards.
 * BK_ERR_SHORT, BK_ERR_MALFORMED; BK_ERR_UNSUPPORTED: a fragment, another transport protocol. */
BK_MUST_USE enum bk_err packet_parse(struct packet *out, uint8_t *data, size_t len,
                                     bool partial_csum);

/* The same, and takes fragments, too. A first one must hold the whole transport header
 * (BK_ERR_SHORT); its checksums, and the lengths of its payload, cannot be verified. */
BK_MUST_USE enum bk_err packet_parse_any(struct packet *out, uint8_t *data, size_t len,
                                         bool partial_csum);

/* Writes `to` (as nat_packet() returned it for p->header) into the bytes: addresses, ports, the
 * quoted packet of an ICMP error, all checksums. Protocol and kind must be the same, families too.
 * p->header is `to` afterwards. */
void packet_rewrite(struct packet *p, const struct nat_header *to);

/* Writes only the addresses, of a fragment that has nothing else. Families must be the same. */
void packet_rewrite_addresses(struct packet *p, const struct bk_ip *src, const struct bk_ip *dst);

/* A router passes the packet on: hop count less one. BK_ERR_TIMEOUT: it has none left; unchanged,
 * answer NAT_ANSWER_TIME_EXCEEDED. */
BK_MUST_USE enum bk_err packet_hop(struct packet *p);

enum { PACKET_ANSWER_MAX = 1280 }; /* no answer is longer, RFC 4443 section 2.4 (c) */

/* The packet with which a router at address `from` refuses `cause`. A reset comes from the address
 * that was called, as the called host's would. The result has complete checksums and needs no vnet
 * header. BK_ERR_UNSUPPORTED: RFC 1122 section 3.2.2 forbids an answer (to an ICMP error, to a
 * multicast, to a reset), or there is none; BK_ERR_TOO_LONG: `cap` is too small (PACKET_ANSWER_MAX
 * is enough); BK_ERR_ARGUMENT: `from` has the other family. */
BK_MUST_USE enum bk_err packet_build_answer(const struct packet *cause, enum nat_answer answer,
                                            const struct bk_ip *from, uint8_t *out, size_t cap,
                                            size_t *len);

/* A SYN with this header's addresses, ports and sequence number and nothing else, for
 * packet_build_answer() when the SYN itself is gone: nat_next_late(). BK_ERR_TOO_LONG: `cap` is too
 * small (60 is enough). */
BK_MUST_USE enum bk_err packet_build_syn(const struct nat_header *syn, uint8_t *out, size_t cap,
                                         size_t *len);

/* Computes every checksum of a packet from nothing and compares; for tests and tools. A zero UDP
 * checksum over IPv4 counts as right. Not for partial checksums. */
bool packet_checksums_right(const struct packet *p);

#endif
