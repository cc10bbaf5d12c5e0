/* SPDX-License-Identifier: MIT
 * Other threads: calls that they want made in the driver's, and that thread itself. */
#define _GNU_SOURCE /* NOLINT: threads are POSIX's */
#include "run/driver.h"

#include <pthread.h>

enum { CALLS_MAX = 4096 };

struct call {
    void (*run)(void *ctx);
    void *ctx;
};

struct run_calls {
    struct bk_run *run;
    struct net_wakeup *wakeup;
    pthread_t thread;
    bool threaded;        /* its owner's only */
    pthread_mutex_t lock; /* guards what follows */
    bool quit;
    size_t head, count;
    struct call ring[CALLS_MAX];
};

/* false: none is left. */
static bool next_call(struct run_calls *c, struct call *out) {
    pthread_mutex_lock(&c->lock);
    bool any = c->count > 0;
    if (any) {
        *out = c->ring[c->head];
        c->head = (c->head + 1) % CALLS_MAX;
        c->count--;
    }
    pthread_mutex_unlock(&c->lock);
    return any;
}

static bool shall_quit(struct run_calls *c) {
    pthread_mutex_lock(&c->lock);
    bool quit = c->quit;
    pthread_mutex_unlock(&c->lock);
    return quit;
}

static void on_wake(void *ctx) {
    struct run_calls *c = ctx;
    struct call call;
    size_t i = 0;
    for (; i < CALLS_MAX && next_call(c, &call); i++) /* one that calls again waits its turn */
        call.run(call.ctx);
    if (i == CALLS_MAX)
        net_wakeup_send(c->wakeup);
    if (shall_quit(c))
        net_loop_stop(c->run->loop);
}

enum bk_err run_calls_start(struct bk_run *run) {
    struct run_calls *c = run_get(sizeof *c);
    if (c == NULL)
        return BK_ERR_NO_MEMORY;
    c->run = run;
    enum bk_err err = net_wakeup_new(run->loop, on_wake, c, &c->wakeup);
    if (err == BK_OK && pthread_mutex_init(&c->lock, NULL) != 0) {
        net_wakeup_free(c->wakeup);
        err = BK_ERR_NO_MEMORY;
    }
    if (err != BK_OK) {
        run_put(c);
        return err;
    }
    run->calls = c;
    return BK_OK;
}

void run_calls_stop(struct bk_run *run) {
    struct run_calls *c = run->calls;
    if (c == NULL)
        return;
    if (c->threaded) {
        pthread_mutex_lock(&c->lock);
        c->quit = true;
        pthread_mutex_unlock(&c->lock);
        net_wakeup_send(c->wakeup);
        pthread_join(c->thread, NULL);
    }
    net_wakeup_free(c->wakeup);
    pthread_mutex_destroy(&c->lock);
    run_put(c);
    run->calls = NULL;
}

enum bk_err bk_run_call(struct bk_run *run, void (*call)(void *ctx), void *ctx) {
    struct run_calls *c = run->calls;
    pthread_mutex_lock(&c->lock);
    bool full = c->count == CALLS_MAX;
    if (!full)
        c->ring[(c->head + c->count++) % CALLS_MAX] = (struct call){call, ctx};
    pthread_mutex_unlock(&c->lock);
    if (full)
        return BK_ERR_FULL;
    net_wakeup_send(c->wakeup);
    return BK_OK;
}

static void *thread_main(void *ctx) {
    struct bk_run *run = ctx;
    while (!shall_quit(run->calls))
        net_loop_run(run->loop);
    return NULL;
}

enum bk_err bk_run_thread(struct bk_run *run) {
    struct run_calls *c = run->calls;
    if (c->threaded || run->config.uv_loop != NULL)
        return BK_ERR_STATE;
    if (pthread_create(&c->thread, NULL, thread_main, run) != 0)
        return BK_ERR_IO;
    c->threaded = true;
    return BK_OK;
}
