/* SPDX-License-Identifier: MIT
 * The addresses of this machine that a peer could use. */
#ifndef NET_INTERFACES_H
#define NET_INTERFACES_H

#include "net/loop.h"
#include <bodkin/addr.h>

enum { NET_INTERFACES_MAX = 64, NET_INTERFACE_NAME_MAX = 16 };

struct net_interface {
    char name[NET_INTERFACE_NAME_MAX]; /* "eth0" */
    uint32_t index;                    /* the kernel's number, the `zone` of link-local addresses */
    struct bk_ip ip;
    uint8_t prefix_len;
    bool loopback;
    bool point_to_point; /* a tunnel or VPN, most likely */
    bool temporary;      /* IPv6, made so that the host cannot be followed: RFC 8981 */
    bool deprecated;     /* IPv6, for what has begun and no new use: RFC 4862 section 5.5.4 */
    bool tentative;      /* IPv6, not ours yet, or found to be another's: RFC 4862 section 5.4 */
};

/* Lists the addresses of interfaces that are up, in the kernel's order, at most `cap`. Nothing
 * multicast, unspecified or tentative. *count says how many were written. BK_ERR_IO. */
BK_MUST_USE enum bk_err net_interfaces(struct net_interface *out, size_t cap, size_t *count);

/* Leaves out, in place, what RFC 8445 section 5.1.1.1 forbids as a candidate, but for loopback:
 * site-local and IPv4-compatible addresses, and what would betray a host that hides behind
 * temporary addresses: others of the same prefix and interface, and link-local ones. How many are
 * left. */
size_t net_interfaces_choose(struct net_interface *list, size_t count);

/* Sorts, in place, by what a new path should rather have at its end, in the sense of RFC 6724:
 * temporary IPv6, IPv6, IPv4, unique local IPv6, IPv4 of a translator in this host (464XLAT, RFC
 * 6877); deprecated and link-local ones last. The order is kept otherwise. */
void net_interfaces_rank(struct net_interface *list, size_t count);

/* Is this an address of a translator from IPv4 to IPv6 in this host, which every such host has?
 * 192.0.0.0/29, RFC 7335. */
bool net_ip_is_clat(const struct bk_ip *ip);

/* For net_interfaces(): sets `temporary`, `deprecated` and `tentative` where the system tells. */
void interfaces_mark_temporary(struct net_interface *list, size_t count);
/* The same by one line of Linux's /proc/net/if_inet6: address, index, prefix length, scope, flags,
 * each in hexadecimal, and a name. */
void interfaces_mark_by_line(const char *line, struct net_interface *list, size_t count);

/* The address the system would send from to reach `to`: connects a UDP socket, sends nothing.
 * BK_ERR_UNREACHABLE: no route. */
BK_MUST_USE enum bk_err net_source_for(const struct bk_addr *to, struct bk_ip *out);

/* Calls back after the set of addresses or routes has changed, at most every 100 ms. */
struct net_interface_watch;
BK_MUST_USE enum bk_err net_interface_watch_new(struct net_loop *loop, void (*on_change)(void *ctx),
                                                void *ctx, struct net_interface_watch **out);
void net_interface_watch_free(struct net_interface_watch *w);

#endif
