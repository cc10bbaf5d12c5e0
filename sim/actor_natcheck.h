/* SPDX-License-Identifier: MIT
 * A NAT classifier on a host of the simulated world: a real bk_natcheck with the host's sockets.
 *
 *     struct sim_natcheck check;
 *     struct bk_natcheck_config config = bk_natcheck_config_default;
 *     config.server = bk_addr(bk_ipv4(198, 51, 100, 1), 3478);   // sim/actor_natserver.h
 *     err = sim_natcheck_init(&check, w, alice, &config, &alloc);
 *     world_run_until(w, sim_natcheck_is_done, &check, 10 * BK_US_PER_S);
 *     const struct bk_nat_record *record = bk_natcheck_record(check.natcheck);
 *     sim_natcheck_fini(&check);                                  // before world_free() */
#ifndef SIM_ACTOR_NATCHECK_H
#define SIM_ACTOR_NATCHECK_H

#include "sim/world.h"
#include <bodkin/natcheck.h>

struct sim_natcheck_socket {
    enum { SIM_NATCHECK_NONE, SIM_NATCHECK_UDP, SIM_NATCHECK_TCP } kind;
    socket_id udp;
    stream_id tcp;
    uint16_t port; /* TCP: local */
};

struct sim_natcheck {
    struct bk_natcheck *natcheck;
    struct world *world;
    actor_id actor;
    struct bk_rng rng;
    struct sim_natcheck_socket sockets[BK_NATCHECK_SOCKETS_MAX];
    uint32_t open, open_max; /* sockets now, and most at once */
    uint32_t events, sent;   /* datagrams, over UDP */
    bool done;               /* the event came */
};

/* Fills in config->locals from the host's addresses and starts the run. The world *keeps* `s`.
 * Errors of bk_natcheck_new(). */
BK_MUST_USE enum bk_err sim_natcheck_init(struct sim_natcheck *s, struct world *w, node_id host,
                                          const struct bk_natcheck_config *config,
                                          const struct bk_alloc *alloc);
void sim_natcheck_fini(struct sim_natcheck *s);
/* For world_run_until(); `ctx` is the struct sim_natcheck. */
bool sim_natcheck_is_done(void *ctx);

#endif
