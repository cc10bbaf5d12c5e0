/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: struct ifreq and SOCK_CLOEXEC need it */
#include "lab/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A request being built: header, one fixed body, attributes. */
struct request {
    _Alignas(struct nlmsghdr) uint8_t bytes[256];
    size_t len;
};

static void request_begin(struct request *r, uint16_t type, uint16_t flags, const void *body,
                          size_t body_len) {
    memset(r, 0, sizeof *r);
    struct nlmsghdr header = {.nlmsg_type = type,
                              .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)};
    memcpy(r->bytes, &header, sizeof header);
    memcpy(r->bytes + NLMSG_HDRLEN, body, body_len);
    r->len = NLMSG_HDRLEN + NLMSG_ALIGN(body_len);
}

/* Every attribute here is at most 16 bytes and there are at most four: they fit. */
static void request_attribute(struct request *r, uint16_t type, const void *value, size_t len) {
    struct rtattr attribute = {.rta_len = (uint16_t)(RTA_LENGTH(0) + len), .rta_type = type};
    memcpy(r->bytes + r->len, &attribute, sizeof attribute);
    memcpy(r->bytes + r->len + RTA_LENGTH(0), value, len);
    r->len += RTA_SPACE(len);
}

/* Sends the request and waits for the kernel's acknowledgement. */
static enum bk_err request_send(struct netlink *n, struct request *r) {
    struct nlmsghdr header;
    memcpy(&header, r->bytes, sizeof header);
    header.nlmsg_len = (uint32_t)r->len;
    header.nlmsg_seq = ++n->sequence;
    memcpy(r->bytes, &header, sizeof header);
    if (send(n->route, r->bytes, r->len, 0) < 0)
        return BK_ERR_IO;
    uint8_t answer[1024];
    ssize_t got = recv(n->route, answer, sizeof answer, 0);
    struct nlmsgerr result;
    if (got < (ssize_t)(NLMSG_HDRLEN + sizeof result)) {
        errno = got < 0 ? errno : EPROTO;
        return BK_ERR_IO;
    }
    memcpy(&result, answer + NLMSG_HDRLEN, sizeof result);
    if (result.error == 0)
        return BK_OK;
    errno = -result.error;
    return BK_ERR_IO;
}

enum bk_err netlink_open(struct netlink *n) {
    *n = (struct netlink){.route = -1, .inet = -1};
    n->route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    n->inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n->route >= 0 && n->inet >= 0)
        return BK_OK;
    int saved = errno;
    netlink_close(n);
    errno = saved;
    return BK_ERR_IO;
}

void netlink_close(struct netlink *n) {
    if (n->route >= 0)
        close(n->route);
    if (n->inet >= 0)
        close(n->inet);
    *n = (struct netlink){.route = -1, .inet = -1};
}

static struct ifreq named(const char *interface) {
    struct ifreq r;
    memset(&r, 0, sizeof r);
    strncpy(r.ifr_name, interface, sizeof r.ifr_name - 1);
    return r;
}

enum bk_err netlink_link_up(struct netlink *n, const char *interface) {
    struct ifreq r = named(interface);
    if (ioctl(n->inet, SIOCGIFFLAGS, &r) < 0)
        return BK_ERR_IO;
    r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
    return ioctl(n->inet, SIOCSIFFLAGS, &r) < 0 ? BK_ERR_IO : BK_OK;
}

/* By rtnetlink: the ioctl for the queue's length wants the machine's root, not the namespace's. */
enum bk_err netlink_link_size(struct netlink *n, const char *interface, uint32_t mtu,
                              uint32_t queue_packets) {
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)if_nametoindex(interface)};
    struct request r;
    request_begin(&r, RTM_SETLINK, 0, &body, sizeof body);
    request_attribute(&r, IFLA_MTU, &mtu, sizeof mtu);
    request_attribute(&r, IFLA_TXQLEN, &queue_packets, sizeof queue_packets);
    return request_send(n, &r);
}

static unsigned char family_of(const struct bk_ip *ip) {
    return ip->family == BK_IPV4 ? AF_INET : AF_INET6;
}

static size_t length_of(const struct bk_ip *ip) {
    return ip->family == BK_IPV4 ? 4 : 16;
}

enum bk_err netlink_add_address(struct netlink *n, const char *interface,
                                const struct topology_prefix *address) {
    struct ifaddrmsg body = {.ifa_family = family_of(&address->ip),
                             .ifa_prefixlen = address->bits,
                             .ifa_flags = address->ip.family == BK_IPV6 ? IFA_F_NODAD : 0,
                             .ifa_scope = RT_SCOPE_UNIVERSE,
                             .ifa_index = if_nametoindex(interface)};
    struct request r;
    request_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    request_attribute(&r, IFA_LOCAL, address->ip.bytes, length_of(&address->ip));
    request_attribute(&r, IFA_ADDRESS, address->ip.bytes, length_of(&address->ip));
    return request_send(n, &r);
}

enum bk_err netlink_add_default_route(struct netlink *n, const char *interface,
                                      const struct bk_ip *source) {
    struct rtmsg body = {.rtm_family = family_of(source),
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = RTPROT_BOOT,
                         .rtm_scope = RT_SCOPE_LINK,
                         .rtm_type = RTN_UNICAST};
    uint32_t index = if_nametoindex(interface);
    struct request r;
    request_begin(&r, RTM_NEWROUTE, NLM_F_CREATE, &body, sizeof body);
    request_attribute(&r, RTA_OIF, &index, sizeof index);
    if (source->family == BK_IPV4)
        request_attribute(&r, RTA_PREFSRC, source->bytes, length_of(source));
    return request_send(n, &r);
}
