/* SPDX-License-Identifier: MIT
 * The checklist, RFC 8445 sections 6.1.2 and 6.1.4: the set of pairs, which of them may be checked,
 * and which is next. Pairs keep their slot for life, so others name them by index. */
#ifndef ICE_CHECKLIST_H
#define ICE_CHECKLIST_H

#include "ice/pair.h"

#include <bodkin/env.h>

struct ice_checklist {
    struct ice_pair *pairs;
    uint16_t cap, top, count; /* pairs[top..cap) are free */
    uint32_t last_id;
    uint16_t queue_len; /* triggered checks, first in first out, each pair at most once */
    uint32_t queue_next;
};

/* `pairs` has `cap` elements and is *kept*. */
void ice_checklist_init(struct ice_checklist *list, struct ice_pair *pairs, uint16_t cap);

/* Which pair must go so that one of this kind and priority can come? ICE_NONE: rather none.
 * The kind with the most pairs gives its least, so no kind (local kind x remote kind x family x
 * UDP or TCP, of one component) ever loses its last pair to another: a limit that cuts by priority
 * alone removes exactly the server-reflexive and relayed pairs that work when nothing else does.
 * Valid pairs never go. */
uint16_t ice_checklist_victim(const struct ice_checklist *list, const struct ice_cands *locals,
                              const struct ice_cands *remotes, uint16_t local, uint16_t remote,
                              uint64_t priority);

/* Adds the pair of these two, Frozen or Waiting by RFC 8445 section 6.1.2.6 and RFC 8838 section
 * 12: of one foundation, in all streams together, the one of the lowest component and then of the
 * highest priority waits. ICE_NONE: no
 * free slot. The caller has looked for an equal one and for room. */
uint16_t ice_checklist_add(struct ice_checklist *list, const struct ice_cands *locals,
                           const struct ice_cands *remotes, uint16_t local, uint16_t remote,
                           bool controlling);
/* A server has answered this base: pairs with it go before others of their kind. */
void ice_checklist_prove(struct ice_checklist *list, const struct bk_addr *base, bool tcp);
void ice_checklist_remove(struct ice_checklist *list, uint16_t index);

/* The pair of the current (or, if `old`, the former) generation with these addresses. */
struct ice_path {
    const struct bk_addr *base, *to;
    bool tcp;
};
uint16_t ice_checklist_find(const struct ice_checklist *list, const struct ice_path *path,
                            bool old);
uint16_t ice_checklist_find_id(const struct ice_checklist *list, uint32_t id);

/* Appends to the triggered-check queue; a pair already in it keeps its place. */
void ice_checklist_trigger(struct ice_checklist *list, uint16_t index);
void ice_checklist_untrigger(struct ice_checklist *list, uint16_t index);
/* The next triggered pair (not taken out), or ICE_NONE. */
uint16_t ice_checklist_triggered(const struct ice_checklist *list);

/* The next Waiting pair of this stream outside the triggered queue, or ICE_NONE: of the kind (local
 * kind x remote kind x family) that has had the fewest checks (of proven bases, for one that is),
 * a proven base before others, and of these the one of highest priority. Departs from RFC 8445
 * section 6.1.4.2 (highest priority of all), as RFC 8421 section 4 does for the families: with four
 * interfaces a side, 16 host pairs go before the first server-reflexive one. Between two NATs with
 * three dead interfaces each, 40 ms one way, the first valid pair came after 140 ms (Ta 5 ms) or
 * 680 ms (Ta 50 ms) that way, and comes after 80 ms this way (virtual time, 2026-11-21). */
uint16_t ice_checklist_ordinary(const struct ice_checklist *list, uint16_t stream);
/* Has no pair of this one's kind been checked yet, in any stream? If its base is proven: no other
 * such. */
bool ice_checklist_is_first(const struct ice_checklist *list, uint16_t index);
/* The Frozen pair of highest priority of this stream whose foundation has nobody under way in any
 * stream, RFC 8445 section 6.1.4.2. Departs from it: a check that has been retransmitted no longer
 * holds back its foundation; a dead first pair would otherwise cost the others many seconds. */
uint16_t ice_checklist_thawable(const struct ice_checklist *list, uint16_t stream);
/* RFC 8445 section 7.2.5.3.3: one success thaws the pairs of its foundation, in every stream. */
void ice_checklist_thaw_like(struct ice_checklist *list, uint64_t foundation,
                             const struct bk_trace *trace, struct bk_time now);

/* Recomputes every priority, after a role switch or a better known candidate. */
void ice_checklist_rerank(struct ice_checklist *list, const struct ice_cands *locals,
                          const struct ice_cands *remotes, bool controlling);
size_t ice_checklist_count_state(const struct ice_checklist *list, enum bk_ice_pair_state state);

/* Panics if the invariants do not hold; for debug builds and fuzzing. */
void ice_checklist_check(const struct ice_checklist *list);

#endif
