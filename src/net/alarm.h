/* SPDX-License-Identifier: MIT
 * Private to net: the one system timer that wakes a loop. libuv's own timers count milliseconds,
 * which is too coarse for paced packets; on Linux a timerfd counts microseconds. */
#ifndef NET_ALARM_H
#define NET_ALARM_H

#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <uv.h>

struct net_alarm {
    union {
        uv_poll_t poll;   /* alarm_linux.c */
        uv_timer_t timer; /* alarm_posix.c */
    } uv;
    int fd;
    struct bk_time armed; /* when it will go off, BK_NEVER: it will not */
    bool closed;          /* libuv has let go of it */
};

/* BK_ERR_IO: out of file descriptors. */
BK_MUST_USE enum bk_err alarm_init(struct net_alarm *a, uv_loop_t *uv);
/* Makes the loop turn at `deadline` or earlier. */
void alarm_set(struct net_alarm *a, struct bk_time deadline, struct bk_time now);
/* The memory is needed until `closed`, which comes when the loop has run once more. */
void alarm_fini(struct net_alarm *a);

#endif
