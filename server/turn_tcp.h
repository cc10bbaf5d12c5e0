/* SPDX-License-Identifier: MIT
 * The sockets of TCP allocations (RFC 6062): listening relay ports, connections to and from peers,
 * and the pairs they become with clients' data connections. turn.c hands the service's actions in;
 * what happens to the sockets is told to the service, and then turn.c's server_turn_drain() fetches
 * what it has to say. */
#ifndef SERVER_TURN_TCP_H
#define SERVER_TURN_TCP_H

#include "net/stream.h"
#include "turn/service.h"

struct server_turn;
struct turn_tcp; /* opaque */

enum {
    TURN_TCP_PORTS_MAX = 4096, /* listening relay ports of one worker */
    TURN_TCP_PEERS_MAX = 4096  /* connections with peers of one worker */
};

/* All borrowed for life. */
BK_MUST_USE enum bk_err turn_tcp_new(struct net_loop *loop, struct server_turn *turn,
                                     struct turn_service *service, struct turn_tcp **out);
/* Closes everything, and tells nobody but the owners of joined streams. NULL is fine. */
void turn_tcp_free(struct turn_tcp *t);
/* OPEN and CLOSE of BK_TCP, CONNECT, CUT. Tells the service of an OPEN that failed. */
void turn_tcp_act(struct turn_tcp *t, const struct turn_action *action);

/* Makes `stream`, a client's, and a peer connection one; takes over the stream's events. `first`
 * are bytes of the client's that were read already. When either end is done, or at TURN_CUT, both
 * streams are closed and `on_end` is called, once. BK_ERR_NOT_FOUND: no such connection;
 * BK_ERR_CLOSED: it has ended. Then the stream is still the caller's. */
struct turn_tcp_client {
    struct net_stream *stream;
    const uint8_t *first;
    size_t first_len;
    void (*on_end)(void *ctx);
    void *ctx;
};
BK_MUST_USE enum bk_err turn_tcp_join(struct turn_tcp *t, uint32_t connection,
                                      const struct turn_tcp_client *client);
/* The owner ends it: closes both streams, calls nobody. */
void turn_tcp_cut(struct turn_tcp *t, uint32_t connection);

/* turn.c's, for this file: performs what the service wants done, and sends what it has to say; for
 * use after any call that is not server_turn_recv(). */
void server_turn_drain(struct server_turn *turn);
/* turn.c's: tells the service that a port of its is somebody else's. */
void server_turn_cannot_open(struct server_turn *turn, const struct bk_addr *addr, enum bk_err err,
                             struct bk_time now);
/* turn.c's, for links that join. NULL: no TCP allocations here. */
struct turn_tcp *server_turn_tcp(struct server_turn *turn);

#endif
