/* SPDX-License-Identifier: MIT
 * Checks that are under way: Binding transactions on a pair. They are not stun_txn, because ICE
 * wants three things of its own: a check that a triggered one replaces stops sending but still
 * takes its answer (RFC 8445 section 7.3.1.4); consent checks are never retransmitted (RFC 7675
 * section 5.1); and the gap between tries stops growing where the peer is known to be there. */
#ifndef ICE_CHECK_H
#define ICE_CHECK_H

#include "wire/stun.h"

#include <bodkin/env.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stdint.h>

enum ice_purpose {
    ICE_CHECK_CONNECT, /* connectivity, and nomination when `use_candidate` */
    ICE_CHECK_CONSENT, /* consent, and keeping warm */
    ICE_CHECK_PROBE,
    ICE_CHECK_DOUBT, /* nothing was heard for long: is anybody there? */
    ICE_CHECK_MTU
};

enum ice_check_state {
    ICE_CHECK_FREE,
    ICE_CHECK_ACTIVE,   /* sends, and its end means something */
    ICE_CHECK_LISTENING /* only takes a late answer */
};

/* How one check is to run. */
struct ice_check_plan {
    uint8_t purpose; /* enum ice_purpose */
    uint8_t tries;
    bool old; /* under the credentials from before the restart */
    bool controlling, use_candidate;
    bool reliable;       /* over a connection: sent once, whatever `tries` says */
    bool opener;         /* the first try dies on the way, on purpose */
    uint16_t pair;       /* index in the checklist */
    uint16_t pad_to;     /* the message's whole size, for MTU tests; 0: as it comes */
    uint32_t nomination; /* with use_candidate; 0: none told */
    uint64_t tie_breaker;
    uint32_t rto_us;     /* the first gap; it doubles */
    uint32_t gap_max_us; /* up to this; 0: without end */
    uint32_t wait_us;    /* after the last try */
};

struct ice_check {
    uint8_t state; /* enum ice_check_state */
    uint8_t sent;
    bool want_send;
    uint8_t txid[STUN_TXID_LEN];
    struct ice_check_plan plan;
    uint32_t order; /* first wanted, first sent */
    struct bk_time started, deadline;
};

struct ice_checks {
    struct ice_check *slots;
    uint16_t cap, top;
    uint16_t want_count;
    uint32_t next_order;
};

/* `slots` has `cap` elements and is *kept*. */
void ice_checks_init(struct ice_checks *checks, struct ice_check *slots, uint16_t cap);
/* NULL: every slot is active. A listening one is reused if need be. */
struct ice_check *ice_checks_start(struct ice_checks *checks, const struct ice_check_plan *plan,
                                   const struct bk_rng *rng, struct bk_time now);
/* The check (active or listening) with this transaction id, or NULL. */
struct ice_check *ice_checks_find(struct ice_checks *checks, const uint8_t *txid);
/* The active check of this pair and purpose, or NULL. */
struct ice_check *ice_checks_active(struct ice_checks *checks, uint16_t pair,
                                    enum ice_purpose purpose);

enum ice_check_turn { ICE_CHECK_QUIET, ICE_CHECK_RESENT, ICE_CHECK_ENDED };
/* Runs the check's timer. ENDED: an active one got no answer; the caller frees it. A listening one
 * that ends is freed here and stays QUIET. */
enum ice_check_turn ice_check_advance(struct ice_checks *checks, struct ice_check *check,
                                      struct bk_time now);
/* Stops sending; a late answer is still taken until 10 s after the start. */
void ice_check_cancel(struct ice_checks *checks, struct ice_check *check, struct bk_time now);
void ice_check_free(struct ice_checks *checks, struct ice_check *check);
void ice_checks_drop_pair(struct ice_checks *checks, uint16_t pair);

struct bk_time ice_checks_deadline(const struct ice_checks *checks);
/* The next check to put on the wire; marks it sent. NULL: none. */
struct ice_check *ice_checks_take_send(struct ice_checks *checks);
size_t ice_checks_count(const struct ice_checks *checks, enum ice_check_state state);
void ice_checks_check(const struct ice_checks *checks);

#endif
