/* SPDX-License-Identifier: MIT
 * A relay server on a host of the simulated world: the real HTTP door and relay hub on simulated
 * streams, without TLS. Streams here carry no pressure back to their sender, so
 * relay_hub_wants_read() is not honoured; the hub's bounds hold all the same. */
#ifndef SIM_ACTOR_RELAY_H
#define SIM_ACTOR_RELAY_H

#include "relay/hub.h"
#include "relay/upgrade.h"
#include "sim/world.h"

enum { SIM_RELAY_CONNS = 32 };

struct sim_relay_conn {
    bool used;
    bool in_hub; /* through the door; before that `request` is being read */
    stream_id stream;
    uint32_t conn; /* the hub's number */
    struct relay_request request;
};

struct sim_relay {
    struct relay_hub *hub;
    struct world *world;
    actor_id actor;
    struct bk_rng rng;
    struct sim_relay_conn conns[SIM_RELAY_CONNS];
    uint64_t refused; /* streams: no room, or a bad request */
};

/* Listens on `port`. The secret comes from the world's seed. The world *keeps* `r`. Errors of
 * relay_hub_new() and world_stream_listen(). */
BK_MUST_USE enum bk_err sim_relay_init(struct sim_relay *r, struct world *w, node_id host,
                                       uint16_t port, const struct bk_alloc *alloc);
void sim_relay_fini(struct sim_relay *r);
/* The process dies and is back at once: every stream ends, the hub forgets all. Errors of
 * relay_hub_new(); the relay is then gone for good. */
BK_MUST_USE enum bk_err sim_relay_restart(struct sim_relay *r, const struct bk_alloc *alloc);

#endif
