/* SPDX-License-Identifier: MIT
 * The agent's inside, shared by the files of this folder. Who does what:
 *
 *   checker.c     life, the five verbs; calls everything below, in one fixed order (ice_turn)
 *   request.c   a check came in: answer it, learn from it, trigger ours, take a nomination
 *   response.c  an answer came in: a pair succeeds, fails, or is found alive
 *   pairs.c     candidates come and go: pairs are formed, evicted, removed; pairs die
 *   pace.c      which check leaves when: triggered, ordinary, thawed, retried
 *   nominate.c  the controlling side decides; the selected pair follows, on both sides
 *   comps.c     the states of components, of streams and of all together
 *   lite.c      what a lite agent does instead of checking
 *   tcp.c       connections that broke; what TCP candidates are worth
 *   consent.c   valid pairs are kept fresh, or die
 *   doubt.c     the selected pair is silent: it is asked, and a spare takes over
 *   probe.c     valid pairs are checked now; the largest datagram is found
 *   loose.c     checks that belong to no pair; first ones that die on the way
 *   restart.c   new credentials, old pairs
 *   remote.c    the peer's credentials, for all streams or for one
 *
 * None of them calls back into checker.c. Every pair changes state in ice_pair_move() only; what
 * follows from it (events, selection) is decided once per turn, in ice_select_turn(). */
#ifndef ICE_CHECKER_H
#define ICE_CHECKER_H

#include "base/text.h"
#include "ice/answers.h"
#include "ice/check.h"
#include "ice/checklist.h"
#include "ice/cred.h"
#include "ice/events.h"
#include "ice/message.h"
#include "ice/room.h"

#include <bodkin/checker.h>

/* A check that came before the remote credentials: what it taught, RFC 8445 section 7.3. */
struct ice_early {
    struct bk_addr local, remote;
    bool tcp;
    struct ice_request request; /* without txid */
};

struct ice_mtu_test {
    bool running;
    uint32_t pair; /* id */
    uint16_t passed;
};

/* One component of one stream: what is decided for it. */
struct ice_comp {
    uint16_t stream, component;
    uint8_t state; /* enum bk_ice_state, of this component alone */
    bool had_selected;
    uint32_t selected;           /* pair id, 0: none */
    uint32_t last_nomination;    /* highest number given or seen */
    struct bk_time select_at;    /* the nomination's grace ends; BK_NEVER: no decision is waiting */
    struct bk_time doubted_at;   /* its pairs were asked last; BK_NEVER: never */
    struct bk_time suspected_at; /* the same, because data came on a spare */
};

/* Whose credentials. The former ones are from before the restart; ours are answered with for ever.
 */
enum ice_secret_of { ICE_LOCAL, ICE_REMOTE, ICE_OLD_LOCAL, ICE_OLD_REMOTE, ICE_SECRETS };

struct bk_checker {
    struct bk_checker_config config;
    struct ice_room room;
    struct bk_time now; /* the latest one seen */
    bool locals_done, remotes_done, remote_lite;
    bool quiet;              /* everything that follows was done, until `deadline` */
    enum bk_ice_state state; /* of all streams together */
    struct bk_time deadline; /* valid only when quiet */

    struct ice_role role;
    struct ice_secret secrets[ICE_SECRETS];
    /* Where a stream's differ: ICE_REMOTE of each stream, then ICE_OLD_REMOTE of each. NULL: there
     * is one stream. */
    struct ice_secret *of_streams;
    struct bk_time patience_until; /* RFC 8863 section 4 */

    struct ice_comp *comps; /* stream by stream */
    uint16_t comp_count;
    uint16_t next_stream;    /* whose turn it is to check, RFC 8445 section 6.1.4.2 */
    uint16_t opener_hold_ms; /* bk_checker_set_opener() */
    uint8_t opener_ttl;
    struct ice_cands locals, remotes;
    struct ice_checklist list;
    struct ice_checks checks;
    struct ice_answers answers;
    struct ice_early *early;
    uint32_t early_count, early_cap;
    struct ice_events events;

    struct bk_time pace_at; /* when the next check would leave at one per Ta */
    struct ice_mtu_test mtu;

    struct bk_checker_stats stats;
    uint8_t *buf;
    size_t buf_cap;
};

/* checker.c */
/* All that follows from the time and from what came in. */
void ice_turn(struct bk_checker *ice, struct bk_time now);
/* bk_checker_deadline() from scratch. */
struct bk_time ice_deadline(const struct bk_checker *ice);

/* trace.c */
/* Starts a trace line in `buf`; false: nobody listens, build none. */
bool ice_trace_on(const struct bk_checker *ice);
void ice_trace(const struct bk_checker *ice, const struct text *line);
/* "label 192.0.2.1:5000 <-> 198.51.100.1:6000" */
void ice_trace_addrs(const struct bk_checker *ice, const char *label, const struct bk_addr *a,
                     const struct bk_addr *b);
