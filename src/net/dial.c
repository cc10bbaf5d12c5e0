/* SPDX-License-Identifier: MIT
 * One attempt per address, a new one every 250 ms or as soon as the last one failed; the first that
 * connects wins and the others are closed. There is no deadline here: the stream has one. */
#define _GNU_SOURCE /* NOLINT: SOCK_NONBLOCK needs it */
#include "net/dial.h"

#include "net/loop_private.h"
#include "net/resolve.h"
#include "net/sockaddr.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { STAGGER_US = 250000 }; /* RFC 8305 section 5, Connection Attempt Delay */

struct attempt {
    uv_poll_t poll;
    struct net_dial *dial; /* NULL: closed */
    struct net_loop *loop;
    struct bk_addr to;
    int fd;
};

struct net_dial {
    struct net_loop *loop;
    struct dial_events events;
    struct net_resolve *resolve;
    struct net_timer stagger;
    struct bk_addr from;
    struct bk_addr addrs[NET_RESOLVE_MAX];
    size_t count, next; /* addrs[next..count) are untried */
    struct attempt *attempts[NET_RESOLVE_MAX];
    size_t running;
    enum bk_err err; /* of the last failed attempt */
};

static void attempt_on_closed(uv_handle_t *handle) {
    struct attempt *a = handle->data;
    loop_put(a->loop, a);
}

/* Lets go of the attempt; its socket lives on if it is `kept`. */
static void attempt_end(struct net_dial *d, size_t i, bool kept) {
    struct attempt *a = d->attempts[i];
    d->attempts[i] = NULL;
    d->running--;
    a->dial = NULL;
    uv_close((uv_handle_t *)&a->poll, attempt_on_closed);
    if (!kept)
        close(a->fd);
}

void dial_cancel(struct net_dial *d) {
    if (d == NULL)
        return;
    net_timer_set(&d->stagger, BK_NEVER);
    net_resolve_cancel(d->resolve);
    for (size_t i = 0; i < NET_RESOLVE_MAX; i++)
        if (d->attempts[i] != NULL)
            attempt_end(d, i, false);
    loop_put(d->loop, d);
}

static void finish(struct net_dial *d, int fd, const struct bk_addr *remote, enum bk_err err,
                   const char *reason) {
    struct dial_events events = d->events;
    dial_cancel(d);
    events.on_done(events.ctx, fd, remote, err, reason);
}

static const char *reason_for(enum bk_err err) {
    if (err == BK_ERR_REFUSED)
        return "nobody listens there: the connection was refused";
    if (err == BK_ERR_UNREACHABLE || err == BK_ERR_UNSUPPORTED)
        return "there is no way to that address from here";
    if (err == BK_ERR_TIMEOUT)
        return "the other side does not answer";
    return "the connection could not be made";
}

static void try_next(struct net_dial *d);

static void on_connect(uv_poll_t *poll, int status, int events) {
    struct attempt *a = poll->data;
    struct net_dial *d = a->dial;
    int error = 0;
    socklen_t len = sizeof error;
    (void)events;
    if (d == NULL)
        return;
    if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0 && status < 0)
        error = ECONNREFUSED;
    size_t i = 0;
    while (d->attempts[i] != a)
        i++;
    if (error == 0) {
        struct bk_addr remote = a->to;
        int fd = a->fd;
        attempt_end(d, i, true);
        finish(d, fd, &remote, BK_OK, NULL);
        return;
    }
    attempt_end(d, i, false);
    d->err = loop_err(error);
    try_next(d);
}

/* Several connections may share a port of ours, so that a NAT can be asked what it makes of it. */
static bool bind_from(int fd, const struct bk_addr *from) {
    union net_sockaddr sa;
    socklen_t len = sockaddr_from(from, false, &sa);
    const int on = 1;
    if (from->ip.family == BK_FAMILY_NONE)
        return true;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    return bind(fd, &sa.any, len) == 0;
}

/* Starts one connection. On failure d->err is set. */
static bool attempt_new(struct net_dial *d, size_t i) {
    union net_sockaddr sa;
    socklen_t len = sockaddr_from(&d->addrs[i], false, &sa);
    int fd = socket(sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || !bind_from(fd, &d->from) ||
        (connect(fd, &sa.any, len) != 0 && errno != EINPROGRESS)) {
        d->err = loop_err(errno);
        if (fd >= 0)
            close(fd);
        return false;
    }
    struct attempt *a = loop_get(d->loop, sizeof *a);
    if (a == NULL || uv_poll_init(d->loop->uv, &a->poll, fd) != 0) {
        d->err = BK_ERR_NO_MEMORY;
        loop_put(d->loop, a);
        close(fd);
        return false;
    }
    a->poll.data = a;
    a->dial = d;
    a->loop = d->loop;
    a->to = d->addrs[i];
    a->fd = fd;
    d->attempts[i] = a;
    d->running++;
    uv_poll_start(&a->poll, UV_WRITABLE, on_connect);
    return true;
}

static void try_next(struct net_dial *d) {
    while (d->next < d->count) {
        if (attempt_new(d, d->next++)) {
            struct bk_time later = bk_after(net_now(d->loop), STAGGER_US);
            net_timer_set(&d->stagger, d->next < d->count ? later : BK_NEVER);
            return;
        }
    }
    if (d->running == 0)
        finish(d, -1, &d->addrs[0], d->err, reason_for(d->err));
}

static void on_stagger(void *ctx, struct bk_time now) {
    (void)now;
    try_next(ctx);
}

/* Families alternate, starting with the resolver's favourite: RFC 8305 section 4. */
static void interleave(struct net_dial *d, const struct bk_addr *addrs, size_t n) {
    bool taken[NET_RESOLVE_MAX] = {false};
    uint8_t want = addrs[0].ip.family;
    while (d->count < n) {
        size_t i = 0;
        while (i < n && (taken[i] || addrs[i].ip.family != want))
            i++;
        want = want == BK_IPV4 ? BK_IPV6 : BK_IPV4;
        if (i == n)
            continue; /* this family is used up: the other one's turn */
        taken[i] = true;
        d->addrs[d->count++] = addrs[i];
    }
}

static void on_resolved(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t n) {
    struct net_dial *d = ctx;
    d->resolve = NULL;
    if (err != BK_OK) {
        finish(d, -1, &d->addrs[0], err,
               err == BK_ERR_NOT_FOUND ? "there is no such host name"
                                       : "the host name could not be looked up");
        return;
    }
    interleave(d, addrs, n);
    try_next(d);
}

enum bk_err dial_new(struct net_loop *loop, const struct dial_target *target,
                     const struct dial_events *events, struct net_dial **out) {
    struct net_dial *d = loop_get(loop, sizeof *d);
    if (d == NULL)
        return BK_ERR_NO_MEMORY;
    d->loop = loop;
    d->events = *events;
    d->from = target->from;
    d->err = BK_ERR_UNREACHABLE;
    net_timer_init(&d->stagger, loop, on_stagger, d);
    enum bk_err err = BK_OK;
    if (target->host != NULL) {
        err = net_resolve(loop, target->host, target->port, on_resolved, d, &d->resolve);
    } else {
        d->addrs[d->count++] = *target->to;
        net_timer_set(&d->stagger, net_now(loop));
    }
    if (err != BK_OK) {
        loop_put(loop, d);
        return err;
    }
    *out = d;
    return BK_OK;
}
