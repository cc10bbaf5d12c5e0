/* SPDX-License-Identifier: MIT
 * Two punches (punch/punch.h) against two NAT boxes, in virtual time, without ICE, relay and
 * sessions: fast enough for all pairs of types times many seeds. Packets between the boxes have a
 * delay and are lost; notes have a delay; STUN servers see what leaves a box, and answer; others
 * behind the box open mappings at the rate of the traits. Each side's *checker* is a stub: it sends
 * plain checks between the shared sockets, answers what arrives, and checks back once (RFC 8445
 * section 7.3.1.4). A hit is a check whose answer came back through both boxes. */
#ifndef SIM_PUNCH_DUEL_H
#define SIM_PUNCH_DUEL_H

#include "punch/punch.h"
#include "sim/oracle_play.h"

struct punch_duel {
    const struct oracle_side_play *sides; /* two; the first one leads */
    struct punch_config config;           /* `leader` and `rng` are filled in */
    int64_t owd_us;                       /* between the peers */
    int64_t server_us;                    /* to the STUN server and back */
    int64_t signal_us;                    /* a note's way to the other side */
    int64_t skew_us;                      /* side `late` starts so much later */
    int late;
    uint32_t loss; /* of a million packets between the boxes, and of STUN's */
    uint8_t ttl;   /* low one, as both know it; 0: not known */
    bool unknown;  /* neither knows anything of the NATs */
    bool plain;    /* the checkers check the ports that STUN showed */
};
extern const struct punch_duel punch_duel_default;

struct punch_duel_result {
    bool met, over;          /* neither: it took too long */
    bool stepped;            /* a step was under way */
    uint8_t method;          /* ... this one, where it met */
    int64_t us;              /* from the later start */
    uint32_t packets[2];     /* that the punches sent */
    uint32_t checks[2];      /* that the checkers sent by themselves */
    uint32_t sockets_max[2]; /* fresh ones at once */
    uint32_t steps, notes;
    uint64_t refused;
};

BK_MUST_USE enum bk_err punch_duel_run(const struct punch_duel *duel, uint64_t seed,
                                       const struct bk_alloc *alloc, struct punch_duel_result *out);

#endif
