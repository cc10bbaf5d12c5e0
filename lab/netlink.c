/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: struct ifreq and SOCK_CLOEXEC need it */
#include "lab/netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 256 }; /* header, one fixed body, at most four attributes of 16 bytes */

/* Begins a request at the end of the batch; the one before is complete. */
static void request_begin(struct netlink *n, uint16_t type, uint16_t flags, const void *body,
                          size_t body_len) {
    n->overflow = n->overflow || n->len + REQUEST_MAX > sizeof n->batch;
    if (n->overflow)
        return;
    struct nlmsghdr header = {.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + NLMSG_ALIGN(body_len)),
                              .nlmsg_type = type,
                              .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                              .nlmsg_seq = ++n->sequence};
    n->last = n->len;
    memset(n->batch + n->len, 0, REQUEST_MAX);
    memcpy(n->batch + n->len, &header, sizeof header);
    memcpy(n->batch + n->len + NLMSG_HDRLEN, body, body_len);
    n->len += header.nlmsg_len;
}

static void change_last(struct netlink *n, size_t more, uint16_t flags) {
    struct nlmsghdr header;
    memcpy(&header, n->batch + n->last, sizeof header);
    header.nlmsg_len += (uint32_t)more;
    header.nlmsg_flags = (uint16_t)(header.nlmsg_flags | flags);
    memcpy(n->batch + n->last, &header, sizeof header);
    n->len += more;
}

static void request_attribute(struct netlink *n, uint16_t type, const void *value, size_t len) {
    struct rtattr attribute = {.rta_len = (uint16_t)(RTA_LENGTH(0) + len), .rta_type = type};
    if (n->overflow)
        return;
    memcpy(n->batch + n->len, &attribute, sizeof attribute);
    memcpy(n->batch + n->len + RTA_LENGTH(0), value, len);
    change_last(n, RTA_SPACE(len), 0);
}

/* Only the last request asks for an acknowledgement; the kernel works them off in order and answers
 * to the others only when it refuses them. */
enum bk_err netlink_commit(struct netlink *n) {
    struct nlmsgerr result;
    uint8_t answer[1024];
    uint32_t want = n->sequence;
    size_t len = n->len;
    errno = n->overflow ? EMSGSIZE : 0;
    if (len == 0 || n->overflow)
        return len == 0 ? BK_OK : BK_ERR_IO;
    change_last(n, 0, NLM_F_ACK);
    n->len = 0;
    if (send(n->route, n->batch, len, 0) < 0)
        return BK_ERR_IO;
    int refused = 0;
    for (bool done = false; !done;) {
        struct nlmsghdr header;
        ssize_t got = recv(n->route, answer, sizeof answer, 0);
        if (got < (ssize_t)(NLMSG_HDRLEN + sizeof result)) {
            errno = got < 0 ? errno : EPROTO;
            return BK_ERR_IO;
        }
        memcpy(&header, answer, sizeof header);
        memcpy(&result, answer + NLMSG_HDRLEN, sizeof result);
        refused = refused == 0 ? -result.error : refused;
        done = header.nlmsg_seq == want;
    }
    errno = refused;
    return refused == 0 ? BK_OK : BK_ERR_IO;
}

enum bk_err netlink_open(struct netlink *n) {
    n->sequence = 0;
    n->len = n->last = 0;
    n->overflow = false;
    n->route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    return n->route < 0 ? BK_ERR_IO : BK_OK;
}

void netlink_close(struct netlink *n) {
    if (n->route >= 0)
        close(n->route);
    n->route = -1;
}

uint32_t netlink_index(const struct netlink *n, const char *interface) {
    struct ifreq r;
    memset(&r, 0, sizeof r);
    strncpy(r.ifr_name, interface, sizeof r.ifr_name - 1);
    return ioctl(n->route, SIOCGIFINDEX, &r) < 0 ? 0 : (uint32_t)r.ifr_ifindex;
}

void netlink_link_up(struct netlink *n, uint32_t interface) {
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC,
                             .ifi_index = (int)interface,
                             .ifi_flags = IFF_UP,
                             .ifi_change = IFF_UP};
    request_begin(n, RTM_SETLINK, 0, &body, sizeof body);
}

void netlink_link_size(struct netlink *n, uint32_t interface, uint32_t mtu,
                       uint32_t queue_packets) {
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)interface};
    request_begin(n, RTM_SETLINK, 0, &body, sizeof body);
    request_attribute(n, IFLA_MTU, &mtu, sizeof mtu);
    request_attribute(n, IFLA_TXQLEN, &queue_packets, sizeof queue_packets);
}

void netlink_no_link_local(struct netlink *n, uint32_t interface) {
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)interface};
    const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
    /* IFLA_AF_SPEC { AF_INET6 { IFLA_INET6_ADDR_GEN_MODE } } */
    struct {
        struct rtattr family, mode;
        uint8_t value[4];
    } spec = {{RTA_LENGTH(RTA_SPACE(sizeof mode)), AF_INET6},
              {RTA_LENGTH(sizeof mode), IFLA_INET6_ADDR_GEN_MODE},
              {mode}};
    request_begin(n, RTM_SETLINK, 0, &body, sizeof body);
    request_attribute(n, IFLA_AF_SPEC, &spec, sizeof spec);
}

static unsigned char family_of(const struct bk_ip *ip) {
    return ip->family == BK_IPV4 ? AF_INET : AF_INET6;
}

static size_t length_of(const struct bk_ip *ip) {
    return ip->family == BK_IPV4 ? 4 : 16;
}

void netlink_add_address(struct netlink *n, uint32_t interface,
                         const struct topology_prefix *address) {
    struct ifaddrmsg body = {.ifa_family = family_of(&address->ip),
                             .ifa_prefixlen = address->bits,
                             .ifa_flags = address->ip.family == BK_IPV6 ? IFA_F_NODAD : 0,
                             .ifa_scope = RT_SCOPE_UNIVERSE,
                             .ifa_index = interface};
    request_begin(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    request_attribute(n, IFA_LOCAL, address->ip.bytes, length_of(&address->ip));
    request_attribute(n, IFA_ADDRESS, address->ip.bytes, length_of(&address->ip));
}

void netlink_add_default_route(struct netlink *n, uint32_t interface, const struct bk_ip *source) {
    struct rtmsg body = {.rtm_family = family_of(source),
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = RTPROT_BOOT,
                         .rtm_scope = RT_SCOPE_LINK,
                         .rtm_type = RTN_UNICAST};
    request_begin(n, RTM_NEWROUTE, NLM_F_CREATE, &body, sizeof body);
    request_attribute(n, RTA_OIF, &interface, sizeof interface);
    if (source->family == BK_IPV4)
        request_attribute(n, RTA_PREFSRC, source->bytes, length_of(source));
}
