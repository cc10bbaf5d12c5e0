/* SPDX-License-Identifier: MIT
 * TURN in one worker: the service (src/turn), its relay sockets, its timer, and the doors through
 * which clients come. A door is a `turn_link`: a UDP socket of the worker's, one framed connection
 * (TCP, TLS), one DTLS session. Everything here belongs to the worker's thread.
 *
 * Data takes the short way: turn_service_route() says where it goes, and the bytes leave from the
 * buffer they came in, whole trains at a time. Everything else goes through turn_service_recv(). */
#ifndef SERVER_TURN_H
#define SERVER_TURN_H

#include "net/loop.h"
#include "server/nonce_keys.h"
#include "turn/service.h"

struct server_turn; /* opaque; turn_int.h */
struct turn_link;

struct turn_link_type {
    /* Takes a datagram to this link's client: `route->head`, the bytes `data[route->skip..]`,
     * `route->pad`. Never blocks; drops when the client's buffer is full. */
    void (*send)(struct turn_link *link, const struct turn_route *route, const uint8_t *data);
    /* RFC 6062 section 5.4: from now on this stream and the peer connection are one; told before
     * the answer is sent. NULL: cannot. */
    void (*join)(struct turn_link *link, struct server_turn *turn, uint32_t connection);
    /* TURN_PASS of a message that came over this stream: the stream moves to that worker, the
     * message first. NULL: it came as a datagram, which turn.c passes on itself. */
    void (*pass)(struct turn_link *link, uint16_t worker);
};

/* Embedded in whatever is the door. */
struct turn_link {
    const struct turn_link_type *type;
};

struct server_turn_config {
    struct turn_service_config service; /* but for worker, workers and ledger */
    bool tcp_relay;                     /* RFC 6062 */
    struct nonce_secrets secrets;       /* the service's */
};

struct worker;
BK_MUST_USE enum bk_err server_turn_new(struct worker *w, const struct server_turn_config *config,
                                        struct server_turn **out);
/* Closes relay ports and peer connections. NULL is fine. */
void server_turn_free(struct server_turn *t);

/* One message of a client: a datagram, or one frame of a connection (wire/stun_stream.h). Answers
 * leave through `link`. BK_ERR_NOT_OURS: not TURN (Binding is not, either). */
BK_MUST_USE enum bk_err server_turn_recv(struct server_turn *t, struct turn_link *link,
                                         const struct bk_datagram *in, struct bk_time now);
/* The first datagrams of a client's train (`segment` set, also for one alone) that go the same way.
 * Gives how many bytes they are; 0: the first one is not data, hand it to server_turn_recv(). */
size_t server_turn_run(struct server_turn *t, const struct bk_datagram *train, struct bk_time now);
/* In the worker's thread: what is known of users has changed; requests that waited are handed in
 * again. `ctx`: a server_turn. */
void server_turn_again(void *ctx);
/* The link is going away; `client` has its 5-tuple. */
void server_turn_left(struct server_turn *t, const struct bk_datagram *client, struct bk_time now);

#endif
