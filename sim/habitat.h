/* SPDX-License-Identifier: MIT
 * Where two ICE agents may live: every kind of NAT, none, two in a row, one for both, a second way
 * out, IPv6 beside IPv4; drawn from a seed, built into a world, and judged by the oracle.
 *
 *                        core
 *        ┌────────────┬───┴──────────┬──────────────┐
 *   server            │ loss, jitter │              │
 *   198.51.100.1    outer 203.0.113.1          box 203.0.113.3
 *                     │                             │
 *                   inner 100.64.0.2                │
 *                     │                             │
 *              alice 192.168.1.2              bob 192.168.1.2 */
#ifndef SIM_HABITAT_H
#define SIM_HABITAT_H

#include "nat/nat.h"
#include "sim/world.h"

enum {
    SIM_HABITAT_BOXES = 2, /* in a row */
    SIM_HABITAT_WAYS = 2,  /* out of one home */
    SIM_HABITAT_NAME = 40
};

/* One interface and what is between it and the core. */
struct sim_way {
    struct nat_config box[SIM_HABITAT_BOXES]; /* [0] is next to the host */
    char name[SIM_HABITAT_BOXES][SIM_HABITAT_NAME];
    size_t boxes;
    bool ipv6; /* the host has a global IPv6 address as well */
    struct world_link link;
};

struct sim_home {
    struct sim_way way[SIM_HABITAT_WAYS];
    size_t ways;
};

struct sim_habitat {
    struct sim_home home[2];
    bool shared;      /* both hosts hang on the inmost box of the first home's first way */
    bool same_inside; /* both have the same private address */
};

/* How bad it may get. */
struct sim_habitat_limits {
    uint32_t loss_ppm;      /* of a whole path, one way */
    uint32_t duplicate_ppm; /* of each link */
    int64_t delay_us;       /* of each link, at most */
    int64_t jitter_us;
    bool second_ways; /* some have them */
};

void sim_habitat_draw(struct sim_habitat *h, const struct bk_rng *rng,
                      const struct sim_habitat_limits *limits);
/* Adds boxes and hosts; `host[i][k]` is home i's k-th interface. */
void sim_habitat_build(const struct sim_habitat *h, struct world *w,
                       node_id host[2][SIM_HABITAT_WAYS]);
/* Must plain ICE connect these two without a relay, and without any prediction or priming? false:
 * it may or may not. */
bool sim_habitat_can_meet(const struct sim_habitat *h);
/* Does UDP get out of this home to a server? */
bool sim_habitat_has_udp(const struct sim_habitat *h, size_t home);
/* "home behind carrier | symmetric", for people. Returns `out`. */
char *sim_habitat_text(const struct sim_habitat *h, char *out, size_t cap);

#endif
