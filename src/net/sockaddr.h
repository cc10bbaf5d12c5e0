/* SPDX-License-Identifier: MIT
 * Private to net: addresses between the house's form and the system's. */
#ifndef NET_SOCKADDR_H
#define NET_SOCKADDR_H

#include <bodkin/addr.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

union net_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* `map`: write IPv4 as ::ffff:a.b.c.d, for IPv6 sockets. Gives the length, 0: no address. */
socklen_t sockaddr_from(const struct bk_addr *addr, bool map, union net_sockaddr *out);
/* Unmaps. Anything but an IP address becomes family NONE. */
void sockaddr_to(const union net_sockaddr *sa, struct bk_addr *out);
void sockaddr_ip4(const struct in_addr *in, struct bk_ip *out);
/* Unmaps; `zone` is kept for link-local addresses only. */
void sockaddr_ip6(const struct in6_addr *in, uint32_t zone, struct bk_ip *out);

#endif
