/* SPDX-License-Identifier: MIT
 * An answer came in, or did not: RFC 8445 section 7.2.5. */
#include "ice/checker.h"

#include "base/rng.h"
#include "stun/seal.h"

#include <string.h>

/* Section 7.2.5.2.1: the answer must take the check's way back. */
static bool is_symmetric(const struct ice_pair *p, const struct bk_datagram *in) {
    bool local = bk_ip_is_any(&in->local.ip) ? in->local.port == p->base.port
                                             : ice_addr_same(&in->local, &p->base);
    return local && p->tcp == (in->protocol == BK_TCP) && ice_addr_same(&in->remote, &p->to);
}

/* ---- Success ------------------------------------------------------------------------------ */

/* Behind a NAT that changes its mapping, learned local candidates would pile up. */
static bool drop_unused_prflx(struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->locals.top; i++) {
        const struct ice_cand *c = &ice->locals.slots[i];
        bool mapped = false;
        for (uint16_t k = 0; k < ice->list.top; k++)
            mapped |= ice->list.pairs[k].id != 0 && ice->list.pairs[k].mapped == i;
        if (c->used && c->kind == BK_ICE_PRFLX && !mapped) {
            ice_cands_remove(&ice->locals, i);
            return true;
        }
    }
    return false;
}

static uint16_t add_local_prflx(struct bk_checker *ice, const struct ice_pair *p,
                                const struct bk_addr *mapped) {
    const struct ice_cand *local = &ice->locals.slots[p->local];
    struct bk_ice_candidate c = {.kind = BK_ICE_PRFLX,
                                 .transport = (enum bk_ice_transport)local->transport,
                                 .stream = local->stream,
                                 .component = local->component,
                                 .addr = *mapped,
                                 .base = p->base,
                                 .preference = local->preference,
                                 .priority = ice_prflx_priority(local)};
    uint16_t at = ice_add_local(ice, &c, p->comp);
    if (at == ICE_NONE && drop_unused_prflx(ice))
        at = ice_add_local(ice, &c, p->comp);
    return at;
}

/* Section 7.2.5.3.1: the peer sees us at `mapped`. If no candidate of ours is that, it is a new
 * peer-reflexive one. */
static void set_mapped(struct bk_checker *ice, struct ice_pair *p, const struct bk_addr *mapped) {
    const struct ice_cand_key key = {mapped, &p->base, p->tcp, p->comp};
    uint16_t at = ice_cands_find(&ice->locals, &key);
    if (at == ICE_NONE) {
        if (!ice_addr_is_usable(mapped))
            return;
        at = add_local_prflx(ice, p, mapped);
        if (at == ICE_NONE) {
            ice->stats.locals_full++;
            return;
        }
        struct bk_checker_event event = {.kind = BK_CHECKER_LOCAL_PRFLX,
                                         .state = ice->state,
                                         .pair = p->id,
                                         .addr = *mapped,
                                         .stream = p->stream,
                                         .component = ice->comps[p->comp].component};
        ice_tell(ice, &event);
    }
    p->mapped = at;
}

/* Checks that were to prove what is proven now stop; a nominating one goes on until answered. */
static void cancel_plain_checks(struct bk_checker *ice, uint16_t index) {
    for (uint16_t i = 0; i < ice->checks.top; i++) {
        struct ice_check *c = &ice->checks.slots[i];
        if (c->state == ICE_CHECK_ACTIVE && c->plan.pair == index &&
            c->plan.purpose == ICE_CHECK_CONNECT && !c->plan.use_candidate)
            ice_check_cancel(&ice->checks, c, ice->now);
    }
}

static void succeed(struct bk_checker *ice, uint16_t index) {
    struct ice_pair *p = ice_pair_at(ice, index);
    ice_checklist_untrigger(&ice->list, index);
    ice_move(ice, p, BK_ICE_PAIR_SUCCEEDED);
    cancel_plain_checks(ice, index);
    ice_checklist_thaw_like(&ice->list, p->foundation, &ice->config.trace, ice->now);
    ice_consent_schedule(ice, p);
    ice_tell_pair(ice, BK_CHECKER_PAIR_VALID, p);
}

static void tell_alive(struct bk_checker *ice, const struct ice_pair *p, int64_t rtt_us) {
    struct bk_checker_event event = {.kind = BK_CHECKER_PROBE_ALIVE,
                                     .state = ice->state,
                                     .pair = p->id,
                                     .rtt_us = rtt_us,
                                     .stream = p->stream,
                                     .component = ice->comps[p->comp].component};
    ice_tell(ice, &event);
}

/* What the answer says about the pair's life. */
static void revive(struct bk_checker *ice, uint16_t index) {
    struct ice_pair *p = ice_pair_at(ice, index);
    switch ((enum bk_ice_pair_state)p->state) {
    case BK_ICE_PAIR_SUCCEEDED:
        ice_consent_refresh(ice, p);
        return;
    case BK_ICE_PAIR_FAILED: /* too late to count, but worth another check at once */
        ice_trigger(ice, index);
        return;
    case BK_ICE_PAIR_FROZEN:
        return;
    case BK_ICE_PAIR_WAITING:
    case BK_ICE_PAIR_IN_PROGRESS:
        succeed(ice, index);
        return;
    }
}

