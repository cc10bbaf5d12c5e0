/* SPDX-License-Identifier: MIT
 * One try of plain ICE: two real agents, each behind a NAT box of its own, a STUN server between
 * them, signalling out of band. Small and fast, for matrices of thousands.
 *
 *                      core
 *          ┌─────────────┼─────────────┐
 *     stun 198.51.100.1  a 203.0.113.1 b 203.0.113.2      each link 10 ms, jitter 0.5 ms, loss
 *                        │             │
 *              alice 192.168.1.2   bob 192.168.2.2 */
#ifndef SIM_ENCOUNTER_H
#define SIM_ENCOUNTER_H

#include "nat/nat.h"
#include <bodkin/env.h>

struct encounter_config {
    struct nat_config nat[2]; /* tables and outside addresses are chosen here */
    uint64_t seed;
    int64_t skew_us;   /* bob starts that much later; negative: alice */
    uint32_t loss_ppm; /* of each link */
    int64_t wait_us;   /* until it counts as not connected; 12 s: five losses in a row */
};
extern const struct encounter_config encounter_config_default; /* no NATs: fill them in */

struct encounter_outcome {
    bool direct;       /* both sides have selected a pair */
    int64_t direct_us; /* from the moment both know each other's candidates */
    uint64_t sent;     /* datagrams by all hosts */
    uint64_t events;   /* of the world */
    uint64_t hash;     /* of everything that happened */
};

/* BK_ERR_NO_MEMORY. A wrong NAT configuration asserts. */
BK_MUST_USE enum bk_err encounter_run(const struct encounter_config *config,
                                      const struct bk_alloc *alloc, struct encounter_outcome *out);

#endif
