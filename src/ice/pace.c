/* SPDX-License-Identifier: MIT
 * Which check leaves when, RFC 8445 sections 6.1.4 and 14.
 *
 * New checks leave at one per Ta on average, but `burst` of them may leave at once. Triggered ones
 * may run further ahead, and so may the first of each kind of pair: host candidates come at once,
 * and with a few dead interfaces their pairs have used up the burst, and a second of Ta slots, when
 * the server-reflexive ones come. This departs from section 6.1.4.2 (strictly one per Ta): measured
 * in other agents, triggered checks that queue behind Ta slots cost 50 to 300 ms of set-up time,
 * while a few packets of 100 bytes at once harm no path. Retransmissions are paced by the RTO
 * alone, which grows with the number of checks under way (section 14.3). */
#include "ice/checker.h"

#include "base/assert.h"

enum {
    URGENT_AHEAD = 16, /* checks that do not wait for their turn, beyond `burst` */
    HASTE = 4,         /* of a first RTO is enough where nothing better than that is known */
    PLAN_MAX_US = 2000 * 1000 * 1000,
    CONSENT_WAIT_US = 10 * 1000 * 1000, /* a later answer tells nothing about now */
    MTU_TRIES = 3,
    DOUBT_MORE_TRIES = 2, /* nobody asked for haste, and being wrong costs a good path */
    TCP_PROBE_US = 1500 * 1000,
    TRIES_MAX = 16 /* what struct ice_check can do */
};

static int64_t max64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* As a plan holds it: up to an hour. */
static uint32_t short_us(int64_t us) {
    return (uint32_t)(us > PLAN_MAX_US ? PLAN_MAX_US : us);
}

/* ---- Starting one check ------------------------------------------------------------------- */

/* RFC 8445 section 14.3, where nothing has been measured on the pair. */
static int64_t first_rto_us(const struct bk_checker *ice) {
    size_t busy = ice_checklist_count_state(&ice->list, BK_ICE_PAIR_WAITING) +
                  ice_checklist_count_state(&ice->list, BK_ICE_PAIR_IN_PROGRESS);
    return max64(ice->config.rto_min_us, (int64_t)ice->config.ta_us * (int64_t)busy);
}

static int64_t connect_rto_us(const struct bk_checker *ice, const struct ice_pair *p) {
    if (p->rtt_us < 0)
        return first_rto_us(ice);
    /* Measured: at least as patient as 1.5 round trips, and not hastier than a probe. Measured over
     * retransmissions it may be seconds, but what is sure is that the path loses: haste is due. */
    int64_t rto_us = p->rtt_us + p->rtt_us / 2;
    if (p->rtt_rough && rto_us > ice->config.rto_min_us / HASTE)
        rto_us = ice->config.rto_min_us / HASTE;
    return max64(ice->config.probe_rto_us, rto_us);
}

static int64_t probe_rto_us(const struct bk_checker *ice, const struct ice_pair *p) {
    if (p->rtt_us < 0)
        return max64(ice->config.probe_rto_us, ice->config.rto_min_us);
    int64_t rto_us = p->rtt_us + p->rtt_us / 2, patient_us = 2 * (int64_t)ice->config.rto_min_us;
    if (p->rtt_rough && rto_us > patient_us) /* an answer to which of the tries? */
        rto_us = patient_us;
    return max64(ice->config.probe_rto_us, rto_us);
}

/* Where the peer's packets have come through, silence means loss and not absence: the gap between
 * tries does not grow, and there are more of them. At 30 % loss each way this takes the slow
 * twentieth of connections from 3.2 s to under 1 s (40 ms one way, 200 seeds, 2026-11-21). */
static void plan_lossy(const struct bk_checker *ice, struct ice_check_plan *plan) {
    plan->gap_max_us = plan->rto_us;
    plan->tries = (uint8_t)(ice->config.check_tries > TRIES_MAX / 2 ? TRIES_MAX
                                                                    : 2 * ice->config.check_tries);
}

/* Over a connection a check is sent once and waits for Ti, RFC 8489 section 6.2.2. What would have
 * been the first retransmission passes in silence, but from then on nobody waits for the pair. */
static void plan_reliable(const struct bk_checker *ice, struct ice_check_plan *plan) {
    plan->reliable = true;
    plan->tries = 2;
    plan->wait_us = short_us(max64(plan->rto_us, (int64_t)ice->config.tcp_wait_us - plan->rto_us));
}

