/* SPDX-License-Identifier: MIT
 * The batch tier's way in: one epoll set for all ports, recvmmsg() into slots that are described
 * once for all, UDP_GRO, and ICMP errors from the error queue (ip(7), IP_RECVERR). */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: recvmmsg() and in6_pktinfo needs it */
#include "net/plane_linux.h"

#include "base/assert.h"
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { ERRORS_MAX = 16 /* of one port in a turn */ };

static void set_int(int fd, int level, int name, int value) {
    /* What an old kernel does not know, we do without. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void describe_slots(struct net_plane *p, struct plane_linux *own) {
    for (size_t i = 0; i < PLANE_SLOTS; i++) {
        own->in_iov[i] = (struct iovec){plane_slot(p, i), PLANE_SLOT};
        own->in[i].msg_hdr = (struct msghdr){.msg_name = &own->in_names[i],
                                             .msg_namelen = sizeof own->in_names[i],
                                             .msg_iov = &own->in_iov[i],
                                             .msg_iovlen = 1,
                                             .msg_control = own->in_controls[i].bytes,
                                             .msg_controllen = PLANE_CONTROL};
    }
}

static enum bk_err start(struct net_plane *p) {
    struct epoll_event of_loop = {.events = EPOLLIN, .data.ptr = NULL};
    struct plane_linux *own = p->alloc.get(p->alloc.ctx, sizeof *own);
    if (own == NULL)
        return BK_ERR_NO_MEMORY;
    own->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (own->epoll < 0 ||
        epoll_ctl(own->epoll, EPOLL_CTL_ADD, uv_backend_fd(p->loop->uv), &of_loop) != 0) {
        if (own->epoll >= 0)
            close(own->epoll);
        p->alloc.put(p->alloc.ctx, own);
        return BK_ERR_IO;
    }
    describe_slots(p, own);
    p->own = own;
    return BK_OK;
}

static void stop(struct net_plane *p) {
    struct plane_linux *own = p->own;
    close(own->epoll);
    p->alloc.put(p->alloc.ctx, own);
}

/* The wildcard needs to be told where a datagram was sent to; the bits of ECN always matter (RFC
 * 8656 section 14). */
static void set_options(const struct net_port *port, const struct net_port_config *config) {
    int fd = port->fd;
    /* With CAP_NET_ADMIN beyond net.core.rmem_max; plane_bind() went up to it. */
    if (config->rcvbuf > 0)
        set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, config->rcvbuf);
    set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
    set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    set_int(fd, SOL_UDP, UDP_GRO, 1);
    if (port->wildcard && !port->v6)
        set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
    if (port->events.on_icmp != NULL)
        set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
    if (!port->v6)
        return;
    set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
    if (port->wildcard)
        set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    if (port->events.on_icmp != NULL)
        set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
}

/* A plane that sleeps 200 us should not be woken 50 us late, which is the default: such sleeps
 * ended 64 to 128 us late with it, 16 to 64 us without (Linux 6.18, busy machine, November 2026).
 */
