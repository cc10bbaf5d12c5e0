/* SPDX-License-Identifier: MIT */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: in6_pktinfo and group_req need it */
#include "net/neighbours.h"

#include "net/loop_private.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { HEAR4, HEAR6, TALK4, TALK6, SOCKETS, READ_MAX = 64, CONTROL_MAX = 256 };

struct net_neighbours {
    struct net_loop *loop;
    struct net_neighbours_config config;
    struct near_socket {
        struct net_neighbours *owner;
        int fd; /* -1: none */
        struct net_watch *watch;
    } sockets[SOCKETS];
    struct net_interface list[NET_INTERFACES_MAX];
    size_t count;
};

static bool is_v6(int which) {
    return which == HEAR6 || which == TALK6;
}

/* --- in --- */

static void read_control(struct msghdr *m, uint32_t *link, struct bk_datagram *in) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        int value = 0;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *link = (uint32_t)info.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *link = info.ipi6_ifindex;
        } else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
                   (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
            memcpy(&value, CMSG_DATA(c), sizeof value);
            in->ttl = (uint8_t)value;
        }
    }
}

/* false: nothing more to read. */
static bool read_one(struct near_socket *s) {
    uint8_t data[NET_NEIGHBOURS_MAX + 1];
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_MAX];
    union net_sockaddr from = {.v6 = {.sin6_family = 0}};
    struct iovec io = {.iov_base = data, .iov_len = sizeof data};
    struct msghdr m = {.msg_name = &from,
                       .msg_namelen = sizeof from,
                       .msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    struct bk_datagram in = {.data = data};
    uint32_t link = 0;
    ssize_t got = recvmsg(s->fd, &m, MSG_DONTWAIT);
    if (got < 0)
        return errno == EINTR || errno == ECONNREFUSED;
    in.len = (size_t)got;
    read_control(&m, &link, &in);
    sockaddr_to(&from, &in.remote);
    if (link != 0 && in.len > 0 && in.len <= NET_NEIGHBOURS_MAX && (m.msg_flags & MSG_CTRUNC) == 0)
        s->owner->config.on_datagram(s->owner->config.ctx, link, &in);
    return true;
}

static void on_ready(void *ctx, unsigned ready) {
    (void)ready;
    for (int i = 0; i < READ_MAX && read_one(ctx); i++) {}
}

/* --- sockets --- */

static bool set(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* Of groups that others of this machine joined nothing is wanted: *_MULTICAST_ALL off. */
static bool set_options4(int fd) {
    return set(fd, SOL_SOCKET, SO_BROADCAST, 1) && set(fd, IPPROTO_IP, IP_PKTINFO, 1) &&
           set(fd, IPPROTO_IP, IP_RECVTTL, 1) && set(fd, IPPROTO_IP, IP_TTL, 255) &&
           set(fd, IPPROTO_IP, IP_MULTICAST_TTL, 255) && set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
}

static bool set_options6(int fd) {
    return set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) && set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
           set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) &&
           set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255) &&
           set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255);
}

/* -1: not to be had. */
static int open_socket(uint16_t port, bool v6) {
    static const uint8_t any[16];
    struct bk_addr here = bk_addr(v6 ? bk_ipv6(any) : bk_ipv4(0, 0, 0, 0), port);
    union net_sockaddr sa;
    socklen_t len = sockaddr_from(&here, false, &sa);
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool ok = (port == 0 || set(fd, SOL_SOCKET, SO_REUSEADDR, 1)) &&
              (v6 ? set_options6(fd) : set_options4(fd)) && bind(fd, &sa.any, len) == 0;
    if (ok)
        return fd;
    close(fd);
    return -1;
}

static void open_one(struct net_neighbours *n, int which) {
    struct near_socket *s = &n->sockets[which];
    bool hears = which == HEAR4 || which == HEAR6;
    s->owner = n;
    s->fd = open_socket(hears ? n->config.port : 0, is_v6(which));
    if (s->fd < 0)
        return;
    if (net_watch_new(n->loop, s->fd, on_ready, s, &s->watch) == BK_OK) {
        net_watch_set(s->watch, NET_READABLE);
        return;
    }
    close(s->fd);
    s->fd = -1;
}

enum bk_err net_neighbours_new(struct net_loop *loop, const struct net_neighbours_config *config,
                               struct net_neighbours **out) {
    struct net_neighbours *n = loop_get(loop, sizeof *n);
    if (n == NULL)
        return BK_ERR_NO_MEMORY;
    n->loop = loop;
    n->config = *config;
    n->count = 0;
    for (int i = 0; i < SOCKETS; i++)
        open_one(n, i);
    if (n->sockets[TALK4].fd < 0 && n->sockets[TALK6].fd < 0) {
        net_neighbours_free(n);
        return BK_ERR_UNSUPPORTED;
    }
    *out = n;
    return BK_OK;
}

