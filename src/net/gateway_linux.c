/* SPDX-License-Identifier: MIT
 * One question to rtnetlink (what `ip route get` asks): policy routing and metrics are the kernel's
 * business. */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: SOCK_CLOEXEC needs it */
#include "net/gateway.h"

#include "net/loop_private.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 4096 };

struct question {
    struct nlmsghdr header;
    struct rtmsg route;
    struct rtattr through;
    uint32_t interface;
    struct rtattr attribute;
    uint8_t address[16];
};

static enum bk_err ask(int fd, const struct bk_ip *to, uint32_t interface) {
    size_t len = to->family == BK_IPV4 ? 4 : 16;
    struct question q = {
        .header = {.nlmsg_len = (uint32_t)(offsetof(struct question, address) + len),
                   .nlmsg_type = RTM_GETROUTE,
                   .nlmsg_flags = NLM_F_REQUEST},
        .through = {.rta_len = RTA_LENGTH(sizeof interface), .rta_type = RTA_OIF},
        .interface = interface, /* 0: the kernel chooses */
        .route = {.rtm_family = to->family == BK_IPV4 ? AF_INET : AF_INET6,
                  .rtm_dst_len = (unsigned char)(len * 8)},
        .attribute = {.rta_len = (uint16_t)(RTA_LENGTH(0) + len), .rta_type = RTA_DST},
    };
    memcpy(q.address, to->bytes, len);
    return send(fd, &q, q.header.nlmsg_len, 0) < 0 ? loop_err(errno) : BK_OK;
}

static void take_gateway(int family, const uint8_t *value, size_t len, struct bk_ip *out) {
    struct in_addr v4;
    struct in6_addr v6;
    if (family == AF_INET && len == sizeof v4) {
        memcpy(&v4, value, sizeof v4);
        sockaddr_ip4(&v4, out);
    } else if (family == AF_INET6 && len == sizeof v6) {
        memcpy(&v6, value, sizeof v6);
        sockaddr_ip6(&v6, 0, out);
    }
}

/* Reads the attributes behind the route's fixed part; family NONE: there is no gateway. */
static void read_attributes(const uint8_t *at, size_t left, int family, struct bk_ip *out) {
    struct rtattr attribute;
    uint32_t interface = 0;
    while (left >= sizeof attribute) {
        memcpy(&attribute, at, sizeof attribute);
        if (attribute.rta_len < sizeof attribute || attribute.rta_len > left)
            break;
        const uint8_t *value = at + RTA_LENGTH(0);
        size_t len = attribute.rta_len - RTA_LENGTH(0), step = RTA_ALIGN(attribute.rta_len);
        if (attribute.rta_type == RTA_GATEWAY)
            take_gateway(family, value, len, out);
        else if (attribute.rta_type == RTA_OIF && len == sizeof interface)
            memcpy(&interface, value, sizeof interface);
        if (step >= left)
            break;
        at += step;
        left -= step;
    }
    if (out->family == BK_IPV6 && bk_ip_scope(out) == BK_SCOPE_LINK)
        out->zone = interface;
}

static enum bk_err read_answer(int fd, struct bk_ip *out) {
    uint8_t answer[ANSWER_MAX];
    struct nlmsghdr header;
    struct nlmsgerr failure;
    struct rtmsg route;
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got < (ssize_t)sizeof header)
        return got < 0 ? loop_err(errno) : BK_ERR_IO;
    memcpy(&header, answer, sizeof header);
    if (header.nlmsg_len > (size_t)got)
        return BK_ERR_IO;
    if (header.nlmsg_type == NLMSG_ERROR && header.nlmsg_len >= NLMSG_LENGTH(sizeof failure)) {
        memcpy(&failure, answer + NLMSG_HDRLEN, sizeof failure);
        return loop_err(-failure.error);
    }
    if (header.nlmsg_type != RTM_NEWROUTE || header.nlmsg_len < NLMSG_SPACE(sizeof route))
        return BK_ERR_IO;
    memcpy(&route, answer + NLMSG_HDRLEN, sizeof route);
    struct bk_ip found = {.family = BK_FAMILY_NONE};
    read_attributes(answer + NLMSG_SPACE(sizeof route),
                    header.nlmsg_len - NLMSG_SPACE(sizeof route), route.rtm_family, &found);
    if (found.family == BK_FAMILY_NONE)
        return BK_ERR_NOT_FOUND;
    *out = found;
    return BK_OK;
}

enum bk_err net_gateway_for(const struct bk_ip *to, struct bk_ip *out) {
    return net_gateway_via(to, 0, out);
}

enum bk_err net_gateway_via(const struct bk_ip *to, uint32_t interface, struct bk_ip *out) {
    if (to->family != BK_IPV4 && to->family != BK_IPV6)
        return BK_ERR_ARGUMENT;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return loop_err(errno);
    enum bk_err err = ask(fd, to, interface);
    if (err == BK_OK)
        err = read_answer(fd, out);
    (void)close(fd);
    return err;
}

#else
typedef int gateway_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
