/* SPDX-License-Identifier: MIT
 * An application gateway that means well (RFC 4787 section 7, REQ-10): it looks for the addresses
 * that the NAT changed in the payload of UDP packets, and changes them there, too. It is what
 * XOR-MAPPED-ADDRESS hides from: RFC 8489 section 14.2. */
#ifndef NAT_ALG_H
#define NAT_ALG_H

#include "nat/nat.h"
#include "nat/packet.h"

/* What the gateway makes of a payload of *len bytes: packets from inside get their source's outside
 * endpoint in place of the inside one, packets from outside the reverse. `before` and `after` are
 * the header as it came and as it leaves. Only NAT_ALG_TEXT changes *len, and never beyond `cap`:
 * what would not fit stays as it is. Returns how many places it changed. */
size_t nat_alg_payload(enum nat_alg alg, const struct nat_header *before,
                       const struct nat_header *after, uint8_t *payload, size_t *len, size_t cap);

/* The same for a packet that packet_rewrite() has dealt with: lengths and checksums follow, and a
 * wrong UDP checksum stays wrong. `cap` is the size of the buffer at p->data. Fragments and other
 * protocols are left alone. Returns how many places it changed. */
size_t packet_alg(struct packet *p, enum nat_alg alg, const struct nat_header *before, size_t cap);

#endif
