/* SPDX-License-Identifier: MIT */
#include "ice/pair.h"

#include "base/assert.h"
#include "base/text.h"

enum { RTT_MAX_US = 600 * 1000 * 1000 }; /* no check waits that long */

/* May a pair go from [row] to [column]? RFC 8445 section 6.1.2.6 unless a line says otherwise. */
static const bool pair_may[ICE_PAIR_STATES][ICE_PAIR_STATES] = {
    [BK_ICE_PAIR_FROZEN] =
        {[BK_ICE_PAIR_WAITING] = true, [BK_ICE_PAIR_FAILED] = true}, /* its local address went away
                                                                      */
    [BK_ICE_PAIR_WAITING] = {[BK_ICE_PAIR_IN_PROGRESS] = true,
                             /* answer to a check that a triggered one has replaced, 7.3.1.4 */
                             [BK_ICE_PAIR_SUCCEEDED] = true,
                             [BK_ICE_PAIR_FAILED] = true},
    [BK_ICE_PAIR_IN_PROGRESS] = {[BK_ICE_PAIR_WAITING] = true, /* triggered check, 7.3.1.4 */
                                 [BK_ICE_PAIR_SUCCEEDED] = true,
                                 [BK_ICE_PAIR_FAILED] = true},
    [BK_ICE_PAIR_SUCCEEDED] = {[BK_ICE_PAIR_FAILED] = true}, /* RFC 7675 section 5.1 */
    [BK_ICE_PAIR_FAILED] = {[BK_ICE_PAIR_WAITING] = true},   /* triggered check, or a retry */
};

bool ice_pair_may(enum bk_ice_pair_state from, enum bk_ice_pair_state to) {
    return pair_may[from][to];
}

/* "pair 3 -> succeeded, rtt 41.0 ms", "pair 3 -> failed: no answer" */
static void trace_move(const struct ice_pair *pair, const struct bk_trace *trace) {
    if (trace == NULL || trace->line == NULL)
        return;
    char line[96];
    struct text t = text_in(line, sizeof line);
    text_str(&t, "pair ");
    text_u64(&t, pair->id);
    text_str(&t, " -> ");
    text_str(&t, bk_ice_pair_state_text((enum bk_ice_pair_state)pair->state));
    if (pair->state == BK_ICE_PAIR_SUCCEEDED && pair->rtt_us >= 0) {
        text_str(&t, ", rtt ");
        text_ms(&t, pair->rtt_us);
        text_str(&t, " ms");
    }
    if (pair->state == BK_ICE_PAIR_FAILED) {
        text_str(&t, ": ");
        text_str(&t, bk_ice_failure_text((enum bk_ice_failure)pair->failure));
    }
    trace->line(trace->ctx, line);
}

void ice_pair_move(struct ice_pair *pair, enum bk_ice_pair_state to, const struct bk_trace *trace,
                   struct bk_time now) {
    bk_assert(pair_may[pair->state][to]);
    pair->state = (uint8_t)to;
    pair->silent = false;
    pair->valid_since = pair->next_check = pair->consent_until = pair->retry_at = BK_NEVER;
    if (to == BK_ICE_PAIR_SUCCEEDED) {
        pair->valid_since = now;
        pair->was_valid = true;
        pair->failure = BK_ICE_FAILURE_NONE;
    }
    if (to == BK_ICE_PAIR_FAILED)
        pair->started = BK_NEVER;
    trace_move(pair, trace);
}

uint64_t ice_pair_priority(uint32_t controlling, uint32_t controlled) {
    uint64_t low = controlling < controlled ? controlling : controlled;
    uint64_t high = controlling < controlled ? controlled : controlling;
    return (low << 32) + 2 * high + (controlling > controlled ? 1 : 0);
}

uint64_t ice_pair_priority_of(const struct ice_cand *local, const struct ice_cand *remote,
                              bool controlling) {
    return controlling ? ice_pair_priority(local->priority, remote->priority)
                       : ice_pair_priority(remote->priority, local->priority);
}

void ice_pair_measure(struct ice_pair *pair, int64_t rtt_us, bool exact) {
    int32_t rtt = (int32_t)(rtt_us > RTT_MAX_US ? RTT_MAX_US : rtt_us);
    bool first = pair->rtt_us < 0;
    if (first || (exact && pair->rtt_rough)) {
        pair->rtt_us = rtt;
        pair->rtt_rough = !exact;
    } else if (exact) {
        pair->rtt_us += (rtt - pair->rtt_us) / 8;
    } else if (rtt < pair->rtt_us) {
        pair->rtt_us = rtt; /* counted from the first send: an upper bound */
    }
}

void ice_pair_check(const struct ice_pair *pair) {
    if (pair->id == 0)
        return;
    bool valid = pair->state == BK_ICE_PAIR_SUCCEEDED;
    bk_assert((unsigned)pair->state < ICE_PAIR_STATES);
    bk_assert(valid == !bk_is_never(pair->valid_since));
    bk_assert(valid || (bk_is_never(pair->next_check) && bk_is_never(pair->consent_until)));
    bk_assert(pair->state == BK_ICE_PAIR_FAILED || bk_is_never(pair->retry_at));
    bool retired = pair->state == BK_ICE_PAIR_FAILED && bk_is_never(pair->retry_at);
    bk_assert(!pair->old || valid || retired); /* dead old pairs are not retried */
    bk_assert(pair->base.ip.family == pair->to.ip.family);
}
