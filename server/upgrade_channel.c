/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: MSG_CMSG_CLOEXEC, SOCK_CLOEXEC */
#include "server/upgrade_channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    BUFFER = 1 << 20, /* as far as net.core.wmem_max allows */
    OUT_FULL = 32768  /* bytes: another record begins another message */
};

union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(UPGRADE_FDS_MAX * sizeof(int))];
};

enum bk_err upgrade_channel_new(int ends[2]) {
    const int buffer = BUFFER;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return errno == EPROTONOSUPPORT ? BK_ERR_UNSUPPORTED : BK_ERR_IO;
    for (int i = 0; i < 2; i++)
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    return BK_OK;
}

static void set_timeout(int fd, int which, int64_t wanted_us) {
    const int64_t us = wanted_us == 0 ? 1 : wanted_us; /* zero would be for ever */
    const struct timeval t = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (long)(us % 1000000)};
    (void)setsockopt(fd, SOL_SOCKET, which, &t, sizeof t);
}

void upgrade_channel_wait(int fd, int64_t send_us, int64_t recv_us) {
    set_timeout(fd, SO_SNDTIMEO, send_us);
    set_timeout(fd, SO_RCVTIMEO, recv_us);
}

static enum bk_err err_of(int error) {
    if (error == EAGAIN || error == EWOULDBLOCK)
        return BK_ERR_TIMEOUT;
    return error == EPIPE || error == ECONNRESET ? BK_ERR_CLOSED : BK_ERR_IO;
}

static enum bk_err send_bytes(int fd, const void *bytes, size_t len, const int *fds, size_t count) {
    union { /* the kernel takes the bytes, and will not write them */
        const void *in;
        void *out;
    } data = {.in = bytes};
    union control control;
    struct iovec iov = {data.out, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;
    if (count > 0) {
        memset(&control, 0, sizeof control);
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(count * sizeof *fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof *fds);
        memcpy(CMSG_DATA(c), fds, count * sizeof *fds);
    }
    do
        sent = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? err_of(errno) : BK_OK;
}

enum bk_err upgrade_channel_send(int fd, const struct upgrade_message *m) {
    return send_bytes(fd, m->bytes, m->len, m->fds, m->fd_count);
}

static void out_clear(struct upgrade_out *o) {
    o->message->len = o->message->fd_count = o->message->fd_taken = 0;
    o->writer = wire_writer(o->message->bytes, sizeof o->message->bytes);
}

struct upgrade_out upgrade_out_start(int fd, struct upgrade_message *message) {
    struct upgrade_out o = {.fd = fd, .message = message, .err = BK_OK};
    out_clear(&o);
    return o;
}

enum bk_err upgrade_out_end(struct upgrade_out *o) {
    o->message->len = o->writer.len;
    if (o->err == BK_OK && o->writer.len > 0)
        o->err = upgrade_channel_send(o->fd, o->message);
    out_clear(o);
    return o->err;
}

void upgrade_out_put(struct upgrade_out *o, const struct upgrade_record *r, const int *fds) {
    if (o->writer.len > OUT_FULL || o->message->fd_count + r->fds > UPGRADE_FDS_MAX)
        (void)!upgrade_out_end(o);
    struct upgrade_record own = *r;
    own.worker = o->worker;
    enum bk_err err = upgrade_put(&o->writer, &own);
    if (err != BK_OK && o->err == BK_OK)
        o->err = err;
    for (size_t i = 0; err == BK_OK && i < r->fds; i++)
        o->message->fds[o->message->fd_count++] = fds[i];
}

enum bk_err upgrade_channel_try(int fd, const void *bytes, size_t len) {
    return send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? err_of(errno) : BK_OK;
}

enum bk_err upgrade_channel_say(int fd, const struct upgrade_record *r, int with) {
    uint8_t bytes[1024];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    enum bk_err err = upgrade_put(&w, r);
    return err != BK_OK ? err : send_bytes(fd, bytes, w.len, &with, with < 0 ? 0 : 1);
}

static void take_fds(struct upgrade_message *out, struct msghdr *m) {
    out->fd_count = out->fd_taken = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(out->fds, CMSG_DATA(c), count * sizeof(int));
        out->fd_count = count; /* one such header in a message is all there can be */
    }
}

enum bk_err upgrade_channel_recv(int fd, struct upgrade_message *out) {
    union control control;
    struct iovec iov = {out->bytes, sizeof out->bytes};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t got;
    out->fd_count = out->fd_taken = out->len = 0;
    do
        got = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_of(errno);
    take_fds(out, &m);
    out->len = (size_t)got;
    if (got > 0 && (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return BK_OK;
    upgrade_message_drop(out);
    return got == 0 ? BK_ERR_CLOSED : BK_ERR_MALFORMED;
}

int upgrade_take_fd(struct upgrade_message *m) {
    return m->fd_taken < m->fd_count ? m->fds[m->fd_taken++] : -1;
}

void upgrade_message_drop(struct upgrade_message *m) {
    while (m->fd_taken < m->fd_count)
        close(m->fds[m->fd_taken++]);
}
