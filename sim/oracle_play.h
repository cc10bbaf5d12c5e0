/* SPDX-License-Identifier: MIT
 * The oracle's methods, played packet by packet against two NAT boxes: what it foretells is counted
 * here. One try is a function of the boxes, the verdict and a seed. There is no world, no ICE and
 * no loss: packets take half a round trip, and both sides send at the budget's pace.
 *
 * Ten lines on the order of things. A side first asks a STUN server (which needs no model: it sees
 * the packet that leaves the box). Where a prediction ages, other hosts behind the same box open
 * mappings meanwhile, by a Poisson process. Then come steps, each 1 / pace long: in a step a side
 * sends at most one packet; both leave before either arrives. A packet that is delivered is
 * answered at once, and only when that answer is delivered as well the two have met. */
#ifndef SIM_ORACLE_PLAY_H
#define SIM_ORACLE_PLAY_H

#include "nat/nat.h"
#include <bodkin/oracle.h>

struct oracle_side_play {
    struct nat_config box;       /* with one external IPv4 address */
    struct bk_nat_traits traits; /* as the oracle was told; foreign_per_s drives the others */
};

/* How a try goes beside its method. */
struct oracle_play_options {
    bool plainly;    /* ignore the verdict: punch as if every port were as STUN showed it */
    bool low_ttl;    /* the first packet dies on the way, the others follow a round trip later */
    int64_t late_us; /* PUNCH: side `late_side` starts this much later than the other */
    int late_side;
};

struct oracle_try {
    bool met;
    bool one_way;     /* a packet was delivered but its answer was not */
    uint32_t sent[2]; /* until the packet that met left, without STUN, openers included */
    uint32_t steps;   /* before the step of the hit */
};

/* What a try needs room for; allocated once for many, put back with alloc->put(). NULL: no memory.
 */
struct oracle_room;
struct oracle_room *oracle_room_new(const struct bk_alloc *alloc);

/* What is played, over and over. All borrowed. */
struct oracle_script {
    const struct oracle_side_play *sides; /* two */
    const struct bk_oracle_budget *budget;
    const struct bk_oracle_verdict *verdict; /* that bk_oracle() gave for these */
    struct oracle_play_options options;
};

/* One try. BK_ERR_NO_MEMORY, BK_ERR_ARGUMENT: nat_new() says so. */
BK_MUST_USE enum bk_err oracle_play(const struct oracle_script *script, uint64_t seed,
                                    struct oracle_room *room, const struct bk_alloc *alloc,
                                    struct oracle_try *out);

#endif
