/* SPDX-License-Identifier: MIT
 * Pairs come with candidates and go with them; and how a pair ends. */
#include "ice/checker.h"

#include "base/assert.h"

enum {
    /* A pair that lived this long has its retry pace start afresh when it dies. */
    STABLE_US = 10 * 1000 * 1000,
    /* A pair on which nothing ever came is retried from the third pause on: it likely cannot
     * work. */
    NEVER_VALID_STEP = 2
};

/* ---- Forming ------------------------------------------------------------------------------ */

/* The pair exists (RFC 8445 section 6.1.2.4): it stays, under the better of the two candidates. */
static void adopt_local(struct bk_checker *ice, struct ice_pair *pair, uint16_t local) {
    const struct ice_cand *slots = ice->locals.slots;
    if (slots[local].priority <= slots[pair->local].priority)
        return;
    if (pair->mapped == pair->local)
        pair->mapped = local;
    pair->local = local;
    ice_checklist_rerank(&ice->list, &ice->locals, &ice->remotes, ice->role.controlling);
}

/* RFC 8445 section 6.1.2.5: no more than pairs_max pairs, so no more checks under way. */
static bool make_pair_room(struct bk_checker *ice, uint16_t local, uint16_t remote) {
    if (ice->list.count < ice->list.cap || ice_grow_pairs(ice))
        return true;
    uint64_t priority = ice_pair_priority_of(&ice->locals.slots[local], &ice->remotes.slots[remote],
                                             ice->role.controlling);
    uint16_t victim =
        ice_checklist_victim(&ice->list, &ice->locals, &ice->remotes, local, remote, priority);
    if (victim == ICE_NONE) {
        ice->stats.pairs_full++;
        return false;
    }
    ice->stats.pairs_evicted++;
    ice_remove_pair(ice, victim);
    return true;
}

uint16_t ice_pair_up(struct bk_checker *ice, uint16_t local, uint16_t remote) {
    const struct ice_cand *l = &ice->locals.slots[local], *r = &ice->remotes.slots[remote];
    /* RFC 8445 section 7.2.5.3.1: a local peer-reflexive candidate is not paired */
    if (r->old || l->kind == BK_ICE_PRFLX || !ice_cands_fit(l, r))
        return ICE_NONE;
    struct bk_addr to = r->addr;
    to.ip.zone = l->base.ip.zone; /* as the pair will have it */
    const struct ice_path path = {&l->base, &to, ice_cand_is_tcp(l)};
    uint16_t at = ice_checklist_find(&ice->list, &path, false);
    if (at != ICE_NONE && ice->list.pairs[at].comp != l->comp)
        return ICE_NONE; /* two components over one connection: nothing could tell them apart */
    if (at != ICE_NONE) {
        adopt_local(ice, ice_pair_at(ice, at), local);
        return at;
    }
    if (!make_pair_room(ice, local, remote))
        return ICE_NONE;
    at = ice_checklist_add(&ice->list, &ice->locals, &ice->remotes, local, remote,
                           ice->role.controlling);
    bk_assert(at != ICE_NONE);
    struct ice_pair *p = ice_pair_at(ice, at);
    p->mute = !ice_knows_peer(ice, p->stream);
    if (ice_trace_on(ice)) {
        char buf[32];
        struct text t = text_in(buf, sizeof buf);
        text_str(&t, "pair ");
        text_u64(&t, p->id);
        text_str(&t, " is");
        ice_trace_addrs(ice, buf, &p->base, &p->to);
    }
    return at;
}

/* RFC 8445 section 6.2: a lite agent has no checklist. Its pairs come with the peer's checks. */
static bool forms_no_pairs(const struct bk_checker *ice) {
    return ice->config.lite && !ice->remote_lite;
}

/* RFC 6544 section 6.2: pairs with a passive local candidate are pruned. They are formed when a
 * check comes in on a connection, ice_learn(). */
void ice_pair_up_local(struct bk_checker *ice, uint16_t index) {
    if (forms_no_pairs(ice))
        return;
    const struct ice_cand *l = &ice->locals.slots[index];
    if (l->transport == BK_ICE_TCP_PASSIVE)
        return;
    if (l->kind == BK_ICE_SRFLX)
        ice_checklist_prove(&ice->list, &l->base, ice_cand_is_tcp(l));
    for (uint16_t i = 0; i < ice->remotes.top; i++) {
        if (ice->remotes.slots[i].used)
            (void)ice_pair_up(ice, index, i);
    }
}

void ice_pair_up_remote(struct bk_checker *ice, uint16_t index) {
    if (forms_no_pairs(ice))
        return;
    for (uint16_t i = 0; i < ice->locals.top; i++) {
        const struct ice_cand *l = &ice->locals.slots[i];
        if (l->used && l->transport != BK_ICE_TCP_PASSIVE)
            (void)ice_pair_up(ice, i, index);
    }
}

uint16_t ice_add_local(struct bk_checker *ice, const struct bk_ice_candidate *from, uint16_t comp) {
    uint16_t at = ice_cands_add(&ice->locals, from, comp);
    if (at == ICE_NONE && ice_grow_cands(ice, &ice->locals))
        at = ice_cands_add(&ice->locals, from, comp);
    return at;
}

uint16_t ice_add_remote(struct bk_checker *ice, const struct bk_ice_candidate *from,
                        uint16_t comp) {
    uint16_t at = ice_cands_add(&ice->remotes, from, comp);
    bool room =
        at == ICE_NONE && (ice_grow_cands(ice, &ice->remotes) || ice_make_remote_room(ice, false));
    if (room)
        at = ice_cands_add(&ice->remotes, from, comp);
    return at;
}

