/* SPDX-License-Identifier: MIT
 * A peer in the simulated world: a real endpoint (peer/endpoint.h) with its UDP socket, its stream
 * to the home relay and a real relay client on it. Connects again when the stream breaks.
 *
 * The scenario drives sessions through sim_peer_endpoint() and then calls sim_peer_touch(). */
#ifndef SIM_ACTOR_PEER_H
#define SIM_ACTOR_PEER_H

#include "peer/endpoint.h"
#include "relay/client.h"
#include "sim/world.h"

struct sim_peer_config {
    struct bk_addr home;     /* the relay's stream port */
    struct bk_addr stun[4];  /* ports of the STUN server; port 0 ends */
    struct bk_addr bases[2]; /* the host's addresses, one of a family (family NONE ends); the port
                                is taken from the socket */
    uint16_t port;           /* of its sockets; 0: any */
    const char *name;        /* for world_rng() */
    bool relay_only, private_addresses;
    bool beacons; /* its bases are on a link (number 1) where it calls out, and listens */
    struct bk_trace trace;
    int64_t signal_hold_us; /* signalling that came over the relay is read so much later */
    /* Each event, as it comes. May use sessions and the endpoint. */
    void (*on_event)(void *ctx, struct world *w, const struct endpoint_event *event);
    void (*on_home)(void *ctx, struct world *w); /* the home relay works; may be NULL */
    void (*on_turn)(void *ctx, struct world *w); /* after each round; may be NULL */
    void *ctx;
};

struct sim_peer {
    struct sim_peer_config config;
    struct world *world;
    actor_id actor;
    socket_id socket[2]; /* of bases[] */
    socket_id hear[2], talk[2];
    struct sim_peer_extra {
        socket_id socket;
        uint16_t port; /* 0: not open */
    } extra[ENDPOINT_SOCKETS_MAX];
    size_t extra_top;
    stream_id stream;
    bool has_stream, stream_open, was_up;
    struct bk_time connect_at;
    struct relay_client *client;
    struct endpoint *endpoint;
    struct identity identity;
    struct bk_rng rng;
    struct bk_alloc alloc;
    uint64_t relay_bytes, direct_bytes; /* sent */
    uint64_t beacons_sent;
};

/* Makes an identity from the world's seed and puts the peer on `host`. */
BK_MUST_USE enum bk_err sim_peer_init(struct sim_peer *p, struct world *w, node_id host,
                                      const struct sim_peer_config *config,
                                      const struct bk_alloc *alloc);
void sim_peer_fini(struct sim_peer *p);
struct endpoint *sim_peer_endpoint(struct sim_peer *p);
/* As endpoint_set_nat(): what a survey of its NAT found. */
void sim_peer_set_nat(struct sim_peer *p, const struct bk_nat_traits *nat, uint8_t opener_ttl);
void sim_peer_touch(struct sim_peer *p);

#endif
