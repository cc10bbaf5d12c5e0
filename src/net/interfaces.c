/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: IFF_UP and getifaddrs() needs it */
#include "net/interfaces.h"

#include "net/loop_private.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

static uint8_t count_ones(const uint8_t *mask, size_t len) {
    uint8_t ones = 0;
    for (size_t i = 0; i < len * 8 && (mask[i / 8] & (0x80u >> (i % 8))) != 0; i++)
        ones++;
    return ones;
}

static uint8_t prefix_of(const struct sockaddr *mask) {
    union net_sockaddr sa;
    if (mask == NULL)
        return 0;
    if (mask->sa_family == AF_INET) {
        memcpy(&sa.v4, mask, sizeof sa.v4);
        return count_ones((const uint8_t *)&sa.v4.sin_addr, 4);
    }
    if (mask->sa_family == AF_INET6) {
        memcpy(&sa.v6, mask, sizeof sa.v6);
        return count_ones(sa.v6.sin6_addr.s6_addr, 16);
    }
    return 0;
}

static bool convert(const struct ifaddrs *from, struct net_interface *out) {
    union net_sockaddr sa;
    struct bk_addr addr;
    if (from->ifa_addr == NULL || (from->ifa_flags & IFF_UP) == 0 ||
        (from->ifa_addr->sa_family != AF_INET && from->ifa_addr->sa_family != AF_INET6))
        return false;
    memcpy(&sa, from->ifa_addr, from->ifa_addr->sa_family == AF_INET ? sizeof sa.v4 : sizeof sa.v6);
    sockaddr_to(&sa, &addr);
    if (bk_ip_scope(&addr.ip) == BK_SCOPE_NONE)
        return false;
    *out = (struct net_interface){
        .index = if_nametoindex(from->ifa_name),
        .ip = addr.ip,
        .prefix_len = prefix_of(from->ifa_netmask),
        .loopback = (from->ifa_flags & IFF_LOOPBACK) != 0,
        .point_to_point = (from->ifa_flags & IFF_POINTOPOINT) != 0,
    };
    strncpy(out->name, from->ifa_name, sizeof out->name - 1);
    return true;
}

enum bk_err net_interfaces(struct net_interface *out, size_t cap, size_t *count) {
    struct ifaddrs *list;
    size_t n = 0;
    if (getifaddrs(&list) != 0)
        return BK_ERR_IO;
    for (const struct ifaddrs *i = list; i != NULL && n < cap; i = i->ifa_next)
        if (convert(i, &out[n]))
            n++;
    freeifaddrs(list);
    interfaces_mark_temporary(out, n);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (!out[i].tentative)
            out[(*count)++] = out[i];
    return BK_OK;
}

enum bk_err net_source_for(const struct bk_addr *to, struct bk_ip *out) {
    union net_sockaddr sa;
    struct bk_addr local = {.port = 0};
    socklen_t len = sockaddr_from(to, false, &sa);
    if (len == 0)
        return BK_ERR_ARGUMENT;
    int fd = socket(sa.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return loop_err(errno);
    bool found = connect(fd, &sa.any, len) == 0 && getsockname(fd, &sa.any, &len) == 0;
    close(fd);
    if (found)
        sockaddr_to(&sa, &local);
    if (local.ip.family == BK_FAMILY_NONE || bk_ip_is_any(&local.ip))
        return BK_ERR_UNREACHABLE;
    *out = local.ip;
    return BK_OK;
}
