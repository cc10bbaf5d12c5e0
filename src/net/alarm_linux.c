/* SPDX-License-Identifier: MIT
 * The alarm as a timerfd. */
#ifdef __linux__
#define _GNU_SOURCE /* NOLINT: timerfd needs it */
#include "net/alarm.h"

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static void on_alarm(uv_poll_t *poll, int status, int events) {
    struct net_alarm *a = poll->data;
    uint64_t expirations;
    (void)status;
    (void)events;
    if (read(a->fd, &expirations, sizeof expirations) > 0)
        a->armed = BK_NEVER;
    /* The due timers run in the loop's prepare step, which follows in every turn. */
}

enum bk_err alarm_init(struct net_alarm *a, uv_loop_t *uv) {
    a->armed = BK_NEVER;
    a->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (a->fd < 0)
        return BK_ERR_IO;
    if (uv_poll_init(uv, &a->uv.poll, a->fd) != 0) {
        close(a->fd);
        return BK_ERR_IO;
    }
    a->uv.poll.data = a;
    uv_poll_start(&a->uv.poll, UV_READABLE, on_alarm);
    return BK_OK;
}

void alarm_set(struct net_alarm *a, struct bk_time deadline, struct bk_time now) {
    struct itimerspec when = {0};
    (void)now;
    /* Going off too early costs one empty turn; setting the timer costs a system call each time. */
    if (bk_is_never(deadline) || a->armed.us <= deadline.us)
        return;
    if (deadline.us < 1)
        deadline.us = 1; /* zero would disarm */
    when.it_value.tv_sec = (time_t)(deadline.us / BK_US_PER_S);
    when.it_value.tv_nsec = (long)(deadline.us % BK_US_PER_S) * 1000;
    if (timerfd_settime(a->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0)
        a->armed = deadline;
}

static void on_closed(uv_handle_t *handle) {
    struct net_alarm *a = handle->data;
    close(a->fd);
    a->closed = true;
}

void alarm_fini(struct net_alarm *a) {
    uv_poll_stop(&a->uv.poll);
    uv_close((uv_handle_t *)&a->uv.poll, on_closed);
}

#else
typedef int alarm_linux_is_empty; /* ISO C wants a declaration in every file */
#endif
