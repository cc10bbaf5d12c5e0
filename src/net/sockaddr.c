/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: s6_addr needs it */
#include "net/sockaddr.h"

#include <string.h>

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

socklen_t sockaddr_from(const struct bk_addr *addr, bool map, union net_sockaddr *out) {
    memset(out, 0, sizeof *out);
    if (addr->ip.family == BK_IPV4 && !map) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(addr->port);
        memcpy(&out->v4.sin_addr, addr->ip.bytes, 4);
        return sizeof out->v4;
    }
    if (addr->ip.family != BK_IPV4 && addr->ip.family != BK_IPV6)
        return 0;
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(addr->port);
    if (addr->ip.family == BK_IPV4) {
        memcpy(out->v6.sin6_addr.s6_addr, mapped_prefix, 12);
        memcpy(out->v6.sin6_addr.s6_addr + 12, addr->ip.bytes, 4);
    } else {
        memcpy(out->v6.sin6_addr.s6_addr, addr->ip.bytes, 16);
        out->v6.sin6_scope_id = addr->ip.zone;
    }
    return sizeof out->v6;
}

void sockaddr_ip4(const struct in_addr *in, struct bk_ip *out) {
    *out = (struct bk_ip){.family = BK_IPV4};
    memcpy(out->bytes, in, 4);
}

void sockaddr_ip6(const struct in6_addr *in, uint32_t zone, struct bk_ip *out) {
    *out = bk_ipv6(in->s6_addr);
    if (bk_ip_scope(out) == BK_SCOPE_LINK && out->bytes[0] == 0xfe)
        out->zone = zone;
    bk_ip_unmap(out);
}

void sockaddr_to(const union net_sockaddr *sa, struct bk_addr *out) {
    *out = (struct bk_addr){.port = 0};
    if (sa->any.sa_family == AF_INET) {
        sockaddr_ip4(&sa->v4.sin_addr, &out->ip);
        out->port = ntohs(sa->v4.sin_port);
    } else if (sa->any.sa_family == AF_INET6) {
        sockaddr_ip6(&sa->v6.sin6_addr, sa->v6.sin6_scope_id, &out->ip);
        out->port = ntohs(sa->v6.sin6_port);
    }
}