void net_neighbours_free(struct net_neighbours *n) {
    if (n == NULL)
        return;
    for (int i = 0; i < SOCKETS; i++) {
        if (n->sockets[i].fd < 0)
            continue;
        net_watch_free(n->sockets[i].watch);
        close(n->sockets[i].fd);
    }
    loop_put(n->loop, n);
}

/* --- links --- */

static bool calls_on(const struct net_interface *i) {
    return !i->loopback && !i->point_to_point;
}

/* RFC 3678 section 5.1. Joined twice, or gone, is no error. */
static void change_group(struct net_neighbours *n, int option, const struct net_interface *i) {
    bool v6 = i->ip.family == BK_IPV6;
    const struct bk_addr group = {.ip = v6 ? n->config.group6 : n->config.group4};
    struct group_req req = {.gr_interface = i->index};
    union net_sockaddr sa;
    int fd = n->sockets[v6 ? HEAR6 : HEAR4].fd;
    socklen_t len = sockaddr_from(&group, false, &sa);
    if (fd < 0 || !calls_on(i))
        return;
    memcpy(&req.gr_group, &sa, len);
    (void)setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, option, &req, sizeof req);
}

void net_neighbours_set_interfaces(struct net_neighbours *n, const struct net_interface *list,
                                   size_t count) {
    for (size_t i = 0; i < n->count; i++)
        change_group(n, MCAST_LEAVE_GROUP, &n->list[i]);
    n->count = count < NET_INTERFACES_MAX ? count : NET_INTERFACES_MAX;
    memcpy(n->list, list, n->count * sizeof *list);
    for (size_t i = 0; i < n->count; i++)
        change_group(n, MCAST_JOIN_GROUP, &n->list[i]);
}

/* --- out --- */

/* Through this interface, whatever the routes say. `source` as well: an interface may have several
 * IPv4 addresses, and those who answer look at which network the question came from. */
static void send_through(struct net_neighbours *n, const struct net_interface *i,
                         const struct bk_addr *to, const uint8_t *data, size_t len) {
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
    struct in_pktinfo info = {.ipi_ifindex = (int)i->index};
    struct bk_addr target = *to;
    union net_sockaddr sa;
    bool v6 = to->ip.family == BK_IPV6;
    int fd = n->sockets[v6 ? TALK6 : TALK4].fd;
    struct iovec io = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr m = {.msg_name = &sa, .msg_iov = &io, .msg_iovlen = 1};
    if (v6 && bk_ip_scope(&to->ip) != BK_SCOPE_GLOBAL && bk_ip_scope(&to->ip) != BK_SCOPE_PRIVATE)
        target.ip.zone = i->index;
    m.msg_namelen = sockaddr_from(&target, false, &sa);
    if (fd < 0 || m.msg_namelen == 0)
        return;
    if (!v6) {
        struct cmsghdr *c = (void *)control;
        memcpy(&info.ipi_spec_dst, i->ip.bytes, 4);
        *c = (struct cmsghdr){
            .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof info)};
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m.msg_control = control;
        m.msg_controllen = sizeof control;
    }
    (void)sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* IPv4 once for each of its networks on the link; IPv6 once, from the link-local address. */
static void send_to_all(struct net_neighbours *n, const struct net_interface *i,
                        const uint8_t *data, size_t len) {
    bool v6 = i->ip.family == BK_IPV6;
    const struct bk_addr group = bk_addr(v6 ? n->config.group6 : n->config.group4, n->config.port);
    const struct bk_addr all = bk_addr(bk_ipv4(255, 255, 255, 255), n->config.port);
    if (v6 && bk_ip_scope(&i->ip) != BK_SCOPE_LINK)
        return;
    send_through(n, i, &group, data, len);
    if (!v6)
        send_through(n, i, &all, data, len);
}

void net_neighbours_send(struct net_neighbours *n, uint32_t link, const struct bk_addr *to,
                         const uint8_t *data, size_t len) {
    for (size_t i = 0; i < n->count; i++) {
        const struct net_interface *at = &n->list[i];
        if (at->index != link || !calls_on(at))
            continue;
        if (to->ip.family == BK_FAMILY_NONE) {
            send_to_all(n, at, data, len);
        } else if (to->ip.family == at->ip.family) {
            send_through(n, at, to, data, len);
            return;
        }
    }
}

#else
typedef int neighbours_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
