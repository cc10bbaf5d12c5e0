/* SPDX-License-Identifier: MIT
 * One candidate pair and its life, RFC 8445 section 6.1.2. A pair is (base, remote address): what a
 * packet on it looks like. Which of our candidates the peer sees at the other end (host, server or
 * peer reflexive) is found out by the first answer and kept in `mapped`. */
#ifndef ICE_PAIR_H
#define ICE_PAIR_H

#include "ice/cand.h"

#include <bodkin/checker.h>
#include <bodkin/env.h>

enum { ICE_PAIR_STATES = 5 };

struct ice_pair {
    uint32_t id; /* 0: free slot */
    uint16_t local, remote;
    uint16_t mapped; /* the valid pair's local candidate, section 7.2.5.3.2; at first = local */
    uint16_t comp;   /* index of its component; both candidates have the same */
    uint16_t stream;
    uint8_t state;      /* enum bk_ice_pair_state */
    uint8_t failure;    /* enum bk_ice_failure */
    bool old;           /* from before a restart */
    bool tcp;           /* over a connection */
    bool proven;        /* a server has answered our base, so it is no dead interface */
    bool queued;        /* in the triggered-check queue, */
    bool silent;        /* was asked by doubt and did not answer */
    bool overdue : 1;   /* its check has been retransmitted: nobody waits for it any more */
    bool mute : 1;      /* the peer's credentials for its stream are not known: no check leaves */
    bool was_valid;     /* has passed a check at some time */
    bool rtt_rough;     /* `rtt_us` is only an upper bound */
    uint8_t kinds;      /* local kind, remote kind and family in one number; see checklist.c */
    uint8_t retries;    /* checks since it failed, saturating; picks the next pause */
    uint16_t mtu;       /* 0: not tested */
    uint32_t queued_at; /* place in the triggered-check queue */
    uint64_t foundation;
    uint64_t priority;
    struct bk_addr base, to; /* `to` with our zone */

    /* The number of the nomination that chose it; 0: none. The highest number wins. */
    uint32_t nomination;
    int32_t rtt_us;              /* -1: never measured */
    struct bk_time nominated_at; /* last USE-CANDIDATE from the peer, or last answer to ours */

    struct bk_time started;       /* first check of this attempt left */
    struct bk_time triggered_at;  /* last triggered check left */
    struct bk_time valid_since;   /* BK_NEVER unless succeeded */
    struct bk_time next_check;    /* consent or keeping warm; BK_NEVER unless succeeded */
    struct bk_time consent_until; /* the same */
    struct bk_time retry_at;      /* BK_NEVER unless failed */
    struct bk_time answered_at, heard_at;
    struct bk_time data_at; /* bk_checker_heard() */
    uint32_t checks_sent, checks_received, answers_received, deaths;
};

/* The one writer of `state`: asserts the move against the table, sets what belongs to the state,
 * traces it. For _FAILED set `failure` before. `trace` may be NULL. */
void ice_pair_move(struct ice_pair *pair, enum bk_ice_pair_state to, const struct bk_trace *trace,
                   struct bk_time now);
bool ice_pair_may(enum bk_ice_pair_state from, enum bk_ice_pair_state to);

/* RFC 8445 section 6.1.2.3. */
uint64_t ice_pair_priority(uint32_t controlling, uint32_t controlled);
/* Of the pair of these two, as both sides compute it. */
uint64_t ice_pair_priority_of(const struct ice_cand *local, const struct ice_cand *remote,
                              bool controlling);

/* Takes a measured round trip into the smoothed one, RFC 6298 section 2's weights. */
void ice_pair_measure(struct ice_pair *pair, int64_t rtt_us, bool exact);

static inline bool ice_pair_is_valid(const struct ice_pair *pair) {
    return pair->id != 0 && pair->state == BK_ICE_PAIR_SUCCEEDED;
}

/* Panics if fields contradict each other; for debug builds and fuzzing. */
void ice_pair_check(const struct ice_pair *pair);

#endif
