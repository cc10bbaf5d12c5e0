/* SPDX-License-Identifier: MIT
 * An endpoint joined to a real network: its UDP sockets, the connection to its home server (kept up
 * for ever), the home's STUN addresses, and this machine's interfaces and their changes.
 *
 * Everything happens in one loop's thread. Programs get events by callback, use sessions through
 * peer/session.h, and call node_touch() after using a session's QUIC. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "net/loop.h"
#include "node/home.h"
#include "peer/endpoint.h"
#include "peer/gather.h"
#include "peer/home_url.h"

struct node;

struct node_config {
    const struct identity *identity; /* copied */
    struct home home;                /* where we are to be found, or where the peer is */
    bool relay_only;
    bool private_addresses, no_beacons; /* as in struct endpoint_config */
    bool no_portmap;                    /* ask no router for a port */
    uint16_t udp_port;                  /* 0: any */
    const struct proxy *proxy;          /* on the way to the home; copied; NULL: none */
    bool proxy_only;                    /* never past the proxy, even where it does not exist */
    uint32_t keepalive_max_s;           /* to the home, see home_link_config */
    struct bk_trace trace;
};

struct node_events {
    /* Something of the endpoint's; see endpoint_next_event(). */
    void (*on_event)(void *ctx, const struct endpoint_event *event);
    /* The home connection works (`up`), or it does not: `err`, and `reason`, one sentence without a
     * full stop. It is tried again for ever; programs decide when to lose patience. */
    void (*on_home)(void *ctx, bool up, enum bk_err err, const char *reason);
    /* Told after every round of packets: streams may have moved. May be NULL. */
    void (*on_progress)(void *ctx);
};

/* Errors: of net_udp_open() when no socket can be had, BK_ERR_NO_MEMORY, BK_ERR_ARGUMENT. `reason`
 * (room for NET_REASON_MAX) says which home setting is wrong when it is. */
BK_MUST_USE enum bk_err node_new(struct net_loop *loop, const struct node_config *config,
                                 const struct node_events *events, void *ctx, struct node **out,
                                 char *reason);
/* At once; sessions end without a goodbye unless they said theirs before. NULL is fine. */
void node_free(struct node *n);

struct endpoint *node_endpoint(struct node *n);
/* Sends what the endpoint has to send, at the end of this turn. */
void node_touch(struct node *n);
/* Round trip to the home server in microseconds; 0: not measured yet. */
int64_t node_home_rtt_us(const struct node *n);
bool node_home_is_up(const struct node *n);
enum home_trouble node_home_trouble(const struct node *n);
/* As home_link_way(). */
char *node_home_way(const struct node *n, char *out);
/* Packets and bytes by each way since the start. */
struct node_traffic {
    uint64_t direct_bytes_out, direct_bytes_in, relay_bytes_out, relay_bytes_in;
};
void node_traffic(const struct node *n, struct node_traffic *out);

#endif
