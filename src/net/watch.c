/* SPDX-License-Identifier: MIT
 * The loop's other event sources: wakeups, signals, and descriptors of the caller's. Each is one
 * allocation that is freed when libuv has let go of the handle in it. */
#define _GNU_SOURCE /* NOLINT: libuv needs it */
#include "net/loop_private.h"

#include <unistd.h>

struct net_wakeup {
    uv_async_t async;
    struct net_loop *loop;
    void (*on_wake)(void *ctx);
    void *ctx;
};

static void wakeup_on_async(uv_async_t *async) {
    struct net_wakeup *w = async->data;
    if (w->on_wake != NULL)
        w->on_wake(w->ctx);
}

enum bk_err net_wakeup_new(struct net_loop *loop, void (*on_wake)(void *ctx), void *ctx,
                           struct net_wakeup **out) {
    struct net_wakeup *w = loop_get(loop, sizeof *w);
    if (w == NULL)
        return BK_ERR_NO_MEMORY;
    *w = (struct net_wakeup){.loop = loop, .on_wake = on_wake, .ctx = ctx};
    w->async.data = w;
    if (uv_async_init(loop->uv, &w->async, wakeup_on_async) != 0) {
        loop_put(loop, w);
        return BK_ERR_IO;
    }
    w->async.data = w;
    *out = w;
    return BK_OK;
}

void net_wakeup_send(struct net_wakeup *w) {
    uv_async_send(&w->async);
}

static void wakeup_on_closed(uv_handle_t *handle) {
    struct net_wakeup *w = handle->data;
    loop_put(w->loop, w);
}

void net_wakeup_free(struct net_wakeup *w) {
    if (w == NULL)
        return;
    w->on_wake = NULL; /* a send that was on its way must not call a dead owner */
    uv_close((uv_handle_t *)&w->async, wakeup_on_closed);
}

struct net_signal {
    uv_signal_t signal;
    struct net_loop *loop;
    void (*on_signal)(void *ctx, int signum);
    void *ctx;
};

static void signal_on_signal(uv_signal_t *handle, int signum) {
    struct net_signal *s = handle->data;
    s->on_signal(s->ctx, signum);
}

enum bk_err net_signal_new(struct net_loop *loop, int signum,
                           void (*on_signal)(void *ctx, int signum), void *ctx,
                           struct net_signal **out) {
    struct net_signal *s = loop_get(loop, sizeof *s);
    if (s == NULL)
        return BK_ERR_NO_MEMORY;
    *s = (struct net_signal){.loop = loop, .on_signal = on_signal, .ctx = ctx};
    if (uv_signal_init(loop->uv, &s->signal) != 0) {
        loop_put(loop, s);
        return BK_ERR_IO;
    }
    s->signal.data = s;
    if (uv_signal_start(&s->signal, signal_on_signal, signum) != 0) {
        net_signal_free(s);
        return BK_ERR_ARGUMENT;
    }
    *out = s;
    return BK_OK;
}

static void signal_on_closed(uv_handle_t *handle) {
    struct net_signal *s = handle->data;
    loop_put(s->loop, s);
}

void net_signal_free(struct net_signal *s) {
    if (s == NULL)
        return;
    uv_signal_stop(&s->signal);
    uv_close((uv_handle_t *)&s->signal, signal_on_closed);
}

struct net_watch {
    union {
        uv_poll_t poll;
        uv_idle_t idle; /* for regular files: ready in every turn */
    } uv;
    struct net_loop *loop;
    void (*on_ready)(void *ctx, unsigned ready);
    void *ctx;
    unsigned wanted;
    bool is_file, closed;
};

static void watch_on_poll(uv_poll_t *poll, int status, int events) {
    struct net_watch *w = poll->data;
    unsigned ready = 0;
    if ((events & UV_READABLE) != 0)
        ready |= NET_READABLE;
    if ((events & UV_WRITABLE) != 0)
        ready |= NET_WRITABLE;
    if (status < 0)
        ready = w->wanted;
    ready &= w->wanted;
    if (ready != 0 && !w->closed)
        w->on_ready(w->ctx, ready);
}

static void watch_on_idle(uv_idle_t *idle) {
    struct net_watch *w = idle->data;
    if (!w->closed)
        w->on_ready(w->ctx, w->wanted);
}

enum bk_err net_watch_new(struct net_loop *loop, int fd,
                          void (*on_ready)(void *ctx, unsigned ready), void *ctx,
                          struct net_watch **out) {
    struct net_watch *w = loop_get(loop, sizeof *w);
    if (w == NULL)
        return BK_ERR_NO_MEMORY;
    w->loop = loop;
    w->on_ready = on_ready;
    w->ctx = ctx;
    int failed = uv_poll_init(loop->uv, &w->uv.poll, fd);
    if (failed == UV_EPERM) { /* epoll refuses regular files */
        w->is_file = true;
        failed = uv_idle_init(loop->uv, &w->uv.idle);
    }
    if (failed != 0) {
        loop_put(loop, w);
        return BK_ERR_ARGUMENT;
    }
    w->uv.poll.data = w; /* `data` comes first in every libuv handle */
    *out = w;
    return BK_OK;
}

void net_watch_set(struct net_watch *w, unsigned wanted) {
    if (w->wanted == wanted)
        return;
    w->wanted = wanted;
    if (w->is_file) {
        if (wanted == 0)
            uv_idle_stop(&w->uv.idle);
        else
            uv_idle_start(&w->uv.idle, watch_on_idle);
        return;
    }
    int events = ((wanted & NET_READABLE) != 0 ? UV_READABLE : 0) |
                 ((wanted & NET_WRITABLE) != 0 ? UV_WRITABLE : 0);
    if (events == 0)
        uv_poll_stop(&w->uv.poll);
    else
        uv_poll_start(&w->uv.poll, events, watch_on_poll);
}

bool net_watch_never_waits(const struct net_watch *w) {
    return w->is_file;
}

static void watch_on_closed(uv_handle_t *handle) {
    struct net_watch *w = handle->data;
    loop_put(w->loop, w);
}

void net_watch_free(struct net_watch *w) {
    if (w == NULL)
        return;
    net_watch_set(w, 0);
    w->closed = true;
    uv_close((uv_handle_t *)&w->uv.poll, watch_on_closed);
}
