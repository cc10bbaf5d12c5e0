/* SPDX-License-Identifier: MIT */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: getifaddrs */
#include "fastpath/doors.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* The kernel's family "netdev" (Documentation/netlink/specs/netdev.yaml), since Linux 6.3. */
enum { DEV_GET = 1, DEV_IFINDEX = 1, DEV_XDP_FEATURES = 3, FEATURE_NDO_XMIT = 4 };
enum { MESSAGE_MAX = 8192, WAIT_S = 2 };

struct message {
    struct nlmsghdr head;
    struct genlmsghdr gen;
    struct nlattr attr;
    uint8_t value[16];
};

/* Asks for one attribute, and puts the answer's attribute `want` into `value`. */
static bool ask(int fd, struct message *m, uint16_t want, void *value, size_t len) {
    uint8_t answer[MESSAGE_MAX];
    struct nlmsghdr head;
    m->head.nlmsg_flags = NLM_F_REQUEST;
    m->head.nlmsg_len = (uint32_t)(offsetof(struct message, attr) + NLMSG_ALIGN(m->attr.nla_len));
    if (send(fd, m, m->head.nlmsg_len, 0) < 0)
        return false;
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got < (ssize_t)(sizeof head + sizeof m->gen))
        return false;
    memcpy(&head, answer, sizeof head);
    if (head.nlmsg_type != m->head.nlmsg_type || head.nlmsg_len > (size_t)got)
        return false;
    for (size_t at = sizeof head + sizeof m->gen; at + sizeof m->attr <= head.nlmsg_len;) {
        struct nlattr attr;
        memcpy(&attr, answer + at, sizeof attr);
        if (attr.nla_len < sizeof attr || at + attr.nla_len > head.nlmsg_len)
            return false;
        if ((attr.nla_type & NLA_TYPE_MASK) == want && attr.nla_len >= sizeof attr + len) {
            memcpy(value, answer + at + sizeof attr, len);
            return true;
        }
        at += (size_t)NLA_ALIGN(attr.nla_len);
    }
    return false;
}

static bool family_of(int fd, uint16_t *family) {
    static const char name[] = "netdev";
    struct message m = {.head.nlmsg_type = GENL_ID_CTRL,
                        .gen = {.cmd = CTRL_CMD_GETFAMILY, .version = 1},
                        .attr = {.nla_type = CTRL_ATTR_FAMILY_NAME,
                                 .nla_len = (uint16_t)(sizeof(struct nlattr) + sizeof name)}};
    memcpy(m.value, name, sizeof name);
    return ask(fd, &m, CTRL_ATTR_FAMILY_ID, family, sizeof *family);
}

/* A driver that cannot would drop in silence, so where the kernel does not tell (before Linux 6.3)
 * only what every driver with XDP can do is counted on: XDP_TX. */
static bool sends_xdp(int fd, uint16_t family, uint32_t index) {
    uint64_t features = 0;
    struct message m = {.head.nlmsg_type = family,
                        .gen = {.cmd = DEV_GET, .version = 1},
                        .attr = {.nla_type = DEV_IFINDEX,
                                 .nla_len = (uint16_t)(sizeof(struct nlattr) + sizeof index)}};
    memcpy(m.value, &index, sizeof index);
    return ask(fd, &m, DEV_XDP_FEATURES, &features, sizeof features) &&
           (features & FEATURE_NDO_XMIT) != 0;
}

/* false: this kernel does not tell. */
static bool ask_features(struct door *doors, size_t count) {
    const struct timeval patience = {WAIT_S, 0};
    uint16_t family;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    bool told = family_of(fd, &family);
    for (size_t i = 0; i < count && told; i++)
        doors[i].sends_xdp = sends_xdp(fd, family, doors[i].index);
    (void)close(fd);
    return told;
}

static bool is_virtual_link(const char *name) {
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq r = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true;
    memcpy(r.ifr_name, name, strlen(name) + 1);
    r.ifr_data = (void *)&info;
    bool known = ioctl(fd, SIOCETHTOOL, &r) == 0;
    (void)close(fd);
    return !known || strcmp(info.driver, "veth") == 0;
}

static bool is_served(const struct ifaddrs *a, const struct bk_ip *serve, size_t count) {
    const uint8_t *bytes;
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;
    uint8_t family = BK_IPV4;
    size_t len = 4;
    if (a->ifa_addr->sa_family == AF_INET) {
        memcpy(&in4, a->ifa_addr, sizeof in4);
        bytes = (const uint8_t *)&in4.sin_addr;
    } else if (a->ifa_addr->sa_family == AF_INET6) {
        memcpy(&in6, a->ifa_addr, sizeof in6);
        bytes = in6.sin6_addr.s6_addr;
        family = BK_IPV6;
        len = 16;
    } else {
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (serve[i].family == family && memcmp(serve[i].bytes, bytes, len) == 0)
            return true;
    return false;
}

static bool serves_all(const struct bk_ip *serve, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bk_ip_is_any(&serve[i]))
            return true;
    return count == 0;
}

static struct door *door_named(struct door *doors, size_t *count, size_t max, const char *name) {
    for (size_t i = 0; i < *count; i++)
        if (strcmp(doors[i].name, name) == 0)
            return &doors[i];
    if (*count == max || strlen(name) >= sizeof doors->name)
        return NULL;
    struct door *d = &doors[(*count)++];
    *d = (struct door){.index = if_nametoindex(name)};
    memcpy(d->name, name, strlen(name) + 1);
    return d;
}

/* The address of the link itself; getifaddrs() lists it beside the others. */
static void link_address(const struct ifaddrs *list, struct door *d) {
    for (const struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
        struct sockaddr_ll ll;
        if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_PACKET ||
            strcmp(a->ifa_name, d->name) != 0)
            continue;
        memcpy(&ll, a->ifa_addr, sizeof ll);
        d->ethernet = ll.sll_hatype == ARPHRD_ETHER && ll.sll_halen == sizeof d->mac;
        memcpy(d->mac, ll.sll_addr, sizeof d->mac);
    }
}

size_t doors_list(const struct bk_ip *serve, size_t serve_count, struct door *out, size_t max) {
    struct ifaddrs *list = NULL;
    size_t count = 0;
    bool all = serves_all(serve, serve_count);
    if (getifaddrs(&list) != 0)
        return 0;
    for (const struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
        if (a->ifa_addr == NULL || (a->ifa_flags & IFF_UP) == 0)
            continue;
        bool wanted = all ? (a->ifa_flags & IFF_LOOPBACK) == 0 : is_served(a, serve, serve_count);
        if (wanted)
            (void)door_named(out, &count, max, a->ifa_name);
    }
    for (size_t i = 0; i < count; i++)
        link_address(list, &out[i]);
    freeifaddrs(list);
    bool told = ask_features(out, count);
    for (size_t i = 0; i < count; i++)
        out[i].sends_back = (out[i].sends_xdp || !told) && !is_virtual_link(out[i].name);
    errno = 0;
    return count;
}

#else
typedef int doors_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
