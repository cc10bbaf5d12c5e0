/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/ice_pipe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { RETRY_US = 2000 };

/* true: the buffer is empty again. */
static bool send_held(struct ice_pipe *p) {
    if (p->held == 0)
        return true;
    enum bk_err err = p->send(p->ctx, p->buffer, p->held);
    if (err == BK_ERR_FULL) {
        net_watch_set(p->watch, 0);
        net_timer_set(&p->retry, bk_after(net_now(p->loop), RETRY_US));
        return false;
    }
    if (err == BK_OK) {
        p->sent++;
        p->sent_bytes += p->held;
    }
    p->held = 0;
    return true;
}

static void on_retry(void *ctx, struct bk_time now) {
    struct ice_pipe *p = ctx;
    (void)now;
    if (send_held(p) && !p->ended)
        net_watch_set(p->watch, NET_READABLE);
}

/* One datagram a turn: input that is always ready must not starve the network. */
static void on_readable(void *ctx, unsigned ready) {
    struct ice_pipe *p = ctx;
    (void)ready;
    ssize_t n = read(STDIN_FILENO, p->buffer, sizeof p->buffer);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        p->held = (size_t)n;
        (void)send_held(p);
        return;
    }
    p->ended = true;
    net_watch_set(p->watch, 0);
    p->on_end(p->ctx);
}

enum bk_err ice_pipe_open(struct ice_pipe *p, struct net_loop *loop, const void *first,
                          size_t first_len) {
    const uint8_t *bytes = first;
    p->loop = loop;
    enum bk_err err = net_watch_new(loop, STDIN_FILENO, on_readable, p, &p->watch);
    if (err != BK_OK)
        return err;
    net_timer_init(&p->retry, loop, on_retry, p);
    p->open = true;
    for (size_t at = 0; at < first_len; at += ICE_PIPE_DATAGRAM) {
        size_t len = first_len - at < ICE_PIPE_DATAGRAM ? first_len - at : ICE_PIPE_DATAGRAM;
        memcpy(p->buffer, bytes + at, len);
        p->held = len;
        if (!send_held(p))
            return BK_OK; /* a few lines typed ahead, into a full socket: the rest is lost */
    }
    net_watch_set(p->watch, NET_READABLE);
    return BK_OK;
}

/* The loop must not wait for whoever reads our output: a reader who is slow loses datagrams, as on
 * any network. */
void ice_pipe_put(struct ice_pipe *p, const uint8_t *data, size_t len) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    p->received++;
    p->received_bytes += len;
    if (poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0 ||
        write(STDOUT_FILENO, data, len) != (ssize_t)len)
        p->dropped++;
}

void ice_pipe_close(struct ice_pipe *p) {
    if (p->open)
        net_timer_set(&p->retry, BK_NEVER);
    net_watch_free(p->watch);
    p->watch = NULL;
    p->open = false;
}
