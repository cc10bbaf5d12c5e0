/* SPDX-License-Identifier: MIT
 * Joins two file descriptors to a QUIC stream, as a pipe would: end of input is the end of our
 * direction only; a reader who goes away stops the writer. Memory stays bounded: input is read only
 * as fast as the peer takes it, and the peer is held back when output blocks. */
#ifndef CLI_PIPE_H
#define CLI_PIPE_H

#include "net/loop.h"
#include "peer/quic.h"

enum pipe_problem { PIPE_FINE, PIPE_READ_FAILED, PIPE_WRITE_FAILED, PIPE_PEER_STOPPED };

struct pipe {
    struct net_loop *loop;
    struct quic *quic;
    int64_t stream;
    int in_fd, out_fd, reopened_fd;
    struct net_watch *in_watch, *out_watch;
    size_t write_max; /* a write of this size does not block once the descriptor is ready */
    bool in_ended;    /* our input ended and the stream's end is on its way */
    bool out_ended;   /* the peer's end was reached and everything is written */
    bool in_ready, out_ready;
    enum pipe_problem problem;
    uint64_t bytes_in, bytes_out; /* read here; written here */
    void (*on_ready)(void *ctx);  /* something can move: call pipe_move() */
    void *ctx;
};

/* Starts watching `in_fd` and `out_fd`; the caller has set them, and loop, quic, stream, on_ready
 * and ctx, and nothing else. The descriptors stay the caller's, but when the peer's end is written
 * `out_fd` is closed, so that its reader sees the end while we go on sending: /dev/null takes its
 * number. */
BK_MUST_USE enum bk_err pipe_open(struct pipe *p);
/* Moves what can be moved; look at `in_ended`, `out_ended` and `problem` afterwards. true: more can
 * be moved at once, after the network had its turn. */
bool pipe_move(struct pipe *p);
/* The connection is over and everything has arrived: writes what is left, waiting for the output.
 */
void pipe_drain(struct pipe *p);
/* Our input is over, whether or not it has ended: the peer sees the end. */
void pipe_end_input(struct pipe *p);
void pipe_close(struct pipe *p);

#endif
