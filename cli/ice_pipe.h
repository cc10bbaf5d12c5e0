/* SPDX-License-Identifier: MIT
 * Standard input and output as datagrams of an agent. ICE has no retransmission, no order and no
 * end: what is lost on the way is lost, and that our input is over stays with us. */
#ifndef CLI_ICE_PIPE_H
#define CLI_ICE_PIPE_H

#include "net/loop.h"

#include <stddef.h>
#include <stdint.h>

enum { ICE_PIPE_DATAGRAM = 1200 }; /* bytes of input per datagram: fits every path's MTU */

struct ice_pipe {
    struct net_watch *watch;
    struct net_timer retry; /* the socket's buffer was full */
    struct net_loop *loop;
    /* BK_ERR_FULL: not now; all else is taken. */
    enum bk_err (*send)(void *ctx, const void *data, size_t len);
    void (*on_end)(void *ctx); /* end of input */
    void *ctx;
    bool open, ended;
    size_t held;                                                  /* what waits in `buffer` */
    uint64_t sent, received, sent_bytes, received_bytes, dropped; /* dropped: output was blocked */
    uint8_t buffer[ICE_PIPE_DATAGRAM];
};

/* The caller has set send, on_end and ctx. `first`: what was read already, sent before the rest.
 * BK_ERR_ARGUMENT: standard input is closed. */
BK_MUST_USE enum bk_err ice_pipe_open(struct ice_pipe *p, struct net_loop *loop, const void *first,
                                      size_t first_len);
/* One datagram came in. */
void ice_pipe_put(struct ice_pipe *p, const uint8_t *data, size_t len);
/* A structure of zeros is fine. */
void ice_pipe_close(struct ice_pipe *p);

#endif
