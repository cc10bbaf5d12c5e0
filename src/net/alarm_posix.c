/* SPDX-License-Identifier: MIT
 * The alarm as a libuv timer, with its millisecond grain. */
#ifndef __linux__
#include "net/alarm.h"

static void on_alarm(uv_timer_t *timer) {
    struct net_alarm *a = timer->data;
    a->armed = BK_NEVER;
}

enum bk_err alarm_init(struct net_alarm *a, uv_loop_t *uv) {
    a->armed = BK_NEVER;
    a->fd = -1;
    a->uv.timer.data = a;
    return uv_timer_init(uv, &a->uv.timer) == 0 ? BK_OK : BK_ERR_IO;
}

void alarm_set(struct net_alarm *a, struct bk_time deadline, struct bk_time now) {
    if (bk_is_never(deadline) || a->armed.us <= deadline.us)
        return;
    int64_t wait_us = deadline.us > now.us ? deadline.us - now.us : 0;
    uv_update_time(a->uv.timer.loop);
    uv_timer_start(&a->uv.timer, on_alarm, (uint64_t)((wait_us + 999) / 1000), 0);
    a->armed = deadline;
}

static void on_closed(uv_handle_t *handle) {
    struct net_alarm *a = handle->data;
    a->closed = true;
}

void alarm_fini(struct net_alarm *a) {
    uv_timer_stop(&a->uv.timer);
    uv_close((uv_handle_t *)&a->uv.timer, on_closed);
}

#else
typedef int alarm_posix_is_empty; /* ISO C wants a declaration in every file */
#endif
