/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_MAX = 65536, ROUND_MAX = 1024 * 1024 };

static void on_in(void *ctx, unsigned ready) {
    struct pipe *p = ctx;
    (void)ready;
    p->in_ready = true;
    net_watch_set(p->in_watch, 0);
    p->on_ready(p->ctx);
}

static void on_out(void *ctx, unsigned ready) {
    struct pipe *p = ctx;
    (void)ready;
    p->out_ready = true;
    net_watch_set(p->out_watch, 0);
    p->on_ready(p->ctx);
}

/* Output may be shared with other programs, so its flags are left alone. A pipe can be opened anew
 * through /proc with flags of its own; files never wait; everything else is given no more than a
 * ready pipe is sure to take (pipe(7)). */
static void prepare_output(struct pipe *p) {
    struct stat st;
    char path[32];
    p->write_max = PIPE_BUF;
    if (fstat(p->out_fd, &st) != 0 || !S_ISFIFO(st.st_mode))
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", p->out_fd);
    p->reopened_fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (p->reopened_fd >= 0)
        p->write_max = ROUND_MAX;
}

enum bk_err pipe_open(struct pipe *p) {
    p->reopened_fd = -1;
    p->out_ready = true;
    prepare_output(p);
    enum bk_err err = net_watch_new(p->loop, p->in_fd, on_in, p, &p->in_watch);
    if (err == BK_OK)
        err = net_watch_new(p->loop, p->reopened_fd >= 0 ? p->reopened_fd : p->out_fd, on_out, p,
                            &p->out_watch);
    if (err != BK_OK) {
        pipe_close(p);
        return err;
    }
    if (net_watch_never_waits(p->out_watch))
        p->write_max = ROUND_MAX;
    net_watch_set(p->in_watch, NET_READABLE);
    return BK_OK;
}

static void forget_output(struct pipe *p) {
    net_watch_free(p->out_watch);
    p->out_watch = NULL;
    if (p->reopened_fd >= 0)
        (void)close(p->reopened_fd);
    p->reopened_fd = -1;
}

void pipe_close(struct pipe *p) {
    net_watch_free(p->in_watch);
    p->in_watch = NULL;
    forget_output(p);
}

static void end_output(struct pipe *p) {
    p->out_ended = true;
    forget_output(p);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, p->out_fd) < 0)
        (void)close(p->out_fd);
    if (null >= 0)
        (void)close(null);
}

void pipe_end_input(struct pipe *p) {
    if (p->in_ended)
        return;
    p->in_ended = true;
    if (p->in_watch != NULL)
        net_watch_set(p->in_watch, 0);
    if (quic_stream_finish(p->quic, p->stream) != BK_OK && p->problem == PIPE_FINE)
        p->problem = PIPE_PEER_STOPPED;
}

/* One read; false: nothing more now. */
static bool read_once(struct pipe *p) {
    uint8_t buf[READ_MAX];
    size_t room = quic_stream_room(p->quic, p->stream);
    if (room == 0)
        return false; /* STREAM_WRITABLE brings us back */
    ssize_t n = read(p->in_fd, buf, room < sizeof buf ? room : sizeof buf);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        p->in_ready = false;
        net_watch_set(p->in_watch, NET_READABLE);
        return false;
    }
    if (n <= 0) {
        if (n < 0)
            p->problem = PIPE_READ_FAILED;
        pipe_end_input(p);
        return false;
    }
    p->bytes_in += (uint64_t)n;
    (void)quic_stream_write(p->quic, p->stream, buf, (size_t)n); /* it fits: there was room */
    return true;
}

static void move_in(struct pipe *p) {
    uint64_t until = p->bytes_in + ROUND_MAX;
    while (!p->in_ended && p->in_ready && p->bytes_in < until) {
        bool blocking_next = !read_once(p);
        if (blocking_next)
            return;
        if (net_watch_never_waits(p->in_watch))
            continue;
        /* A pipe or terminal may be empty now, and a read would block: ask first. */
        p->in_ready = false;
        net_watch_set(p->in_watch, NET_READABLE);
    }
}

/* One write; false: nothing more now. */
static bool write_once(struct pipe *p) {
    const uint8_t *data;
    size_t len;
    int fd = p->reopened_fd >= 0 ? p->reopened_fd : p->out_fd;
    if (!quic_stream_peek(p->quic, p->stream, &data, &len))
        return false;
    if (len == 0) {
        end_output(p);
        return false;
    }
    ssize_t n = write(fd, data, len < p->write_max ? len : p->write_max);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        p->out_ready = false;
        net_watch_set(p->out_watch, NET_WRITABLE);
        return false;
    }
    if (n < 0) {
        p->problem = PIPE_WRITE_FAILED;
        p->out_ended = true;
        quic_stream_stop(p->quic, p->stream, 0);
        return false;
    }
    p->bytes_out += (uint64_t)n;
    quic_stream_consume(p->quic, p->stream, (size_t)n);
    if (p->write_max == PIPE_BUF) { /* ready for one such write; ask again */
        p->out_ready = false;
        net_watch_set(p->out_watch, NET_WRITABLE);
    }
    return true;
}

bool pipe_move(struct pipe *p) {
    move_in(p);
    uint64_t until = p->bytes_out + 4 * (uint64_t)ROUND_MAX;
    while (!p->out_ended && p->out_ready && p->bytes_out < until)
        if (!write_once(p))
            return false;
    return !p->out_ended && p->out_ready;
}

void pipe_drain(struct pipe *p) {
    struct pollfd wait = {.fd = p->reopened_fd >= 0 ? p->reopened_fd : p->out_fd,
                          .events = POLLOUT};
    const uint8_t *data;
    size_t len;
    while (!p->out_ended && quic_stream_peek(p->quic, p->stream, &data, &len) && len > 0)
        if (!write_once(p) && !p->out_ended && poll(&wait, 1, -1) < 0 && errno != EINTR)
            return;
    p->out_ended = true;
}
