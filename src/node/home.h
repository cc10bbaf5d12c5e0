/* SPDX-License-Identifier: MIT
 * The connection to the home server: TCP, TLS with the pinned key, the relay's handshake (on a fast
 * start where the server offers it), and connecting again whenever it breaks. */
#ifndef NODE_HOME_H
#define NODE_HOME_H

#include "net/loop.h"
#include "net/stream.h"
#include "peer/home_url.h"
#include "peer/identity.h"
#include "relay/client.h"

struct home_link_events {
    void (*on_up)(void *ctx);
    void (*on_down)(void *ctx, enum bk_err err, const char *reason);
    void (*on_packet)(void *ctx, const uint8_t *from, const uint8_t *data, size_t len);
    void (*on_gone)(void *ctx, const uint8_t *key, bool not_here);
    void (*on_room)(void *ctx); /* packets are taken again */
    void *ctx;
};

struct home_link {
    struct net_loop *loop;
    struct home home;
    uint8_t secret[PEER_KEY_LEN];
    struct home_link_events events;
    struct net_tls *tls; /* NULL: plain http */
    struct net_stream *stream;
    struct relay_client *client;
    bool up;
    unsigned failures; /* since it was last up */
    int64_t rtt_us;
    struct net_timer timer; /* the relay client's deadline, or the next try */
    struct net_deferred drain;
    struct bk_rng rng;
    uint64_t bytes_in, bytes_out;
};

/* Starts connecting. `reason` as in node_new(). */
BK_MUST_USE enum bk_err home_link_init(struct home_link *h, struct net_loop *loop,
                                       const struct home *home, const struct identity *identity,
                                       const struct home_link_events *events, char *reason);
void home_link_fini(struct home_link *h);
/* Would a packet of `len` bytes be taken now? */
bool home_link_has_room(const struct home_link *h, size_t len);
/* Queues a packet; it is lost if there is no room. */
void home_link_send(struct home_link *h, const uint8_t *to, const uint8_t *data, size_t len);
/* The connection may be dead: ask. */
void home_link_doubt(struct home_link *h);
/* The network has changed: try now instead of at the end of a pause. */
void home_link_retry(struct home_link *h);

#endif
