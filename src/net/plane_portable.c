/* SPDX-License-Identifier: MIT
 * The tier that works everywhere: poll(), and one datagram at a time. Gather lists make it copy no
 * more than the others. The local address of a received datagram is the bound one: programs for
 * systems without the batch tier bind a socket per interface address. */
#define _GNU_SOURCE /* NOLINT: libuv needs it */
#include "net/plane_private.h"

#include "base/assert.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PORTS_MAX = 16384, SHARE = 16 /* datagrams of one port in a turn */ };

struct portable {
    struct pollfd fds[PORTS_MAX + 1]; /* the first is the loop's */
    struct net_port *ports[PORTS_MAX + 1];
    size_t count, next; /* next: where the turn's first port is looked for */
};

static void set_int(int fd, int level, int name, int value) {
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void set_options(const struct net_port *port, const struct net_port_config *config) {
    if (config->reuse_port)
        set_int(port->fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (config->sndbuf > 0)
        set_int(port->fd, SOL_SOCKET, SO_SNDBUF, config->sndbuf);
    if (config->rcvbuf > 0)
        set_int(port->fd, SOL_SOCKET, SO_RCVBUF, config->rcvbuf);
    if (port->v6)
        set_int(port->fd, IPPROTO_IPV6, IPV6_V6ONLY, config->v6only ? 1 : 0);
}

enum bk_err plane_bind(struct net_port *port, const struct net_port_config *config,
                       const struct bk_addr *bind_to) {
    union net_sockaddr sa;
    socklen_t len = sockaddr_from(bind_to, false, &sa);
    if (len == 0)
        return BK_ERR_ARGUMENT;
    port->v6 = bind_to->ip.family == BK_IPV6;
    port->wildcard = bk_ip_is_any(&bind_to->ip);
    port->fd = config->socket != 0 ? config->socket : socket(sa.any.sa_family, SOCK_DGRAM, 0);
    if (port->fd < 0)
        return loop_err(errno);
    set_options(port, config);
    if (fcntl(port->fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(port->fd, F_SETFD, FD_CLOEXEC) != 0 ||
        (config->socket == 0 && bind(port->fd, &sa.any, len) != 0) ||
        getsockname(port->fd, &sa.any, &len) != 0) {
        int error = errno;
        close(port->fd);
        return loop_err(error);
    }
    sockaddr_to(&sa, &port->local);
    return BK_OK;
}

static enum bk_err start(struct net_plane *p) {
    struct portable *own = p->alloc.get(p->alloc.ctx, sizeof *own);
    if (own == NULL)
        return BK_ERR_NO_MEMORY;
    own->fds[0] = (struct pollfd){.fd = uv_backend_fd(p->loop->uv), .events = POLLIN};
    own->count = 1;
    p->own = own;
    return BK_OK;
}

static void stop(struct net_plane *p) {
    p->alloc.put(p->alloc.ctx, p->own);
}

static void add(struct portable *own, struct net_port *port) {
    port->place = (uint32_t)own->count++;
    own->fds[port->place] = (struct pollfd){.fd = port->fd, .events = POLLIN};
    own->ports[port->place] = port;
}

static void take_out(struct portable *own, const struct net_port *port) {
    size_t last = --own->count;
    own->fds[port->place] = own->fds[last];
    own->ports[port->place] = own->ports[last];
    if (last > port->place)
        own->ports[port->place]->place = port->place;
}

static enum bk_err open_port(struct net_port *port, const struct net_port_config *config,
                             const struct bk_addr *bind_to) {
    struct portable *own = port->plane->own;
    if (own->count > PORTS_MAX) {
        if (config->socket != 0)
            close(config->socket);
        return BK_ERR_NO_MEMORY;
    }
    enum bk_err err = plane_bind(port, config, bind_to);
    if (err == BK_OK)
        add(own, port);
    return err;
}

static enum bk_err rest_port(struct net_port *port, bool rest) {
    struct portable *own = port->plane->own;
    if (!rest && own->count > PORTS_MAX)
        return BK_ERR_NO_MEMORY;
    if (rest)
        take_out(own, port);
    else
        add(own, port);
    return BK_OK;
}

static void close_port(struct net_port *port) {
    if (!port->rests)
        take_out(port->plane->own, port);
    close(port->fd);
}

/* libuv's own timers are not in its descriptor. */
static int sleep_ms(const struct net_plane *p, int64_t timeout_us) {
    int loop_ms = uv_backend_timeout(p->loop->uv);
    int ms = timeout_us < 0 ? -1 : (int)((timeout_us + 999) / 1000);
    return ms < 0 || (loop_ms >= 0 && loop_ms < ms) ? loop_ms : ms;
}

static size_t wait_for(struct net_plane *p, int64_t timeout_us, struct net_port **ready, size_t max,
                       bool *loop_too) {
    struct portable *own = p->own;
    size_t found = 0;
    int n = poll(own->fds, own->count, sleep_ms(p, timeout_us));
    *loop_too = n <= 0 || own->fds[0].revents != 0;
    for (size_t k = 0; n > 0 && k + 1 < own->count && found < max; k++) {
        size_t i = 1 + (own->next + k) % (own->count - 1);
        if (own->fds[i].revents != 0)
            ready[found++] = own->ports[i];
    }
    own->next++; /* nobody is always the last */
    return found;
}

static size_t receive(struct net_port *port, size_t max, struct bk_datagram *out, bool *more) {
    struct net_plane *p = port->plane;
    size_t n = 0;
    while (n < max && n < SHARE) {
        union net_sockaddr sa;
        socklen_t sa_len = sizeof sa;
        uint8_t *slot = plane_slot(p, p->slot);
        ssize_t len = recvfrom(port->fd, slot, PLANE_SLOT, 0, &sa.any, &sa_len);
        if (len < 0)
            break;
        out[n] = (struct bk_datagram){.local = port->local, .data = slot, .len = (size_t)len};
        sockaddr_to(&sa, &out[n++].remote);
        p->slot++;
    }
    *more = false; /* poll() tells */
    return n;
}

static void send_one(struct net_plane *p, const struct plane_train *t,
                     const struct plane_piece *piece, uint32_t i) {
    union { /* the kernel takes the bytes, and will not write them */
        const uint8_t *in;
        void *out;
    } head = {.in = piece->head}, data = {.in = piece->data + (size_t)i * piece->stride};
    union net_sockaddr name;
    struct iovec iov[2] = {{head.out, piece->head_len}, {data.out, piece->size}};
    const struct msghdr m = {.msg_name = &name,
                             .msg_namelen = sockaddr_from(&t->remote, t->port->v6, &name),
                             .msg_iov = iov,
                             .msg_iovlen = 2};
    if (sendmsg(t->port->fd, &m, 0) < 0) {
        plane_count_lost(p, 1, errno);
        return;
    }
    p->counters.out++;
    p->counters.trains_out++;
    p->counters.out_bytes += (uint64_t)piece->head_len + piece->size;
}

static void send_trains(struct net_plane *p, uint32_t first, uint32_t count) {
    for (uint32_t k = first; k < first + count; k++) {
        const struct plane_train *t = &p->trains[k];
        for (uint32_t i = t->first; i != PLANE_NONE; i = p->pieces[i].next)
            for (uint32_t d = 0; d < p->pieces[i].count; d++)
                send_one(p, t, &p->pieces[i], d);
    }
}

const struct plane_tier plane_portable = {
    .name = "portable",
    .start = start,
    .stop = stop,
    .open = open_port,
    .close = close_port,
    .rest = rest_port,
    .wait = wait_for,
    .receive = receive,
    .send = send_trains,
};
