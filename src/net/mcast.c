/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: struct group_req and ip_mreqn need it */
#include "net/mcast.h"

#include "net/sockaddr.h"
#include <string.h>
#include <sys/socket.h>

static void on_closed(uv_handle_t *handle) {
    struct mcast *s = handle->data;
    s->on_closed(s->ctx);
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf) {
    struct mcast *s = handle->data;
    (void)wanted;
    *buf = uv_buf_init((char *)s->loop->rx, NET_RX_SLOT);
}

static void on_recv(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf, const struct sockaddr *from,
                    unsigned flags) {
    struct mcast *s = udp->data;
    struct bk_datagram in = {.data = (const uint8_t *)buf->base};
    union net_sockaddr sa;
    if (len <= 0 || from == NULL || (flags & UV_UDP_PARTIAL) != 0)
        return;
    memcpy(&sa, from, from->sa_family == AF_INET ? sizeof sa.v4 : sizeof sa.v6);
    sockaddr_to(&sa, &in.remote);
    in.len = (size_t)len;
    s->on_datagram(s->ctx, &in);
}

/* The group's port, shared; else any. */
static int bind_port(struct mcast *s) {
    union net_sockaddr sa;
    bool v6 = s->group.ip.family == BK_IPV6;
    static const uint8_t any[16];
    struct bk_addr here = bk_addr(v6 ? bk_ipv6(any) : bk_ipv4(0, 0, 0, 0), s->group.port);
    unsigned flags = v6 ? UV_UDP_IPV6ONLY : 0;
    (void)sockaddr_from(&here, false, &sa);
    s->member_port = uv_udp_bind(&s->udp, &sa.any, flags | UV_UDP_REUSEADDR) == 0;
    if (s->member_port)
        return 0;
    here.port = 0;
    (void)sockaddr_from(&here, false, &sa);
    return uv_udp_bind(&s->udp, &sa.any, flags);
}

bool mcast_open(struct mcast *s, bool *held) {
    bool v6 = s->group.ip.family == BK_IPV6;
    *held = s->open = uv_udp_init_ex(s->loop->uv, &s->udp, v6 ? AF_INET6 : AF_INET) == 0;
    s->udp.data = s;
    /* RFC 6762 section 11: messages SHOULD be sent with 255. */
    if (s->open &&
        (bind_port(s) != 0 || uv_udp_set_multicast_ttl(&s->udp, 255) != 0 ||
         uv_udp_set_ttl(&s->udp, 255) != 0 || uv_udp_recv_start(&s->udp, on_alloc, on_recv) != 0))
        mcast_close(s);
    return s->open;
}

void mcast_close(struct mcast *s) {
    if (!s->open)
        return;
    s->open = false;
    uv_close((uv_handle_t *)&s->udp, on_closed);
}

/* RFC 3678 section 5.1: the same for both families. */
static void change(struct mcast *s, int option, uint32_t interface) {
    struct group_req req = {.gr_interface = interface};
    union net_sockaddr sa;
    uv_os_fd_t fd;
    if (!s->open || uv_fileno((uv_handle_t *)&s->udp, &fd) != 0)
        return;
    socklen_t len = sockaddr_from(&s->group, false, &sa);
    memcpy(&req.gr_group, &sa, len);
    (void)setsockopt(fd, s->group.ip.family == BK_IPV6 ? IPPROTO_IPV6 : IPPROTO_IP, option, &req,
                     sizeof req);
}

void mcast_join(struct mcast *s, uint32_t interface) {
    change(s, MCAST_JOIN_GROUP, interface);
}

void mcast_leave(struct mcast *s, uint32_t interface) {
    change(s, MCAST_LEAVE_GROUP, interface);
}

void mcast_send(struct mcast *s, uint32_t interface, const struct bk_ip *source,
                const uint8_t *data, size_t len) {
    struct ip_mreqn through = {.imr_ifindex = (int)interface};
    struct bk_addr to = s->group;
    uv_os_fd_t fd;
    if (!s->open || uv_fileno((uv_handle_t *)&s->udp, &fd) != 0)
        return;
    if (to.ip.family == BK_IPV6)
        to.ip.zone = interface;
    else
        memcpy(&through.imr_address, source->bytes, 4); /* Linux would take another's for lo */
    if (to.ip.family == BK_IPV4 &&
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &through, sizeof through) != 0)
        return;
    mcast_reply(s, &to, data, len);
}

void mcast_reply(struct mcast *s, const struct bk_addr *to, const uint8_t *data, size_t len) {
    char copy[NET_MCAST_MAX];
    union net_sockaddr sa;
    uv_buf_t buf = uv_buf_init(copy, (unsigned)len);
    if (!s->open || len > sizeof copy || sockaddr_from(to, false, &sa) == 0)
        return;
    memcpy(copy, data, len); /* libuv's buffers are not const */
    (void)uv_udp_try_send(&s->udp, &buf, 1, &sa.any);
}
