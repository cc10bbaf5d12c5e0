/* SPDX-License-Identifier: MIT
 * An ICE agent on a host of the simulated world: a real bk_ice, a real STUN client for each of its
 * sockets, and signalling to the other agent by messages that take `signal_us`.
 *
 *     struct sim_ice a, b;
 *     struct sim_ice_config config = sim_ice_config(bk_addr(server_ip, 3478), true);
 *     sim_ice_init(&a, w, alice, &config, &alloc);
 *     config.ice.controlling = false;
 *     sim_ice_init(&b, w, bob, &config, &alloc);
 *     sim_ice_join(&a, &b);      // candidates are gathered and signalled from here on
 *     world_run(w, ...);         // a.selected_at, b.selected_at
 *     sim_ice_fini(&a); ...      // before world_free() */
#ifndef SIM_ACTOR_ICE_H
#define SIM_ACTOR_ICE_H

#include "sim/world.h"
#include "stun/client.h"
#include <bodkin/checker.h>

enum { SIM_ICE_SOCKETS = 4 };

struct sim_ice_config {
    struct bk_addr stun;          /* no address: host candidates only */
    int64_t signal_us;            /* one way to the other agent; 40 ms */
    int64_t start_us;             /* wait before gathering; 0 */
    uint16_t port;                /* 0: any */
    struct bk_checker_config ice; /* rng is filled in */
};

/* The usual values, with bk_checker_config_default. */
struct sim_ice_config sim_ice_config(struct bk_addr stun, bool controlling);

struct sim_ice {
    struct sim_ice_config config;
    struct bk_rng rng;
    struct bk_checker *ice;
    struct world *world;
    actor_id actor;
    struct sim_ice *other;
    socket_id socket[SIM_ICE_SOCKETS]; /* one per address of the host */
    struct stun_client stun[SIM_ICE_SOCKETS];
    bool asks[SIM_ICE_SOCKETS]; /* stun[i] is in use */
    size_t sockets, waiting;    /* `waiting` for this many STUN answers */
    bool started;
    struct bk_time started_at;   /* gathering */
    struct bk_time signalled_at; /* the last candidate of the other side came; BK_NEVER: none */
    struct bk_time valid_at, selected_at; /* first time; BK_NEVER: not yet */
    unsigned selections, deaths, prflx;
    uint64_t refused; /* datagrams the agent dropped, with another reason than "not ours" */
};

/* Binds a socket to every address of the host. The world *keeps* `s`. */
void sim_ice_init(struct sim_ice *s, struct world *w, node_id host,
                  const struct sim_ice_config *config, const struct bk_alloc *alloc);
void sim_ice_fini(struct sim_ice *s);
/* Makes two agents each other's peer and starts both. */
void sim_ice_join(struct sim_ice *a, struct sim_ice *b);
/* Does this agent have a selected pair now? */
bool sim_ice_is_connected(const struct sim_ice *s);

#endif
