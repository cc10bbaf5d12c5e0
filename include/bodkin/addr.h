/* SPDX-License-Identifier: MIT
 * IP addresses and transport addresses, without any system type. */
#ifndef BODKIN_ADDR_H
#define BODKIN_ADDR_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The values are those of the IP header's version field; 0 is no address at all. */
enum bk_family { BK_FAMILY_NONE = 0, BK_IPV4 = 4, BK_IPV6 = 6 };

/* An IP address. IPv4 uses bytes[0..3], the rest is zero: two equal addresses are equal bytes. */
struct bk_ip {
    uint8_t family; /* enum bk_family */
    uint8_t bytes[16];
    uint32_t zone; /* IPv6 link-local only: the interface index; otherwise 0 */
};

/* A transport address: what RFC 8445 calls the combination of an IP address and a port. */
struct bk_addr {
    struct bk_ip ip;
    uint16_t port; /* host byte order */
};

/* What a message travels in. */
enum bk_protocol {
    BK_UDP, /* a datagram */
    BK_TCP  /* one message of a connection, without the length that frames it (RFC 4571) */
};

/* One UDP datagram, or one message of a framed connection, going either way. A view: `data` belongs
 * to whoever made it and is valid until the next call on that object. */
struct bk_datagram {
    struct bk_addr local;  /* ours; the wildcard address leaves the choice to routing */
    struct bk_addr remote; /* theirs */
    const uint8_t *data;
    size_t len;
    size_t segment;   /* 0: one datagram. Otherwise `data` is a train of datagrams of this size, of
                         which the last may be shorter (UDP segmentation offload) */
    uint8_t ttl;      /* outgoing: 0 means the system's default */
    uint8_t ecn;      /* the two ECN bits, RFC 3168 section 5 */
    uint8_t protocol; /* enum bk_protocol; 0: UDP */
};

/* How far an address reaches. Order matters: a larger scope can stand in for a smaller one. */
enum bk_scope {
    BK_SCOPE_NONE,     /* unspecified, multicast, broadcast, reserved: never a peer */
    BK_SCOPE_LOOPBACK, /* 127/8, ::1 */
    BK_SCOPE_LINK,     /* 169.254/16, fe80::/10 */
    BK_SCOPE_PRIVATE,  /* RFC 1918, RFC 6598 (100.64/10), RFC 7335 (192.0.0.0/29), fc00::/7 */
    BK_SCOPE_GLOBAL    /* everything else */
};

enum { BK_ADDR_TEXT_MAX = 64 }; /* room for the longest text below, with its NUL */

/* bk_ipv4(192, 0, 2, 1) is 192.0.2.1. */
BK_API struct bk_ip bk_ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d);
/* 16 bytes in network order; no zone. */
BK_API struct bk_ip bk_ipv6(const uint8_t bytes[16]);
/* `port` in host byte order. */
BK_API struct bk_addr bk_addr(struct bk_ip ip, uint16_t port);

/* Family, bytes and zone. */
BK_API bool bk_ip_equal(const struct bk_ip *a, const struct bk_ip *b);
/* The same, and the port. */
BK_API bool bk_addr_equal(const struct bk_addr *a, const struct bk_addr *b);
/* Total order, for sorting: family, bytes, zone, port. */
BK_API int bk_addr_compare(const struct bk_addr *a, const struct bk_addr *b);
/* 0.0.0.0 or ::, the wildcard address. */
BK_API bool bk_ip_is_any(const struct bk_ip *ip);
/* By the IANA special-purpose registries, as listed at enum bk_scope. */
BK_API enum bk_scope bk_ip_scope(const struct bk_ip *ip);
/* Turns ::ffff:a.b.c.d into a.b.c.d; leaves everything else alone. */
BK_API void bk_ip_unmap(struct bk_ip *ip);

/* "192.0.2.1" or "2001:db8::1%3" (RFC 5952). `out` has room for BK_ADDR_TEXT_MAX. Returns `out`. */
BK_API char *bk_ip_format(const struct bk_ip *ip, char *out);
/* "192.0.2.1:3478" or "[2001:db8::1]:3478". `out` has room for BK_ADDR_TEXT_MAX. Returns `out`. */
BK_API char *bk_addr_format(const struct bk_addr *addr, char *out);

/* Reads what bk_ip_format writes, and every other RFC 4291 spelling. Names are not resolved.
 * BK_ERR_MALFORMED: not an IP address. */
BK_API BK_MUST_USE enum bk_err bk_ip_parse(const char *text, struct bk_ip *out);
/* Reads what bk_addr_format writes. BK_ERR_MALFORMED: not an address with a port. */
BK_API BK_MUST_USE enum bk_err bk_addr_parse(const char *text, struct bk_addr *out);

#ifdef __cplusplus
}
#endif
#endif
