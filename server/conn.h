/* SPDX-License-Identifier: MIT
 * One TCP connection of a worker, from accept to close: an HTTP door that may become a relay
 * connection, or a STUN connection.
 *
 * A connection belongs to its worker's list and, while it is relayed, to the hub under a number.
 * conn_end() undoes both, whoever asks for it: the stream's on_close, the hub, a timer. */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include "server/worker.h"

enum conn_state {
    CONN_TLS,   /* accepted, the TLS handshake runs */
    CONN_HTTP,  /* a request is being read */
    CONN_STUN,  /* STUN messages */
    CONN_RELAY, /* the hub's */
    CONN_ENDED
};

struct conn_stun;
struct relay_request;

struct conn {
    struct worker *worker;
    struct net_stream *stream;
    struct conn *next, *prev;
    enum conn_state state;
    enum port_kind kind;
    struct bk_addr remote;
    uint32_t hub_conn;
    struct net_timer timer;        /* the request must be complete, or STUN must go on, by then */
    struct relay_request *request; /* CONN_HTTP */
    struct conn_stun *stun;        /* CONN_STUN */
};

/* A new stream at a door. Closes it when it is over a limit. */
void conn_accept(struct door *door, struct net_stream *stream);
/* Sends what the hub has for this connection, as far as the stream has room. */
void conn_write_hub(struct conn *c);
/* Ends the connection: at once, or after `linger_us` spent on sending what is buffered. */
void conn_end(struct conn *c, int64_t linger_us);

#endif