static void settle(void) {
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

static enum bk_err open_port(struct net_port *port, const struct net_port_config *config,
                             const struct bk_addr *bind_to) {
    struct plane_linux *own = port->plane->own;
    struct epoll_event of_port = {.events = EPOLLIN, .data.ptr = port};
    enum bk_err err = plane_bind(port, config, bind_to);
    if (err != BK_OK)
        return err;
    set_options(port, config);
    if (epoll_ctl(own->epoll, EPOLL_CTL_ADD, port->fd, &of_port) != 0) {
        close(port->fd);
        return BK_ERR_NO_MEMORY;
    }
    return BK_OK;
}

/* Closing takes a socket out of the set only when no other process has it. */
static enum bk_err rest_port(struct net_port *port, bool rest) {
    struct plane_linux *own = port->plane->own;
    struct epoll_event of_port = {.events = EPOLLIN, .data.ptr = port};
    int done = epoll_ctl(own->epoll, rest ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, port->fd, &of_port);
    return done == 0 ? BK_OK : BK_ERR_NO_MEMORY;
}

static void close_port(struct net_port *port) {
    close(port->fd); /* which takes it out of the set */
}

/* --- receiving ---------------------------------------------------------------------------------
 */

static void read_message(const struct net_port *port, struct mmsghdr *m, struct bk_datagram *d) {
    struct msghdr *h = &m->msg_hdr;
    *d =
        (struct bk_datagram){.local = port->local, .data = h->msg_iov->iov_base, .len = m->msg_len};
    sockaddr_to(h->msg_name, &d->remote);
    control_read(h, d);
}

/* recvmmsg() of one is dearer than recvmsg(). Errors of earlier sends come out here, too; the
 * datagrams behind them are still there. */
static int take(int fd, struct mmsghdr *messages, size_t count) {
    int got;
    for (int tries = 0; tries < 2; tries++) {
        if (count > 1) {
            got = recvmmsg(fd, messages, (unsigned)count, 0, NULL);
        } else {
            ssize_t len = recvmsg(fd, &messages[0].msg_hdr, 0);
            messages[0].msg_len = len < 0 ? 0 : (unsigned)len;
            got = len < 0 ? -1 : 1;
        }
        if (got >= 0 || errno == EAGAIN)
            break;
    }
    return got;
}

static size_t receive(struct net_port *port, size_t max, struct bk_datagram *out, bool *more) {
    struct net_plane *p = port->plane;
    struct plane_linux *own = p->own;
    struct mmsghdr *messages = &own->in[p->slot];
    size_t asked = max < PLANE_BATCH ? max : PLANE_BATCH, n = 0;
    int got = take(port->fd, messages, asked);
    for (int i = 0; i < got; i++) {
        if ((messages[i].msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
            p->counters.in_truncated++;
        else
            read_message(port, &messages[i], &out[n++]);
        messages[i].msg_hdr.msg_namelen = sizeof(union net_sockaddr);
        messages[i].msg_hdr.msg_controllen = PLANE_CONTROL;
    }
    p->slot += got > 0 ? (size_t)got : 0;
    *more = asked > 1 && got == (int)asked;
    return n;
}

/* --- ICMP --------------------------------------------------------------------------------------
 */

static bool read_error(const struct cmsghdr *c, struct net_icmp *out) {
    struct sock_extended_err e;
    bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
    if (!v4 && !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
        return false;
    memcpy(&e, CMSG_DATA(c), sizeof e);
    out->type = e.ee_type;
    out->code = e.ee_code;
    out->mtu = e.ee_info;
    return e.ee_origin == SO_EE_ORIGIN_ICMP || e.ee_origin == SO_EE_ORIGIN_ICMP6;
}

static void read_errors(struct net_port *port, struct bk_time now) {
    struct plane_control control;
    union net_sockaddr name;
    uint8_t byte;
    for (int i = 0; i < ERRORS_MAX && !port->closed; i++) {
        struct iovec iov = {&byte, sizeof byte};
        struct net_icmp error = {.local = port->local};
        struct msghdr m = {.msg_name = &name,
                           .msg_namelen = sizeof name,
                           .msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
        if (recvmsg(port->fd, &m, MSG_ERRQUEUE) < 0)
            return;
        sockaddr_to(&name, &error.remote);
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c))
            if (read_error(c, &error) && port->events.on_icmp != NULL)
                port->events.on_icmp(port->events.ctx, &error, now);
    }
}

/* --- waiting -----------------------------------------------------------------------------------
 */

static void clear_error(struct net_port *port) {
    int error;
    socklen_t len = sizeof error;
    (void)getsockopt(port->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    read_errors(port, net_now(port->plane->loop));
}

static size_t wait_for(struct net_plane *p, int64_t timeout_us, struct net_port **ready, size_t max,
                       bool *loop_too) {
    struct plane_linux *own = p->own;
    struct epoll_event events[PLANE_READY];
    size_t found = 0;
    int ms = timeout_us < 0 ? -1 : (int)((timeout_us + 999) / 1000);
    int n = epoll_wait(own->epoll, events, (int)(max < PLANE_READY ? max : PLANE_READY), ms);
    loop_refresh(p->loop);
    for (int i = 0; i < n; i++) { /* what they are told of may close others */
        struct net_port *port = events[i].data.ptr;
        if (port != NULL && (events[i].events & EPOLLERR) != 0 && !port->closed)
            clear_error(port);
    }
    for (int i = 0; i < n; i++) {
        struct net_port *port = events[i].data.ptr;
        if (port == NULL)
            *loop_too = true;
        else if (!port->closed)
            ready[found++] = port;
    }
    return found;
}

static const struct plane_tier tier = {
    .name = "batch",
    .start = start,
    .stop = stop,
    .settle = settle,
    .open = open_port,
    .close = close_port,
    .rest = rest_port,
    .wait = wait_for,
    .receive = receive,
    .send = plane_linux_send,
};

const struct plane_tier *const plane_batch = &tier;

#else
typedef int plane_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
