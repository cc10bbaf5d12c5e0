/* SPDX-License-Identifier: MIT
 * The connection to the home server: a stream by whatever way there is (reach.h), the relay's
 * handshake (on a fast start where the server offers it), and connecting again whenever it breaks.
 */
#ifndef NODE_HOME_H
#define NODE_HOME_H

#include "net/loop.h"
#include "net/stream.h"
#include "node/portal_check.h"
#include "node/reach.h"
#include "peer/home_url.h"
#include "peer/identity.h"
#include "relay/client.h"
#include "relay/keepalive.h"

struct home_link_events {
    void (*on_up)(void *ctx);
    void (*on_down)(void *ctx, enum bk_err err, const char *reason);
    void (*on_packet)(void *ctx, const uint8_t *from, const uint8_t *data, size_t len);
    void (*on_gone)(void *ctx, const uint8_t *key, bool not_here);
    void (*on_room)(void *ctx); /* packets are taken again */
    void *ctx;
};

struct home_link_config {
    const struct home *home;         /* copied, as all here */
    const struct identity *identity; /* whose relay key is used */
    const struct proxy *proxy;       /* NULL: none */
    bool proxy_only;                 /* never past the proxy, even where it does not exist */
    uint32_t keepalive_max_s;        /* the longest silence; 0: KEEPALIVE_DEFAULT_S */
};

/* What stands in the way, when a sentence is not enough. */
enum home_trouble {
    HOME_FINE,
    HOME_DOWN,
    HOME_PORTAL /* the network wants a login in a browser first */
};

struct home_link {
    struct net_loop *loop;
    struct home home;
    uint8_t secret[PEER_KEY_LEN];
    struct home_link_events events;
    struct net_tls *tls;        /* NULL: plain http */
    struct reach reach;         /* while there is no stream */
    struct portal_check portal; /* when it takes long */
    struct net_stream *stream;
    struct relay_client *client;
    bool up;
    enum bk_err held; /* a failure that is told when the check for a portal is over; BK_OK: none */
    char held_reason[NET_REASON_MAX];
    unsigned failures; /* since it was last up */
    struct keepalive keepalive;
    int64_t died_silent_us; /* the last connection ended unanswered after so much silence; 0: it
                               ended otherwise */
    struct bk_time died_at;
    int64_t rtt_us;
    struct net_timer timer; /* the relay client's deadline, or the next try */
    struct net_deferred drain;
    struct bk_rng rng;
    uint64_t bytes_in, bytes_out;
};

/* Starts connecting. `reason` as in node_new(). */
BK_MUST_USE enum bk_err home_link_init(struct home_link *h, struct net_loop *loop,
                                       const struct home_link_config *config,
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
enum home_trouble home_link_trouble(const struct home_link *h);
/* "through http://HOST:PORT" or "at port 443": how the home is reached if not in the plainest way;
 * else empty. `out` has room for REACH_TEXT_MAX. Returns `out`. */
char *home_link_way(const struct home_link *h, char *out);

#endif
