/* SPDX-License-Identifier: MIT
 * Something that blocks, off the loop's thread: libuv's pool runs it, the loop hears of its end. */
#ifndef NET_WORK_H
#define NET_WORK_H

#include "net/loop.h"

/* Calls run(ctx) in another thread, then done(ctx) in the loop's. It cannot be stopped: `ctx` lives
 * until done(), which always comes, at the latest inside net_loop_free(). BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err net_work(struct net_loop *loop, void (*run)(void *ctx),
                                 void (*done)(void *ctx), void *ctx);

#endif
