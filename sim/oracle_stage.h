/* SPDX-License-Identifier: MIT
 * The stage on which methods are played: two boxes, a host behind each, strangers, one seed.
 * Private to sim/oracle_*.c. */
#ifndef SIM_ORACLE_STAGE_H
#define SIM_ORACLE_STAGE_H

#include "base/rng.h"
#include "sim/oracle_play.h"

struct stage {
    const struct oracle_side_play *sides;
    const struct bk_oracle_budget *budget;
    struct nat *box[2];
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    uint16_t next_socket[2], next_stranger[2];
    struct oracle_try try;
};

/* The boxes get room for `mappings`, and for strangers. */
BK_MUST_USE enum bk_err stage_init(struct stage *s, const struct oracle_side_play sides[2],
                                   const struct bk_oracle_budget *budget, uint32_t mappings,
                                   uint64_t seed, const struct bk_alloc *alloc);
void stage_fini(struct stage *s);

/* A port nobody of this host used: its sockets are numbers. */
uint16_t stage_socket(struct stage *s, int side);
/* A packet leaves a socket's box; false: the box dropped it. Not counted. */
bool stage_leave(struct stage *s, int side, uint16_t socket, const struct bk_addr *dst,
                 struct nat_header *out);
/* It comes to the other side's box; what is delivered is answered. Sets try.met. */
void stage_arrive(struct stage *s, int side, const struct nat_header *packet);
/* Leaves, is counted, and arrives at once. */
void stage_send(struct stage *s, int side, uint16_t socket, const struct bk_addr *dst);
/* Where a server sees the socket. */
struct bk_addr stage_stun(struct stage *s, int side, uint16_t socket);
/* Time passes; strangers open mappings at the rates of the traits. */
void stage_pass(struct stage *s, int64_t us);
/* One step of the pace is over. */
void stage_step(struct stage *s);

#endif
