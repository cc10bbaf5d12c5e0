/* SPDX-License-Identifier: MIT
 * The loop that a driver lives on, for programs of this project that have more to do in it:
 * standard input, signals, timers. Others bring a libuv loop (bk_run_config.uv_loop). */
#ifndef RUN_LOOP_H
#define RUN_LOOP_H

#include "net/loop.h"

#include <bodkin/run.h>

/* The driver's, as long as it lives. */
struct net_loop *run_loop_of(struct bk_run *run);

#endif
