/* SPDX-License-Identifier: MIT
 * Datagrams of forwarded UDP: each flow (a local client, or a socket towards a target) has a QUIC
 * stream that began with a call (call.h). Short datagrams travel as QUIC datagrams that carry the
 * stream's number; long ones, and those from before the answer, as frames on the stream. */
#ifndef CLI_UDP_FLOW_H
#define CLI_UDP_FLOW_H

#include "net/resolve.h"
#include "net/udp.h"
#include "peer/session.h"

enum { UDP_FLOWS_MAX = 256, UDP_FLOW_IDLE_S = 120 };

struct udp_flows;

struct udp_flow {
    struct udp_flows *owner; /* NULL: free */
    struct session *session; /* NULL: none yet */
    int64_t stream;
    bool answered;       /* both sides are ready */
    bool refused;        /* the peer said no: silence until the flow is forgotten */
    struct net_udp *udp; /* borrowed on the connector's side, owned on the listener's */
    bool owns_udp;
    struct net_resolve *resolve;
    struct bk_addr local, remote; /* the socket's address it talks from; the client or the target */
    struct bk_time used;
    uint8_t *frame; /* an incomplete frame from the stream; NULL: none came so far */
    size_t frame_len;
};

struct udp_flows {
    struct net_loop *loop;
    struct udp_flow *flows; /* UDP_FLOWS_MAX; NULL: none needed */
    /* Listener: udp_flow_open() is through. May close the flow. */
    void (*on_open)(void *ctx, struct udp_flow *f, bool ok);
    void (*on_moved)(void *ctx); /* QUIC has something to send */
    void *ctx;
    uint64_t dropped; /* no room, too early, or no flow */
};

/* `on_open` may be NULL. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err udp_flows_init(struct udp_flows *u, struct net_loop *loop,
                                       void (*on_open)(void *ctx, struct udp_flow *f, bool ok),
                                       void (*on_moved)(void *ctx), void *ctx);
void udp_flows_fini(struct udp_flows *u);

/* The flow of a local client, new if need be; NULL: there are too many. */
struct udp_flow *udp_flow_of_client(struct udp_flows *u, struct net_udp *udp,
                                    const struct bk_datagram *in, struct bk_time now);
struct udp_flow *udp_flow_of_stream(struct udp_flows *u, const struct session *s, int64_t stream);
/* A free place, taken for this stream; NULL: there are too many. */
struct udp_flow *udp_flow_take(struct udp_flows *u, struct session *s, int64_t stream,
                               struct bk_time now);
/* Listener: a socket towards `host`; `on_open` follows, later. */
void udp_flow_open(struct udp_flow *f, const char *host, uint16_t port);
void udp_flow_close(struct udp_flow *f);
/* Ends the flow's stream in both directions. */
void udp_flow_hang_up(struct udp_flow *f);
/* Sends to the peer what came from the network. */
void udp_flow_to_peer(struct udp_flow *f, const uint8_t *data, size_t len, struct bk_time now);
/* Hands every datagram that QUIC holds to its flow's socket, and the frames on the flows' streams.
 */
void udp_flows_from_peer(struct udp_flows *u, struct session *s, struct bk_time now);
/* Closes flows that have been idle for long, and those of a session that is over (`gone`). */
void udp_flows_expire(struct udp_flows *u, const struct session *gone, struct bk_time now);

#endif
