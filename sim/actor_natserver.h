/* SPDX-License-Identifier: MIT
 * An RFC 5780 server on a host of the simulated world: the real stun_service with its discovery,
 * over UDP and TCP, on every address of the host (the first two of a family are its A1 and A2).
 *
 *     node_id host = world_add_host(w, "server", WORLD_CORE, bk_ipv4(198, 51, 100, 1), NULL);
 *     world_add_address(w, host, bk_ipv4(198, 51, 100, 2));
 *     static const uint16_t ports[2] = {3478, 3479};
 *     err = sim_natserver_init(&server, w, host, ports, &alloc);
 *
 * With one address of a family it is the honest half server of stun/discovery.h, with ports[1] 0 a
 * plain Binding server. Add the addresses before. */
#ifndef SIM_ACTOR_NATSERVER_H
#define SIM_ACTOR_NATSERVER_H

#include "sim/world.h"
#include "stun/discovery.h"
#include "stun/service.h"
#include "wire/stun_stream.h"

enum { SIM_NATSERVER_ADDRESSES = 4, SIM_NATSERVER_STREAMS = 16, SIM_NATSERVER_FRAME = 2048 };

struct sim_natserver_socket {
    socket_id id;
    struct bk_addr local;
};

struct sim_natserver_stream {
    bool used;
    stream_id id;
    struct stun_stream frames;
    uint8_t buf[SIM_NATSERVER_FRAME];
};

struct sim_natserver {
    struct stun_service service; /* its counts say what became of every request */
    struct stun_discovery *discovery;
    struct stun_discovery_config config;
    actor_id actor;
    struct bk_rng rng;
    struct sim_natserver_socket sockets[2 * SIM_NATSERVER_ADDRESSES];
    size_t socket_count;
    struct sim_natserver_stream streams[SIM_NATSERVER_STREAMS];
};

/* Listens on the two ports of the host's first four addresses. The world *keeps* `s`. Errors of
 * world_udp_bind(), world_stream_listen() and stun_discovery_new(). */
BK_MUST_USE enum bk_err sim_natserver_init(struct sim_natserver *s, struct world *w, node_id host,
                                           const uint16_t ports[2], const struct bk_alloc *alloc);
/* The process dies and is back at once: it has forgotten who asked. Errors of stun_discovery_new();
 * it is then a plain Binding server. */
BK_MUST_USE enum bk_err sim_natserver_restart(struct sim_natserver *s,
                                              const struct bk_alloc *alloc);
/* After the world has ended, or before. */
void sim_natserver_fini(struct sim_natserver *s);

#endif