/* ---- Removing ----------------------------------------------------------------------------- */

void ice_remove_pair(struct bk_checker *ice, uint16_t index) {
    ice_checks_drop_pair(&ice->checks, index);
    ice_checklist_remove(&ice->list, index);
}

static int64_t last_sign_of(const struct ice_pair *p) {
    int64_t heard = bk_is_never(p->heard_at) ? INT64_MIN : p->heard_at.us;
    int64_t answered = bk_is_never(p->answered_at) ? INT64_MIN : p->answered_at.us;
    return heard > answered ? heard : answered;
}

/* When was anything heard of this remote candidate? false: one of its pairs may still work. */
static bool is_dead(const struct bk_checker *ice, uint16_t remote, int64_t *last_sign) {
    *last_sign = INT64_MIN;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = &ice->list.pairs[i];
        if (p->id == 0 || p->remote != remote)
            continue;
        if (p->state != BK_ICE_PAIR_FAILED)
            return false;
        if (last_sign_of(p) > *last_sign)
            *last_sign = last_sign_of(p);
    }
    return true;
}

static void remove_remote(struct bk_checker *ice, uint16_t remote) {
    for (uint16_t i = ice->list.top; i-- > 0;) {
        if (ice->list.pairs[i].id != 0 && ice->list.pairs[i].remote == remote)
            ice_remove_pair(ice, i);
    }
    ice_cands_remove(&ice->remotes, remote);
}

bool ice_make_remote_room(struct bk_checker *ice, bool prflx_only) {
    uint16_t oldest = ICE_NONE;
    int64_t oldest_sign = INT64_MAX;
    for (uint16_t i = 0; i < ice->remotes.top; i++) {
        const struct ice_cand *c = &ice->remotes.slots[i];
        int64_t sign;
        if (!c->used || (prflx_only && c->kind != BK_ICE_PRFLX) || !is_dead(ice, i, &sign))
            continue;
        if (oldest == ICE_NONE || sign < oldest_sign) {
            oldest = i;
            oldest_sign = sign;
        }
    }
    if (oldest == ICE_NONE)
        return false;
    remove_remote(ice, oldest);
    return true;
}

/* ---- Failing ------------------------------------------------------------------------------ */

static int64_t retry_pause_us(const struct bk_checker *ice, unsigned step) {
    unsigned last = 0;
    while (last + 1 < BK_CHECKER_RETRY_STEPS && ice->config.retry_us[last + 1] != 0)
        last++;
    return ice->config.retry_us[step < last ? step : last];
}

static void count_death(struct bk_checker *ice, struct ice_pair *p) {
    p->deaths++;
    ice->stats.deaths++;
    if (bk_elapsed_us(p->valid_since, ice->now) >= STABLE_US)
        p->retries = 0;
}

static void plan_retry(struct bk_checker *ice, struct ice_pair *p) {
    bool hopeless = !p->was_valid && bk_is_never(p->heard_at);
    if (hopeless && p->retries < NEVER_VALID_STEP)
        p->retries = NEVER_VALID_STEP;
    if (ice->config.retry)
        p->retry_at = bk_after(ice->now, retry_pause_us(ice, p->retries));
    if (p->retries < UINT8_MAX)
        p->retries++;
}

/* Late answers are still taken: one says that the pair is not as dead as it looked. */
static void cancel_checks(struct bk_checker *ice, uint16_t index) {
    for (uint16_t i = 0; i < ice->checks.top; i++) {
        struct ice_check *c = &ice->checks.slots[i];
        if (c->state != ICE_CHECK_ACTIVE || c->plan.pair != index)
            continue;
        if (c->plan.purpose == ICE_CHECK_PROBE)
            ice_tell_pair(ice, BK_CHECKER_PROBE_DEAD, ice_pair_at(ice, index));
        ice_check_cancel(&ice->checks, c, ice->now);
    }
}

static void fail(struct bk_checker *ice, uint16_t index, enum bk_ice_failure failure) {
    struct ice_pair *p = ice_pair_at(ice, index);
    bool was_valid = ice_pair_is_valid(p);
    p->failure = (uint8_t)failure;
    if (was_valid)
        count_death(ice, p);
    ice_checklist_untrigger(&ice->list, index);
    cancel_checks(ice, index);
    ice_move(ice, p, BK_ICE_PAIR_FAILED);
    plan_retry(ice, p);
    if (was_valid)
        ice_tell_pair(ice, BK_CHECKER_PAIR_DIED, p);
}

void ice_fail_pair(struct bk_checker *ice, uint16_t index, enum bk_ice_failure failure) {
    struct ice_pair *p = ice_pair_at(ice, index);
    if (p->state == BK_ICE_PAIR_FAILED) {
        p->failure = (uint8_t)failure;
        return;
    }
    fail(ice, index, failure);
    if (p->old)
        ice_remove_pair(ice, index);
}

void ice_retire_pair(struct bk_checker *ice, uint16_t index) {
    if (ice_pair_at(ice, index)->state != BK_ICE_PAIR_FAILED)
        fail(ice, index, BK_ICE_FAILURE_CONSENT);
    ice_pair_at(ice, index)->retry_at = BK_NEVER;
    ice_checks_drop_pair(&ice->checks, index); /* a late answer must not bring it back */
}

uint64_t ice_valid_priority(const struct bk_checker *ice, const struct ice_pair *pair) {
    return ice_pair_priority_of(&ice->locals.slots[pair->mapped], &ice->remotes.slots[pair->remote],
                                ice->role.controlling);
}
