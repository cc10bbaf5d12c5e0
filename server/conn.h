/* SPDX-License-Identifier: MIT
 * One TCP connection of a worker, from accept to close. It goes through doors (conn_open.c: PROXY
 * header, TLS, the first bytes) until it is known what it is: HTTP, which may become a relay
 * connection (conn.c), or STUN and TURN (conn_turn.c), which may become a TURN data connection.
 *
 * A connection belongs to its worker's list and, while it is relayed, to the hub under a number.
 * conn_end() undoes both, whoever asks for it: the stream's on_close, the hub, a timer. */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include "server/log.h"
#include "server/worker.h"

enum conn_state {
    CONN_PROXY,  /* accepted from a proxy, whose header is to come */
    CONN_TLS,    /* the TLS handshake runs, or TCP only has to open */
    CONN_FIRST,  /* the first bytes tell what it is */
    CONN_HTTP,   /* a request is being read */
    CONN_STUN,   /* STUN and TURN messages */
    CONN_JOINED, /* RFC 6062: turn_tcp.c has the stream */
    CONN_RELAY,  /* the hub's */
    CONN_ENDED
};

struct conn_turn;
struct relay_request;

struct conn {
    struct worker *worker;
    struct net_stream *stream; /* NULL in CONN_JOINED, and once it has closed */
    struct conn *next, *prev;
    enum conn_state state;
    enum port_kind kind;
    struct net_tls *tls;          /* what it may start; a reference; NULL: none */
    struct bk_addr local, remote; /* as a PROXY header says, if there was one */
    bool counted;                 /* among the limits */
    uint8_t *header;              /* CONN_PROXY: as much of it as has come */
    size_t header_len;
    uint32_t hub_conn;
    struct net_timer timer;        /* opening, request or STUN must go on by then */
    struct relay_request *request; /* CONN_HTTP */
    struct conn_turn *turn;        /* CONN_STUN, CONN_JOINED */
};

/* ---- conn_open.c */

/* A new stream at a door. Closes it when it is over a limit. */
void conn_accept(struct door *door, struct net_stream *stream);
/* The stream is open, or TLS on it is. */
void conn_opened(struct conn *c);
/* Bytes in the states before it is known what it is. */
void conn_first_bytes(struct conn *c, const uint8_t *data, size_t len);

/* ---- conn.c */

/* One in the worker's list, in state CONN_TLS. NULL: no memory, and `stream` is closed. */
struct conn *conn_new(struct worker *w, struct net_stream *stream);
/* Its stream's events; the context is the connection. */
extern const struct net_stream_events conn_events;
/* Reads HTTP from now on. false: no memory. */
BK_MUST_USE bool conn_start_http(struct conn *c);
void conn_http_bytes(struct conn *c, const uint8_t *data, size_t len);
/* Sends what the hub has for this connection, as far as the stream has room. */
void conn_write_hub(struct conn *c);
/* Ends the connection: at once, or after `linger_us` spent on sending what is buffered. */
void conn_end(struct conn *c, int64_t linger_us);
/* Forgets the connection, whose stream and place among the limits went elsewhere. */
void conn_forget(struct conn *c);
void conn_log(const struct conn *c, enum log_level level, enum log_topic topic, const char *event,
              const char *reason);
void conn_set_timer(struct conn *c, int64_t us);

/* ---- conn_turn.c */

/* Reads STUN and TURN from now on. false: no memory. */
BK_MUST_USE bool conn_turn_start(struct conn *c);
void conn_turn_bytes(struct conn *c, const uint8_t *data, size_t len);
/* The timer's question whether it is over. */
void conn_turn_due(struct conn *c, struct bk_time now);
/* The connection ends: so do its allocation and what it is joined to. */
void conn_turn_end(struct conn *c);
/* A connection that came from another worker; takes `parcel`. */
struct conn_parcel;
void conn_turn_arrive(struct worker *w, struct conn_parcel *parcel);
/* It cannot be delivered. Any thread. */
void conn_parcel_drop(struct fleet *fleet, struct conn_parcel *parcel);

#endif
