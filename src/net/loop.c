/* SPDX-License-Identifier: MIT
 * One hook does the bookkeeping of a turn: libuv's prepare step, which runs after all callbacks of
 * a turn and before the next sleep. It runs timers, then the deferred, then the flushes, and sets
 * the alarm. The clock is read when somebody first asks after the sleep. */
#define _GNU_SOURCE /* NOLINT: clock_gettime(), and libuv needs it */
#include "net/loop_private.h"

#include "base/assert.h"
#include "net/timers.h"
#include <errno.h>
#include <time.h>

enum {
    TIMERS_PER_TURN = 4096, /* a timer that sets itself into the past must not starve the sockets */
    ROUNDS_PER_TURN = 16    /* deferred work that defers more work, likewise */
};

struct bk_time net_clock(void) {
    struct timespec ts;
    struct bk_time now;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    now.us = (int64_t)ts.tv_sec * BK_US_PER_S + ts.tv_nsec / 1000;
    return now;
}

struct bk_time net_now(const struct net_loop *loop) {
    if (loop->now_valid)
        return loop->now;
    /* The cache is the only thing written through the const: callers see the same loop. */
    struct net_loop *cache = loop->prepare.data;
    cache->now = net_clock();
    cache->now_valid = true;
    return cache->now;
}

static void list_init(struct net_deferred *head) {
    head->next = head->prev = head;
}

static void list_add(struct net_deferred *head, struct net_deferred *d) {
    d->prev = head->prev;
    d->next = head;
    head->prev->next = d;
    head->prev = d;
    d->queued = true;
}

static void list_remove(struct net_deferred *d) {
    d->prev->next = d->next;
    d->next->prev = d->prev;
    d->queued = false;
}

void net_deferred_init(struct net_deferred *d, struct net_loop *loop, void (*run)(void *ctx),
                       void *ctx) {
    *d = (struct net_deferred){.loop = loop, .run = run, .ctx = ctx};
}

void net_defer(struct net_deferred *d) {
    if (!d->queued)
        list_add(&d->loop->deferred, d);
}

void loop_defer_late(struct net_deferred *d) {
    if (!d->queued)
        list_add(&d->loop->late, d);
}

void net_defer_cancel(struct net_deferred *d) {
    if (d->queued)
        list_remove(d);
}

/* Runs what is in the list now; what is added meanwhile waits for the next round. The mark stands
 * where this round stops, whoever leaves the list meanwhile. */
static void run_list(struct net_deferred *head, struct net_deferred *mark) {
    list_add(head, mark);
    while (head->next != mark) {
        struct net_deferred *d = head->next;
        list_remove(d);
        d->run(d->ctx);
    }
    list_remove(mark);
}

static bool list_is_empty(const struct net_deferred *head) {
    return head->next == head;
}

static void run_timers(struct net_loop *loop) {
    struct bk_time now = net_now(loop);
    for (int i = 0; i < TIMERS_PER_TURN; i++) {
        struct net_timer *t = loop->timers;
        if (t == NULL || !bk_due(t->deadline, now))
            return;
        net_timer_set(t, BK_NEVER);
        t->on_due(t->ctx, now);
    }
}

static void on_prepare(uv_prepare_t *prepare) {
    struct net_loop *loop = prepare->data;
    run_timers(loop);
    for (int i = 0;
         i < ROUNDS_PER_TURN && !(list_is_empty(&loop->deferred) && list_is_empty(&loop->late));
         i++) {
        run_list(&loop->deferred, &loop->mark);
        run_list(&loop->late, &loop->mark);
    }
    struct bk_time wake = loop->timers == NULL ? BK_NEVER : loop->timers->deadline;
    if (!list_is_empty(&loop->deferred) || !list_is_empty(&loop->late))
        wake = net_now(loop);
    alarm_set(&loop->alarm, wake, net_now(loop));
    loop->now_valid = false;
}

/* The parts of a loop whose `uv` is ready. */
static enum bk_err start(struct net_loop *loop) {
    loop->rx = loop->alloc.get(loop->alloc.ctx, (size_t)NET_RX_SLOT * NET_RX_SLOTS);
    if (loop->rx == NULL)
        return BK_ERR_NO_MEMORY;
    enum bk_err err = alarm_init(&loop->alarm, loop->uv);
    if (err != BK_OK)
        return err;
    uv_prepare_init(loop->uv, &loop->prepare);
    loop->prepare.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    return BK_OK;
}

static struct net_loop *loop_new(const struct bk_alloc *alloc) {
    struct net_loop *loop = alloc->get(alloc->ctx, sizeof *loop);
    if (loop == NULL)
        return NULL;
    loop->alloc = *alloc;
    list_init(&loop->deferred);
    list_init(&loop->late);
    loop->prepare.data = loop;
    return loop;
}