static void take_success(struct bk_checker *ice, struct ice_check *c,
                         const struct bk_addr *mapped) {
    const struct ice_check_plan plan = c->plan;
    struct ice_pair *p = ice_pair_at(ice, plan.pair);
    int64_t rtt_us = bk_elapsed_us(c->started, ice->now);
    ice_pair_measure(p, rtt_us, c->sent == 1);
    p->answered_at = ice->now;
    p->answers_received++;
    bool was_active = c->state == ICE_CHECK_ACTIVE;
    ice_check_free(&ice->checks, c);
    set_mapped(ice, p, mapped);
    if (plan.use_candidate && plan.controlling == ice->role.controlling &&
        plan.nomination > p->nomination) {
        p->nomination = plan.nomination;
        p->nominated_at = ice->now;
    }
    if (plan.purpose == ICE_CHECK_PROBE && was_active)
        tell_alive(ice, p, rtt_us);
    if (plan.purpose == ICE_CHECK_MTU)
        ice_mtu_answered(ice, p, plan.pad_to);
    revive(ice, plan.pair);
    if (plan.purpose != ICE_CHECK_CONSENT)
        ice_consent_postpone(ice, p);
    ice_doubt_answered(ice, p);
}

/* ---- Failure ------------------------------------------------------------------------------ */

/* Section 7.2.5.1, and section 16.1: only here does the tie-breaker change. The check may be from
 * before a switch that has been made already. */
static void take_role_conflict(struct bk_checker *ice, const struct ice_check_plan *plan) {
    if (plan->controlling == ice->role.controlling) {
        ice_switch_role(ice, !ice->role.controlling);
        ice->role.tie_breaker = rng_u64(ice->config.rng);
    }
    struct ice_pair *p = ice_pair_at(ice, plan->pair);
    p->triggered_at = BK_NEVER; /* the new check is no repetition */
    if (!p->old)
        ice_trigger(ice, plan->pair);
}

static enum bk_err take_error(struct bk_checker *ice, struct ice_check *c,
                              const struct stun_msg *msg) {
    uint16_t code;
    if (stun_get_error(msg, &code, NULL) != BK_OK) {
        ice->stats.malformed++;
        return BK_ERR_MALFORMED;
    }
    const struct ice_check_plan plan = c->plan;
    bool was_active = c->state == ICE_CHECK_ACTIVE;
    ice_check_free(&ice->checks, c);
    if (code == STUN_CODE_ROLE_CONFLICT)
        take_role_conflict(ice, &plan);
    else if (was_active && plan.purpose == ICE_CHECK_CONNECT)
        ice_fail_pair(ice, plan.pair, BK_ICE_FAILURE_REFUSED); /* section 7.2.5.2.4 */
    return BK_OK;
}

static void take_asymmetric(struct bk_checker *ice, struct ice_check *c) {
    const struct ice_check_plan plan = c->plan;
    bool was_active = c->state == ICE_CHECK_ACTIVE;
    ice_check_free(&ice->checks, c);
    if (was_active && plan.purpose == ICE_CHECK_CONNECT)
        ice_fail_pair(ice, plan.pair, BK_ICE_FAILURE_ASYMMETRIC);
}

void ice_check_timed_out(struct bk_checker *ice, struct ice_check *check) {
    const struct ice_check_plan plan = check->plan;
    ice_check_cancel(&ice->checks, check, ice->now);
    switch ((enum ice_purpose)plan.purpose) {
    case ICE_CHECK_CONNECT: /* section 7.2.5.2.3 */
        ice_fail_pair(ice, plan.pair, BK_ICE_FAILURE_TIMEOUT);
        return;
    case ICE_CHECK_PROBE:
        ice_tell_pair(ice, BK_CHECKER_PROBE_DEAD, ice_pair_at(ice, plan.pair));
        ice_fail_pair(ice, plan.pair, BK_ICE_FAILURE_PROBE);
        return;
    case ICE_CHECK_DOUBT:
        ice_doubt_unanswered(ice, ice_pair_at(ice, plan.pair));
        return;
    case ICE_CHECK_CONSENT: /* only the clock of consent counts, RFC 7675 section 5.1 */
    case ICE_CHECK_MTU:
        return;
    }
}

/* ---- One answer --------------------------------------------------------------------------- */

enum bk_err ice_response_recv(struct bk_checker *ice, const struct bk_datagram *in,
                              const struct stun_msg *msg) {
    struct ice_check *c = ice_checks_find(&ice->checks, msg->txid);
    if (c == NULL) {
        ice->stats.unknown_answer++;
        return BK_ERR_NOT_OURS;
    }
    const struct ice_pair *p = ice_pair_at(ice, c->plan.pair);
    const char *pwd = ice_remote_cred(ice, p->stream, c->plan.old).pwd;
    if (stun_check_fingerprint(msg) == BK_ERR_NOT_OURS ||
        stun_check_integrity(msg, pwd, strlen(pwd)) != BK_OK) {
        ice->stats.bad_integrity++; /* RFC 8489 section 9.1.4: as if it had not come */
        return BK_ERR_AUTH;
    }
    struct stun_types unknown;
    struct bk_addr mapped;
    stun_unknown_required(msg, STUN_USE_BASE | STUN_USE_ICE, &unknown);
    bool success = msg->cls == STUN_SUCCESS;
    if (unknown.count > 0 ||
        (success && stun_get_addr(msg, STUN_XOR_MAPPED_ADDRESS, &mapped) != BK_OK)) {
        ice->stats.malformed++;
        return BK_ERR_MALFORMED;
    }
    ice->stats.responses_received++;
    if (!is_symmetric(p, in))
        take_asymmetric(ice, c);
    else if (!success)
        return take_error(ice, c, msg);
    else
        take_success(ice, c, &mapped);
    return BK_OK;
}
