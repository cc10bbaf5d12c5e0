/* SPDX-License-Identifier: MIT
 * Messages and descriptors between two processes: a pair of connected local sockets that keep
 * messages apart (SOCK_SEQPACKET, unix(7)). Any thread may send. */
#ifndef SERVER_UPGRADE_CHANNEL_H
#define SERVER_UPGRADE_CHANNEL_H

#include "server/upgrade_record.h"
#include "wire/writer.h"

struct upgrade_message {
    uint8_t bytes[UPGRADE_MESSAGE_MAX];
    size_t len;
    int fds[UPGRADE_FDS_MAX];
    size_t fd_count, fd_taken;
};

/* Records on their way out, many to a message. */
struct upgrade_out {
    int fd;
    struct upgrade_message *message;
    struct wire_writer writer;
    enum bk_err err; /* the first failure; nothing is sent after it */
    uint16_t worker; /* whose records they are */
};

/* BK_ERR_UNSUPPORTED, BK_ERR_IO. */
BK_MUST_USE enum bk_err upgrade_channel_new(int ends[2]);
/* This end blocks no longer than so. 0: not at all. */
void upgrade_channel_wait(int fd, int64_t send_us, int64_t recv_us);
/* The descriptors stay the caller's. BK_ERR_CLOSED, BK_ERR_TIMEOUT, BK_ERR_IO. */
BK_MUST_USE enum bk_err upgrade_channel_send(int fd, const struct upgrade_message *m);
/* The same for bytes that may be lost; never blocks. */
BK_MUST_USE enum bk_err upgrade_channel_try(int fd, const void *bytes, size_t len);
/* One record, without descriptors or with one (`with`, -1: none). */
BK_MUST_USE enum bk_err upgrade_channel_say(int fd, const struct upgrade_record *r, int with);
/* `message` is borrowed. */
struct upgrade_out upgrade_out_start(int fd, struct upgrade_message *message);
/* Adds a record with its r->fds descriptors, which stay the caller's; sends what is full. */
void upgrade_out_put(struct upgrade_out *o, const struct upgrade_record *r, const int *fds);
/* Sends the rest. */
BK_MUST_USE enum bk_err upgrade_out_end(struct upgrade_out *o);
/* The descriptors are the caller's: upgrade_take_fd() or upgrade_message_drop(). BK_ERR_CLOSED: the
 * other process is gone. BK_ERR_TIMEOUT. BK_ERR_MALFORMED: too long, or too many descriptors. */
BK_MUST_USE enum bk_err upgrade_channel_recv(int fd, struct upgrade_message *out);
/* The next descriptor. -1: there are no more. */
int upgrade_take_fd(struct upgrade_message *m);
/* Closes what was not taken. */
void upgrade_message_drop(struct upgrade_message *m);

#endif
