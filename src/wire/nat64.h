/* SPDX-License-Identifier: MIT
 * IPv4 addresses as a NAT64 writes them: RFC 6052, and how its prefix is read off the answers for
 * ipv4only.arpa: RFC 7050. */
#ifndef WIRE_NAT64_H
#define WIRE_NAT64_H

#include <bodkin/addr.h>

#define NAT64_NAME "ipv4only.arpa" /* RFC 7050 section 8.2: it has no AAAA records of its own */

struct nat64_prefix {
    uint8_t bytes[16];
    uint8_t len; /* 32, 40, 48, 56, 64 or 96; 0: none */
};

/* Reads an address that the resolver gave for NAT64_NAME. false: not made by a DNS64, or it could
 * be read in more than one way. */
bool nat64_find(const struct bk_ip *answer, struct nat64_prefix *out);
/* The IPv6 address under which the NAT64 passes packets on to `v4`. false: there is no prefix, or
 * `v4` is no global IPv4 address, which nobody's NAT64 should reach for (RFC 6052 section 3.1). */
bool nat64_embed(const struct nat64_prefix *prefix, const struct bk_ip *v4, struct bk_ip *out);
/* The other way round. false: `v6` is not within the prefix. */
bool nat64_extract(const struct nat64_prefix *prefix, const struct bk_ip *v6, struct bk_ip *out);
bool nat64_prefix_equal(const struct nat64_prefix *a, const struct nat64_prefix *b);

#endif
