/* SPDX-License-Identifier: MIT
 * A STUN server on a host of the simulated world: the real stun_service on simulated sockets. */
#ifndef SIM_ACTOR_STUN_H
#define SIM_ACTOR_STUN_H

#include "sim/world.h"
#include "stun/service.h"

struct sim_stun {
    struct stun_service service;
    actor_id actor;
};

/* Listens on `count` ports of all the host's addresses. The world *keeps* `s`. BK_ERR_EXISTS,
 * BK_ERR_FULL: as world_udp_bind(). */
BK_MUST_USE enum bk_err sim_stun_init(struct sim_stun *s, struct world *w, node_id host,
                                      const uint16_t *ports, size_t count);

#endif