void ice_tell(struct bk_checker *ice, const struct bk_checker_event *event);
void ice_tell_pair(struct bk_checker *ice, enum bk_checker_event_kind kind,
                   const struct ice_pair *pair);

/* comps.c */
/* The index of this component; `component` 0 is 1. ICE_NONE: there is none. */
uint16_t ice_comp_index(const struct bk_checker *ice, uint16_t stream, uint16_t component);
enum bk_ice_state ice_stream_state(const struct bk_checker *ice, uint16_t stream);
/* Recomputes all states, and tells what changed. */
void ice_update_states(struct bk_checker *ice);

/* Something is about to change at this time. */
static inline void ice_touch(struct bk_checker *ice, struct bk_time now) {
    ice->now = bk_later(ice->now, now);
    ice->quiet = false;
}
static inline size_t ice_of_streams(const struct bk_checker *ice) { /* how many there are */
    return ice->of_streams == NULL ? 0 : 2 * (size_t)ice->config.streams;
}
/* Two lite agents: nobody checks anything. */
static inline bool ice_lite_both(const struct bk_checker *ice) {
    return ice->config.lite && ice->remote_lite;
}
static inline struct ice_path ice_path_of(const struct bk_datagram *d) {
    struct ice_path path = {&d->local, &d->remote, d->protocol == BK_TCP};
    return path;
}
static inline bool ice_is_selected(const struct bk_checker *ice, const struct ice_pair *pair) {
    return ice->comps[pair->comp].selected == pair->id;
}
static inline struct ice_pair *ice_pair_at(struct bk_checker *ice, uint16_t index) {
    return &ice->list.pairs[index];
}
static inline void ice_move(struct bk_checker *ice, struct ice_pair *pair,
                            enum bk_ice_pair_state to) {
    ice_pair_move(pair, to, &ice->config.trace, ice->now);
}

/* remote.c */
/* The peer's credentials for this stream, of this generation or of the one before; "": not set. */
struct ice_cred_view ice_remote_cred(const struct bk_checker *ice, uint16_t stream, bool old);
bool ice_knows_peer(const struct bk_checker *ice, uint16_t stream);
/* Of any stream. */
bool ice_knows_any_peer(const struct bk_checker *ice);
/* A new generation begins without any; this one's become the old ones, or are lost. */
void ice_remote_age(struct bk_checker *ice, bool keep);
void ice_remote_forget_old(struct bk_checker *ice);

/* settle.c */
/* Make room for one more. false: the limit is reached, or there is no memory. */
bool ice_grow_pairs(struct bk_checker *ice);
bool ice_grow_checks(struct bk_checker *ice);
bool ice_grow_cands(struct bk_checker *ice, struct ice_cands *cands);
bool ice_grow_early(struct bk_checker *ice);
bool ice_grow_events(struct bk_checker *ice);
bool ice_grow_answers(struct bk_checker *ice);
/* Room for any credentials and messages with them; for the largest message. */
bool ice_fit_secret(struct bk_checker *ice, struct ice_secret *secret);
bool ice_fit_buffer(struct bk_checker *ice);
/* All tables at their limits; false: ice_give_memory() gives the rest back. */
bool ice_take_memory(struct bk_checker *ice);
void ice_give_memory(struct bk_checker *ice);
/* May one more check be under way? */
bool ice_has_check_room(const struct bk_checker *ice);

/* pairs.c */
/* Puts a candidate into the table, for remote ones in place of a dead one if need be. ICE_NONE: no
 * room. */
uint16_t ice_add_local(struct bk_checker *ice, const struct bk_ice_candidate *from, uint16_t comp);
uint16_t ice_add_remote(struct bk_checker *ice, const struct bk_ice_candidate *from, uint16_t comp);
/* Pairs candidate `index` of one side with all of the other side it fits. */
void ice_pair_up_local(struct bk_checker *ice, uint16_t index);
void ice_pair_up_remote(struct bk_checker *ice, uint16_t index);
/* The pair of these two, made if need be and if there is room, else ICE_NONE. */
uint16_t ice_pair_up(struct bk_checker *ice, uint16_t local, uint16_t remote);
void ice_remove_pair(struct bk_checker *ice, uint16_t index);
/* Removes the dead remote candidate that was heard of longest ago. false: none. */
bool ice_make_remote_room(struct bk_checker *ice, bool prflx_only);
/* Ends a pair: valid ones die with an event, the others fail. Old ones are removed. */
void ice_fail_pair(struct bk_checker *ice, uint16_t index, enum bk_ice_failure failure);
/* The same for good: it stays, failed, and is not tried again. */
void ice_retire_pair(struct bk_checker *ice, uint16_t index);
/* The priority of the valid pair: with the local candidate the peer sees. */
uint64_t ice_valid_priority(const struct bk_checker *ice, const struct ice_pair *pair);

