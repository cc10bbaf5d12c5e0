/* SPDX-License-Identifier: MIT
 * A STUN and TURN server on a host of the simulated world: the real turn_service and stun_service,
 * over UDP and TCP, with one user. Add the host's addresses before; the first of each family is
 * where it relays. */
#ifndef SIM_ACTOR_TURN_H
#define SIM_ACTOR_TURN_H

#include "sim/world.h"
#include "stun/service.h"
#include "turn/service.h"
#include "turn/stream.h"

enum { SIM_TURN_RELAYS = 128, SIM_TURN_STREAMS = 16, SIM_TURN_FRAME = 2048 };

struct sim_turn_relay {
    bool open;
    socket_id id;
    struct bk_addr addr;
};

struct sim_turn_stream {
    bool used;
    stream_id id;
    struct turn_stream frames;
    uint8_t buf[SIM_TURN_FRAME];
};

struct sim_turn {
    struct stun_service stun;
    struct turn_service *service; /* NULL: it is down */
    struct turn_service_config config;
    struct turn_one_user user;
    actor_id actor;
    socket_id client[2]; /* IPv4 and IPv6, on every address */
    struct world *world;
    struct bk_alloc alloc;
    struct bk_rng rng;
    struct sim_turn_relay relays[SIM_TURN_RELAYS];
    struct sim_turn_stream streams[SIM_TURN_STREAMS];
};

/* "u", "p", realm "example"; a nonce lives for `nonce_us` (0: the default). The world *keeps* `s`.
 * Errors of world_udp_bind(), world_stream_listen() and turn_service_new(). */
BK_MUST_USE enum bk_err sim_turn_init(struct sim_turn *s, struct world *w, node_id host,
                                      uint16_t port, int64_t nonce_us,
                                      const struct bk_alloc *alloc);
/* The process dies: allocations are gone, nobody answers. */
void sim_turn_stop(struct sim_turn *s);
/* It is back, with another secret. Errors of turn_service_new(). */
BK_MUST_USE enum bk_err sim_turn_start(struct sim_turn *s);
/* Before world_free(). */
void sim_turn_fini(struct sim_turn *s);

#endif
