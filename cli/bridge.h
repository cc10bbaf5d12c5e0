/* SPDX-License-Identifier: MIT
 * Joins one TCP connection to one QUIC stream: bytes, ends of either direction, and failures pass
 * through; each side is read only as fast as the other takes. */
#ifndef CLI_BRIDGE_H
#define CLI_BRIDGE_H

#include "net/stream.h"
#include "peer/quic.h"

enum { BRIDGE_HELD_MAX = 256 * 1024 };

struct bridge {
    struct net_stream *tcp; /* NULL: closed */
    struct quic *quic;      /* NULL: the session is over */
    int64_t stream;
    uint8_t *held; /* read from TCP, not yet taken by QUIC */
    size_t held_len, held_at;
    bool tcp_open, tcp_ended, quic_ended, fin_sent, shut;
    bool over;                   /* both ways are finished or broken: bridge_fini() it */
    void (*on_moved)(void *ctx); /* QUIC has something to send */
    void *ctx;
};

/* Callbacks for a net_stream whose ctx is the bridge. */
extern const struct net_stream_events bridge_events;

void bridge_init(struct bridge *b, struct quic *quic, int64_t stream, void (*on_moved)(void *ctx),
                 void *ctx);
/* Closes what is still open. */
void bridge_fini(struct bridge *b);
/* Takes the connection; `open`: it carries bytes already. */
void bridge_take(struct bridge *b, struct net_stream *tcp, bool open);
/* Moves bytes both ways; call after events and rounds of packets. */
void bridge_move(struct bridge *b);
/* The stream is closed: both of its directions have ended, or the peer reads no more. */
void bridge_closed(struct bridge *b);
/* The peer gave up sending. */
void bridge_reset(struct bridge *b);
/* The session is over: TCP is closed. */
void bridge_lost(struct bridge *b);

#endif
