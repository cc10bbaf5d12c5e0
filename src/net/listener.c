/* SPDX-License-Identifier: MIT
 * Listening sockets. */
#define _GNU_SOURCE /* NOLINT: accept4() needs it */
#include "net/sockaddr.h"
#include "net/stream_private.h"

#include "base/assert.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64,
    BACKLOG = 1024,
    REST_US = 100000 /* out of descriptors: the connection waits in the kernel meanwhile */
};

const struct net_listener_config net_listener_config_default = {
    .stream = {.write_max = 262144, .write_low = 65536, .open_timeout_us = 10000000},
    .backlog = BACKLOG,
};

struct net_listener {
    uv_poll_t poll;
    struct net_loop *loop;
    struct net_stream_config stream;
    struct net_listener_events events;
    struct net_timer rest;
    struct bk_addr local;
    int fd; /* -1: closed */
};

static void on_poll(uv_poll_t *poll, int status, int events);

static void welcome(struct net_listener *l, int fd, const struct bk_addr *remote) {
    struct net_stream *s;
    if (stream_new(l->loop, &l->stream, &s) != BK_OK) {
        close(fd);
        return;
    }
    if (stream_take_socket(s, fd, remote) != BK_OK) {
        stream_end(s);
        return;
    }
    l->events.on_accept(l->events.ctx, s);
    if (s->state == STREAM_DIALING) /* plain: it is open as soon as it is adopted */
        stream_opened(s);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct net_listener *l = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN && l->fd >= 0; i++) {
        union net_sockaddr sa;
        struct bk_addr remote;
        socklen_t len = sizeof sa;
        int fd = accept4(l->fd, &sa.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            sockaddr_to(&sa, &remote);
            welcome(l, fd, &remote);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            uv_poll_stop(&l->poll);
            net_timer_set(&l->rest, bk_after(net_now(l->loop), REST_US));
            return;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        /* ECONNABORTED and the network errors of accept(2) concern that connection only. */
    }
    if (status < 0 && l->fd >= 0)
        bk_assert(uv_poll_start(&l->poll, UV_READABLE, on_poll) == 0);
}

static void on_rested(void *ctx, struct bk_time now) {
    struct net_listener *l = ctx;
    (void)now;
    bk_assert(uv_poll_start(&l->poll, UV_READABLE, on_poll) == 0);
}

static enum bk_err open_socket(const struct bk_addr *bind_to,
                               const struct net_listener_config *config, int *out,
                               struct bk_addr *local) {
    union net_sockaddr sa;
    const int on = 1, v6only = config->v6only ? 1 : 0;
    socklen_t len = sockaddr_from(bind_to, false, &sa);
    if (len == 0)
        return BK_ERR_ARGUMENT;
    int fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return loop_err(errno);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (config->reuse_port)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind_to->ip.family == BK_IPV6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
    if (bind(fd, &sa.any, len) != 0 || listen(fd, config->backlog) != 0 ||
        getsockname(fd, &sa.any, &len) != 0) {
        int error = errno;
        close(fd);
        return loop_err(error);
    }
    sockaddr_to(&sa, local);
    *out = fd;
    return BK_OK;
}

/* Other flags are the socket's own, whoever has it. */
static enum bk_err take_socket(int fd, int *out, struct bk_addr *local) {
    union net_sockaddr sa;
    socklen_t len = sizeof sa;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        getsockname(fd, &sa.any, &len) != 0) {
        int error = errno;
        close(fd);
        return loop_err(error);
    }
    sockaddr_to(&sa, local);
    *out = fd;
    return BK_OK;
}

enum bk_err net_listener_open(struct net_loop *loop, const struct bk_addr *bind,
                              const struct net_listener_config *config,
                              const struct net_listener_events *events, struct net_listener **out) {
    struct net_listener *l = loop_get(loop, sizeof *l);
    if (l == NULL && config->socket != 0)
        close(config->socket);
    if (l == NULL)
        return BK_ERR_NO_MEMORY;
    l->loop = loop;
    l->stream = config->stream;
    l->events = *events;
    net_timer_init(&l->rest, loop, on_rested, l);
    enum bk_err err = config->socket != 0 ? take_socket(config->socket, &l->fd, &l->local)
                                          : open_socket(bind, config, &l->fd, &l->local);
    if (err == BK_OK && uv_poll_init(loop->uv, &l->poll, l->fd) != 0) {
        close(l->fd);
        err = BK_ERR_IO;
    }
    if (err != BK_OK) {
        loop_put(loop, l);
        return err;
    }
    l->poll.data = l;
    if (l->stream.tls != NULL)
        net_tls_ref(l->stream.tls);
    bk_assert(uv_poll_start(&l->poll, UV_READABLE, on_poll) == 0);
    *out = l;
    return BK_OK;
}

struct bk_addr net_listener_local(const struct net_listener *l) {
    return l->local;
}

int net_listener_socket(const struct net_listener *l) {
    return l->fd;
}

void net_listener_set_tls(struct net_listener *l, struct net_tls *tls) {
    struct net_tls *old = l->stream.tls;
    l->stream.tls = net_tls_ref(tls);
    net_tls_unref(old);
}

static void on_closed(uv_handle_t *handle) {
    struct net_listener *l = handle->data;
    net_tls_unref(l->stream.tls);
    loop_put(l->loop, l);
}

void net_listener_close(struct net_listener *l) {
    if (l == NULL || l->fd < 0)
        return;
    net_timer_set(&l->rest, BK_NEVER);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    close(l->fd);
    l->fd = -1;
}