/* pace.c */
/* Puts a pair into the triggered queue, whatever state it is in, RFC 8445 section 7.3.1.4. */
void ice_trigger(struct bk_checker *ice, uint16_t index);
/* Starts a check by the rules for `purpose`; false: no slot. */
bool ice_start_check(struct bk_checker *ice, uint16_t index, enum ice_purpose purpose,
                     uint32_t nomination);
bool ice_start_mtu_check(struct bk_checker *ice, uint16_t index, uint16_t size);
/* How long a check out of doubt takes to fail. */
int64_t ice_doubt_lasts_us(const struct bk_checker *ice, const struct ice_pair *pair);
void ice_pace_turn(struct bk_checker *ice);
struct bk_time ice_pace_deadline(const struct bk_checker *ice);

/* request.c, response.c */
BK_MUST_USE enum bk_err ice_request_recv(struct bk_checker *ice, const struct bk_datagram *in,
                                         const struct stun_msg *msg);
/* false: there is no pair for it, nor room for one. */
bool ice_learn(struct bk_checker *ice, const struct ice_path *path,
               const struct ice_request *request, bool old);
BK_MUST_USE enum bk_err ice_response_recv(struct bk_checker *ice, const struct bk_datagram *in,
                                          const struct stun_msg *msg);
void ice_check_timed_out(struct bk_checker *ice, struct ice_check *check);
void ice_switch_role(struct bk_checker *ice, bool controlling);

/* nominate.c */
/* The peer nominated this pair; `number` 0: without a counter. */
void ice_take_nomination(struct bk_checker *ice, struct ice_pair *pair, uint32_t number);
/* Controlling, eager: the number for a triggered check of this pair, or 0 for a plain one. */
uint32_t ice_eager_nomination(struct bk_checker *ice, const struct ice_pair *pair);
/* The number that a later check of a pair repeats; 0: none, it was not nominated or not by us. */
uint32_t ice_nomination_again(const struct bk_checker *ice, const struct ice_pair *pair);
void ice_select_turn(struct bk_checker *ice);

/* consent.c */
/* When this valid pair is checked next, and when its consent ends. Call it when the pair becomes
 * valid, and when it becomes or ceases to be the selected one. */
void ice_consent_schedule(struct bk_checker *ice, struct ice_pair *pair);
/* The pair answered: its consent lasts anew. */
void ice_consent_refresh(struct bk_checker *ice, struct ice_pair *pair);
/* Another check of the pair was answered: the next one of consent can wait. */
void ice_consent_postpone(struct bk_checker *ice, struct ice_pair *pair);
void ice_consent_turn(struct bk_checker *ice);
struct bk_time ice_consent_deadline(const struct bk_checker *ice);

/* loose.c */
/* Is the first transmission of this pair's check to die on the way? */
bool ice_needs_opener(const struct bk_checker *ice, const struct ice_pair *pair);

/* probe.c */
void ice_mtu_answered(struct bk_checker *ice, const struct ice_pair *pair, uint16_t size);
void ice_mtu_turn(struct bk_checker *ice);

/* lite.c */
/* A check came in on this pair of a lite agent's. */
void ice_lite_checked(struct bk_checker *ice, uint16_t index, const struct ice_request *request);
void ice_lite_turn(struct bk_checker *ice);

/* doubt.c */
void ice_doubt_turn(struct bk_checker *ice);
struct bk_time ice_doubt_deadline(const struct bk_checker *ice);
/* A sign of life came in on this pair, or the answer to a check. */
void ice_doubt_heard(struct bk_checker *ice, struct ice_pair *pair);
void ice_doubt_answered(struct bk_checker *ice, struct ice_pair *pair);
/* The pair was asked, and is asked again. */
void ice_doubt_repeated(struct bk_checker *ice, const struct ice_pair *pair);
/* The pair was asked and did not answer. */
void ice_doubt_unanswered(struct bk_checker *ice, struct ice_pair *pair);

/* restart.c */
/* The new generation has a selected pair in this component: the old one goes. */
void ice_drop_old(struct bk_checker *ice, uint16_t comp);
/* The old generation's pairs end, but stay until then: data that comes on them is known. */
void ice_retire_old(struct bk_checker *ice, uint16_t comp);

/* Panics if an invariant does not hold; for debug builds, tests and fuzzing. */
void bk_checker_check(const struct bk_checker *ice);

#endif
