/* SPDX-License-Identifier: MIT */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: in6_pktinfo needs it */
#include "net/control_linux.h"

#include "net/sockaddr.h"
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

static void read_one(const struct cmsghdr *c, struct bk_datagram *d) {
    const void *data = CMSG_DATA(c);
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, data, sizeof info);
        sockaddr_ip4(&info.ipi_spec_dst, &d->local.ip);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, data, sizeof info);
        sockaddr_ip6(&info.ipi6_addr, info.ipi6_ifindex, &d->local.ip);
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
        d->ecn = *(const uint8_t *)data & 3;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
        int tclass;
        memcpy(&tclass, data, sizeof tclass);
        d->ecn = (uint8_t)(tclass & 3);
    } else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
        int size;
        memcpy(&size, data, sizeof size);
        if (size > 0 && (size_t)size < d->len)
            d->segment = (size_t)size;
    }
}

void control_read(struct msghdr *m, struct bk_datagram *d) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c))
        read_one(c, d);
}

void control_add(struct msghdr *m, int level, int type, const void *data, size_t len) {
    struct cmsghdr *c = (void *)((uint8_t *)m->msg_control + m->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    m->msg_controllen += CMSG_SPACE(len);
}

void control_add_source(struct msghdr *m, const struct bk_ip *ip) {
    if (ip->family == BK_IPV4) { /* also on IPv6 sockets, for mapped destinations */
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, ip->bytes, 4);
        control_add(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = ip->zone};
        memcpy(&info.ipi6_addr, ip->bytes, 16);
        control_add(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
}

#else
typedef int control_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
