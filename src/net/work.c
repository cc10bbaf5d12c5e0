/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: libuv needs it */
#include "net/work.h"

#include "net/loop_private.h"

struct work {
    uv_work_t request;
    struct net_loop *loop;
    void (*run)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

static void on_run(uv_work_t *request) {
    const struct work *w = request->data;
    w->run(w->ctx);
}

static void on_done(uv_work_t *request, int status) {
    struct work *w = request->data;
    (void)status; /* nobody cancels it */
    w->done(w->ctx);
    loop_put(w->loop, w);
}

enum bk_err net_work(struct net_loop *loop, void (*run)(void *ctx), void (*done)(void *ctx),
                     void *ctx) {
    struct work *w = loop_get(loop, sizeof *w);
    if (w == NULL)
        return BK_ERR_NO_MEMORY;
    *w = (struct work){.loop = loop, .run = run, .done = done, .ctx = ctx};
    w->request.data = w;
    if (uv_queue_work(loop->uv, &w->request, on_run, on_done) == 0)
        return BK_OK;
    loop_put(loop, w);
    return BK_ERR_NO_MEMORY;
}
