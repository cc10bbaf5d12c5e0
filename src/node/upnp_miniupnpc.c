/* SPDX-License-Identifier: MIT
 * The thread and its hand-over. What is shared is in `struct shared`, which belongs to two: the
 * object and the thread of the present job; the last one frees it. `lock` guards busy, orphan,
 * refs and result. The devices belong to whoever runs the job: one thread at a time.
 *
 * Teardown: upnp_free() makes it an orphan, so that the thread no longer wakes the loop, and takes
 * the wakeup away. */
#ifdef BODKIN_UPNP
#define _GNU_SOURCE /* NOLINT: pthread_sigmask() and if_indextoname() need it */
#include "node/upnp.h"

#include "net/alloc.h"
#include "node/upnp_igd.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum { STACK_BYTES = 512 * 1024 };

struct shared {
    pthread_mutex_t lock;
    pthread_cond_t done;
    unsigned refs;
    bool busy, orphan;
    struct net_wakeup *wakeup;
    struct bk_portmap_job job;
    struct bk_portmap_router by;
    struct bk_portmap_result result;
    bool has_result;
    struct upnp_igd igds[BK_PORTMAP_ROUTERS_MAX];
    size_t igd_next;
};

struct upnp {
    struct shared *shared;
    void (*on_done)(void *ctx, const struct bk_portmap_result *result);
    void *ctx;
};

static void put(void *memory) {
    net_alloc()->put(net_alloc()->ctx, memory);
}

/* With the lock held; gives it back. */
static void drop(struct shared *s) {
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_cond_destroy(&s->done);
    pthread_mutex_destroy(&s->lock);
    put(s);
}

/* The device of this router; a new place, the oldest one's perhaps, when it has none. */
static struct upnp_igd *igd_of(struct shared *s, const struct bk_portmap_router *router) {
    for (size_t i = 0; i < BK_PORTMAP_ROUTERS_MAX; i++)
        if (bk_ip_equal(&s->igds[i].router.local, &router->local) &&
            bk_ip_equal(&s->igds[i].router.router, &router->router))
            return &s->igds[i];
    struct upnp_igd *igd = &s->igds[s->igd_next++ % BK_PORTMAP_ROUTERS_MAX];
    memset(igd, 0, sizeof *igd);
    igd->router = *router;
    return igd;
}

static void *work(void *ctx) {
    struct shared *s = ctx;
    struct bk_portmap_result result = {.number = s->job.number};
    upnp_igd_do(igd_of(s, &s->job.router), &s->job, &s->by, &result);
    pthread_mutex_lock(&s->lock);
    s->busy = false;
    s->result = result;
    s->has_result = true;
    pthread_cond_signal(&s->done);
    if (!s->orphan)
        net_wakeup_send(s->wakeup);
    drop(s);
    return NULL;
}

static void on_wake(void *ctx) {
    struct upnp *u = ctx;
    struct shared *s = u->shared;
    pthread_mutex_lock(&s->lock);
    bool has_result = s->has_result;
    struct bk_portmap_result result = s->result;
    s->has_result = false;
    pthread_mutex_unlock(&s->lock);
    if (has_result)
        u->on_done(u->ctx, &result);
}

enum bk_err upnp_new(struct net_loop *loop,
                     void (*on_done)(void *ctx, const struct bk_portmap_result *result), void *ctx,
                     struct upnp **out) {
    const struct bk_alloc *alloc = net_alloc();
    struct upnp *u = alloc->get(alloc->ctx, sizeof *u);
    struct shared *s = alloc->get(alloc->ctx, sizeof *s);
    if (u == NULL || s == NULL || pthread_mutex_init(&s->lock, NULL) != 0) {
        put(u);
        put(s);
        return BK_ERR_NO_MEMORY;
    }
    (void)pthread_cond_init(&s->done, NULL); /* cannot fail without attributes */
    *u = (struct upnp){s, on_done, ctx};
    enum bk_err err = net_wakeup_new(loop, on_wake, u, &s->wakeup);
    if (err != BK_OK) {
        pthread_cond_destroy(&s->done);
        pthread_mutex_destroy(&s->lock);
        put(u);
        put(s);
        return err;
    }
    s->refs = 1;
    *out = u;
    return BK_OK;
}

/* Signals are the loop's. */
static bool start_thread(struct shared *s) {
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    if (pthread_attr_init(&attr) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attr, work, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return started;
}

enum bk_err upnp_start(struct upnp *u, const struct bk_portmap_job *job,
                       const struct bk_portmap_router *by) {
    struct shared *s = u->shared;
    pthread_mutex_lock(&s->lock);
    bool was_busy = s->busy;
    if (!was_busy) {
        s->busy = true;
        s->refs++;
    }
    pthread_mutex_unlock(&s->lock);
    if (was_busy)
        return BK_ERR_FULL;
    s->job = *job;
    s->by = *by;
    if (start_thread(s))
        return BK_OK;
    pthread_mutex_lock(&s->lock);
    s->busy = false;
    s->refs--;
    pthread_mutex_unlock(&s->lock);
    return BK_ERR_NO_MEMORY;
}

bool upnp_wait(struct upnp *u, int64_t patience_us, struct bk_portmap_result *out) {
    struct shared *s = u->shared;
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until); /* what condition variables go by */
    int64_t ns = until.tv_nsec + (patience_us > 0 ? patience_us : 0) * 1000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&s->lock);
    int err = 0;
    while (s->busy && err == 0)
        err = pthread_cond_timedwait(&s->done, &s->lock, &until);
    bool done = s->has_result;
    *out = s->result;
    s->has_result = false;
    pthread_mutex_unlock(&s->lock);
    return done;
}

void upnp_free(struct upnp *u) {
    if (u == NULL)
        return;
    struct shared *s = u->shared;
    pthread_mutex_lock(&s->lock);
    s->orphan = true;
    net_wakeup_free(s->wakeup);
    drop(s);
    put(u);
}

#else
typedef int upnp_miniupnpc_is_empty; /* ISO C wants a declaration in every file */
#endif
