/* SPDX-License-Identifier: MIT */
#include "cli/ice_lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void ice_lines_stop(struct ice_lines *l) {
    l->stopped = true;
    net_watch_free(l->watch);
    l->watch = NULL;
}

void ice_lines_close(struct ice_lines *l) {
    if (!l->stopped)
        ice_lines_stop(l);
    l->used = 0;
}

/* Each line is taken out of the buffer before it is told: its handler may stop the reading and take
 * what is left. */
static void tell_lines(struct ice_lines *l) {
    char line[ICE_LINES_MAX];
    char *end;
    while (!l->stopped && (end = memchr(l->buffer, '\n', l->used)) != NULL) {
        size_t len = (size_t)(end - l->buffer);
        memcpy(line, l->buffer, len);
        l->used -= len + 1;
        memmove(l->buffer, end + 1, l->used);
        if (len > 0 && line[len - 1] == '\r')
            len--;
        line[len] = '\0';
        l->on_line(l->ctx, line);
    }
}

static void on_ready(void *ctx, unsigned ready) {
    struct ice_lines *l = ctx;
    (void)ready;
    ssize_t n = read(l->fd, l->buffer + l->used, sizeof l->buffer - l->used);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        l->used += (size_t)n;
        tell_lines(l);
        if (l->stopped || l->used < sizeof l->buffer)
            return;
    }
    ice_lines_stop(l);
    l->on_end(l->ctx);
}

enum bk_err ice_lines_open(struct ice_lines *l, struct net_loop *loop) {
    enum bk_err err = net_watch_new(loop, l->fd, on_ready, l, &l->watch);
    if (err == BK_OK)
        net_watch_set(l->watch, NET_READABLE);
    return err;
}