static void plan_connect(const struct bk_checker *ice, const struct ice_pair *p,
                         struct ice_check_plan *plan) {
    bool again = p->retries > 0 && p->state != BK_ICE_PAIR_SUCCEEDED;
    plan->rto_us = short_us(connect_rto_us(ice, p));
    plan->tries = (uint8_t)(again ? ice->config.retry_tries : ice->config.check_tries);
    plan->wait_us = short_us(plan->rto_us * (again ? 2 : (int64_t)ice->config.check_wait));
    if (!again && !bk_is_never(bk_earlier(p->heard_at, p->answered_at)))
        plan_lossy(ice, plan);
    if (p->tcp)
        plan_reliable(ice, plan);
    plan->opener = ice_needs_opener(ice, p);
    if (plan->opener)
        plan->rto_us = short_us(max64(plan->rto_us, (int64_t)ice->opener_hold_ms * BK_US_PER_MS));
}

static void plan_quick(const struct bk_checker *ice, const struct ice_pair *p, uint32_t tries,
                       struct ice_check_plan *plan) {
    plan->rto_us = plan->wait_us = short_us(probe_rto_us(ice, p));
    plan->tries = (uint8_t)tries;
    plan->gap_max_us = plan->rto_us;
    if (p->tcp) { /* a lost segment takes TCP some hundred milliseconds to mend */
        plan->reliable = true;
        plan->wait_us = short_us(max64(plan->rto_us * (int64_t)tries, TCP_PROBE_US));
        plan->tries = 2;
    }
}

int64_t ice_doubt_lasts_us(const struct bk_checker *ice, const struct ice_pair *pair) {
    struct ice_check_plan plan = {.tries = 0};
    plan_quick(ice, pair, ice->config.probe_tries + DOUBT_MORE_TRIES, &plan);
    return (int64_t)plan.rto_us * (plan.tries - 1) + plan.wait_us;
}

static struct ice_check_plan make_plan(const struct bk_checker *ice, uint16_t index,
                                       enum ice_purpose purpose) {
    const struct ice_pair *p = &ice->list.pairs[index];
    struct ice_check_plan plan = {.purpose = (uint8_t)purpose,
                                  .pair = index,
                                  .old = p->old,
                                  .controlling = ice->role.controlling,
                                  .tie_breaker = ice->role.tie_breaker,
                                  .tries = 1,
                                  .rto_us = CONSENT_WAIT_US,
                                  .wait_us = CONSENT_WAIT_US};
    switch (purpose) {
    case ICE_CHECK_CONNECT:
        plan_connect(ice, p, &plan);
        break;
    case ICE_CHECK_CONSENT:
        break;
    case ICE_CHECK_PROBE:
        plan_quick(ice, p, ice->config.probe_tries, &plan);
        break;
    case ICE_CHECK_DOUBT:
        plan_quick(ice, p, ice->config.probe_tries + DOUBT_MORE_TRIES, &plan);
        break;
    case ICE_CHECK_MTU:
        plan_quick(ice, p, MTU_TRIES, &plan);
        break;
    }
    return plan;
}

static bool start(struct bk_checker *ice, const struct ice_check_plan *plan) {
    struct ice_check *c = ice_checks_start(&ice->checks, plan, ice->config.rng, ice->now);
    if (c == NULL && ice_grow_checks(ice))
        c = ice_checks_start(&ice->checks, plan, ice->config.rng, ice->now);
    if (c == NULL)
        ice->stats.checks_full++;
    return c != NULL;
}

bool ice_start_check(struct bk_checker *ice, uint16_t index, enum ice_purpose purpose,
                     uint32_t nomination) {
    struct ice_pair *p = ice_pair_at(ice, index);
    struct ice_check_plan plan = make_plan(ice, index, purpose);
    plan.use_candidate = nomination != 0;
    plan.nomination = nomination;
    if (!start(ice, &plan))
        return false;
    if (p->state == BK_ICE_PAIR_WAITING) {
        ice_move(ice, p, BK_ICE_PAIR_IN_PROGRESS);
        p->overdue = false;
        if (bk_is_never(p->started))
            p->started = ice->now;
    }
    return true;
}

bool ice_start_mtu_check(struct bk_checker *ice, uint16_t index, uint16_t size) {
    struct ice_check_plan plan = make_plan(ice, index, ICE_CHECK_MTU);
    plan.pad_to = size;
    return start(ice, &plan);
}

/* ---- Triggering --------------------------------------------------------------------------- */

/* The peer repeats its request while our triggered check is on its way: that tells nothing new. */
static bool is_fresh(const struct bk_checker *ice, const struct ice_pair *p) {
    return !bk_is_never(p->triggered_at) &&
           bk_elapsed_us(p->triggered_at, ice->now) < connect_rto_us(ice, p) / 2;
}