static void loop_end(struct net_loop *loop) {
    const struct bk_alloc alloc = loop->alloc;
    alloc.put(alloc.ctx, loop->rx);
    alloc.put(alloc.ctx, loop);
}

enum bk_err net_loop_new_on(void *uv_loop, const struct bk_alloc *alloc, struct net_loop **out) {
    struct net_loop *loop = loop_new(alloc);
    if (loop == NULL)
        return BK_ERR_NO_MEMORY;
    loop->uv = uv_loop;
    enum bk_err err = start(loop);
    if (err != BK_OK) {
        loop_end(loop);
        return err;
    }
    *out = loop;
    return BK_OK;
}

enum bk_err net_loop_new(const struct bk_alloc *alloc, struct net_loop **out) {
    struct net_loop *loop = loop_new(alloc);
    if (loop == NULL)
        return BK_ERR_NO_MEMORY;
    loop->uv = &loop->own;
    if (uv_loop_init(&loop->own) != 0) {
        loop_end(loop);
        return BK_ERR_IO;
    }
    enum bk_err err = start(loop);
    if (err != BK_OK) {
        uv_loop_close(&loop->own);
        loop_end(loop);
        return err;
    }
    *out = loop;
    return BK_OK;
}

static void run_all(struct net_loop *loop) {
    while (!list_is_empty(&loop->deferred) || !list_is_empty(&loop->late)) {
        run_list(&loop->deferred, &loop->mark);
        run_list(&loop->late, &loop->mark);
    }
}

static void on_foreign_closed(uv_handle_t *handle) {
    loop_end(handle->data);
}

/* The prepare step of a loop that is gone: waits until libuv holds nothing of it any more. */
static void on_foreign_end(uv_prepare_t *prepare) {
    struct net_loop *loop = prepare->data;
    run_all(loop);
    if (loop->objects > 0 || !loop->alarm.closed)
        return;
    uv_prepare_stop(prepare);
    uv_close((uv_handle_t *)prepare, on_foreign_closed);
}

void net_loop_free(struct net_loop *loop) {
    if (loop == NULL)
        return;
    loop_end_streams(loop);
    run_all(loop); /* streams closed in their last turn are freed here */
    alarm_fini(&loop->alarm);
    uv_prepare_stop(&loop->prepare);
    if (loop->uv != &loop->own) {
        uv_prepare_start(&loop->prepare, on_foreign_end);
        return;
    }
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    if (uv_run(loop->uv, UV_RUN_DEFAULT) != 0) /* cut short by a stop that nobody waited for */
        uv_run(loop->uv, UV_RUN_DEFAULT);
    run_all(loop);
    bk_assert(uv_loop_close(loop->uv) == 0); /* else something was not closed before its loop */
    loop_end(loop);
}

void net_loop_run(struct net_loop *loop) {
    uv_run(loop->uv, UV_RUN_DEFAULT);
}

void net_loop_turn(struct net_loop *loop) {
    uv_run(loop->uv, UV_RUN_ONCE);
}

int net_loop_fd(const struct net_loop *loop) {
    return uv_backend_fd(loop->uv);
}

void net_loop_stop(struct net_loop *loop) {
    loop->stopped = true;
    uv_stop(loop->uv);
}

void loop_begin(struct net_loop *loop) {
    loop->stopped = false;
}

/* uv_backend_timeout() is 0 while something is to be closed. */
bool loop_has_work(const struct net_loop *loop) {
    return !list_is_empty(&loop->deferred) || !list_is_empty(&loop->late) ||
           (loop->timers != NULL && loop->timers->deadline.us < loop->alarm.armed.us) ||
           uv_backend_timeout(loop->uv) == 0;
}

void loop_poll(struct net_loop *loop) {
    uv_run(loop->uv, UV_RUN_NOWAIT);
}

void loop_refresh(struct net_loop *loop) {
    loop->now_valid = false;
}

bool loop_is_stopped(const struct net_loop *loop) {
    return loop->stopped;
}

enum bk_err loop_err(int errno_value) {
    switch (errno_value) {
    case EADDRINUSE:
        return BK_ERR_EXISTS;
    case EACCES:
    case EPERM:
        return BK_ERR_PERMISSION;
    case EADDRNOTAVAIL:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
        return BK_ERR_UNREACHABLE;
    case ECONNREFUSED:
        return BK_ERR_REFUSED;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return BK_ERR_CLOSED;
    case ETIMEDOUT:
        return BK_ERR_TIMEOUT;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
        return BK_ERR_UNSUPPORTED;
    case ENOENT:
        return BK_ERR_NOT_FOUND;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
        return BK_ERR_NO_MEMORY;
    default: /* errno is not an enum of ours */
        return BK_ERR_IO;
    }
}