void ice_trigger(struct bk_checker *ice, uint16_t index) {
    struct ice_pair *p = ice_pair_at(ice, index);
    switch ((enum bk_ice_pair_state)p->state) {
    case BK_ICE_PAIR_SUCCEEDED:
        return;
    case BK_ICE_PAIR_IN_PROGRESS: {
        if (is_fresh(ice, p))
            return;
        struct ice_check *c = ice_checks_active(&ice->checks, index, ICE_CHECK_CONNECT);
        if (c != NULL)
            ice_check_cancel(&ice->checks, c, ice->now);
        ice_move(ice, p, BK_ICE_PAIR_WAITING);
        break;
    }
    case BK_ICE_PAIR_FROZEN:
    case BK_ICE_PAIR_FAILED:
        ice_move(ice, p, BK_ICE_PAIR_WAITING);
        break;
    case BK_ICE_PAIR_WAITING:
        break;
    }
    ice_checklist_trigger(&ice->list, index);
}

/* ---- The turn ----------------------------------------------------------------------------- */

/* A check may leave as soon as no more than `ahead` others have used up slots that are yet to
 * come. */
static struct bk_time allowed_at(const struct bk_checker *ice, int64_t ahead) {
    return bk_after(ice->pace_at, -ahead * (int64_t)ice->config.ta_us);
}

/* The pair to check next: triggered first, then the streams take turns, section 6.1.4.2. */
static uint16_t next_pair(const struct bk_checker *ice) {
    uint16_t at = ice_checklist_triggered(&ice->list);
    for (uint16_t i = 0; at == ICE_NONE && i < ice->config.streams; i++) {
        uint16_t stream = (uint16_t)((ice->next_stream + i) % ice->config.streams);
        if (!ice_knows_peer(ice, stream))
            continue;
        at = ice_checklist_ordinary(&ice->list, stream);
        if (at == ICE_NONE)
            at = ice_checklist_thawable(&ice->list, stream);
    }
    return at;
}

/* When may the check of pair `at` leave? */
static struct bk_time allowed_for(const struct bk_checker *ice, uint16_t at) {
    bool urgent = ice->list.pairs[at].queued || ice_checklist_is_first(&ice->list, at);
    return allowed_at(ice, (int64_t)ice->config.burst - 1 + (urgent ? URGENT_AHEAD : 0));
}

static void wake_retries(struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->list.top; i++) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id != 0 && p->state == BK_ICE_PAIR_FAILED && bk_due(p->retry_at, ice->now))
            ice_move(ice, p, BK_ICE_PAIR_WAITING);
    }
}

/* false: no slot after all. */
static bool check_pair(struct bk_checker *ice, uint16_t at) {
    struct ice_pair *p = ice_pair_at(ice, at);
    uint32_t nomination = 0;
    if (p->queued) {
        ice_checklist_untrigger(&ice->list, at);
        nomination = ice_eager_nomination(ice, p);
        p->triggered_at = ice->now;
        ice->stats.triggered++;
    } else {
        ice->next_stream = (uint16_t)((p->stream + 1) % ice->config.streams);
    }
    if (p->state == BK_ICE_PAIR_FROZEN)
        ice_move(ice, p, BK_ICE_PAIR_WAITING);
    return ice_start_check(ice, at, ICE_CHECK_CONNECT, nomination);
}

void ice_pace_turn(struct bk_checker *ice) {
    if (!ice_knows_any_peer(ice) || ice->config.lite) /* lite agents send no checks, section 7 */
        return;
    wake_retries(ice);
    while (ice_has_check_room(ice)) {
        uint16_t at = next_pair(ice);
        if (at == ICE_NONE || !bk_due(allowed_for(ice, at), ice->now) || !check_pair(ice, at))
            return;
        ice->pace_at = bk_after(bk_later(ice->pace_at, ice->now), ice->config.ta_us);
    }
}

struct bk_time ice_pace_deadline(const struct bk_checker *ice) {
    struct bk_time t = BK_NEVER;
    if (!ice_knows_any_peer(ice) || ice->config.lite)
        return t;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        if (ice->list.pairs[i].id != 0)
            t = bk_earlier(t, ice->list.pairs[i].retry_at);
    }
    uint16_t at = ice_has_check_room(ice) ? next_pair(ice) : ICE_NONE;
    return at == ICE_NONE ? t : bk_earlier(t, allowed_for(ice, at));
}
