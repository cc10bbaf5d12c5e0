/* SPDX-License-Identifier: MIT
 * The lite agent, RFC 8445 section 2.5: it sends no checks, so it has no checklist to work through.
 * A pair comes into being when the full peer checks it (section 7.3.2), and is used when that check
 * nominates. Between two lite agents nobody checks: the pair of highest priority is taken on trust
 * (section 8.2). */
#include "ice/checker.h"

void bk_checker_set_remote_lite(struct bk_checker *ice, bool lite, struct bk_time now) {
    ice_touch(ice, now);
    ice->remote_lite = lite;
    /* Section 6.1.1: a full agent controls a lite one; of two lite ones the initiator does. */
    bool controlling = ice->role.controlling;
    if (ice->config.lite)
        controlling = lite && ice->config.controlling;
    else if (lite)
        controlling = true;
    if (controlling != ice->role.controlling)
        ice_switch_role(ice, controlling);
    for (uint16_t i = 0; ice_lite_both(ice) && i < ice->locals.top; i++) {
        if (ice->locals.slots[i].used)
            ice_pair_up_local(ice, i);
    }
    bk_checker_advance(ice, now);
}

/* Into the valid list, section 7.3.2. */
static void make_valid(struct bk_checker *ice, uint16_t index) {
    struct ice_pair *p = ice_pair_at(ice, index);
    if (p->state == BK_ICE_PAIR_FROZEN || p->state == BK_ICE_PAIR_FAILED)
        ice_move(ice, p, BK_ICE_PAIR_WAITING);
    ice_move(ice, p, BK_ICE_PAIR_SUCCEEDED);
    ice_tell_pair(ice, BK_CHECKER_PAIR_VALID, p);
}

void ice_lite_checked(struct bk_checker *ice, uint16_t index, const struct ice_request *request) {
    struct ice_pair *p = ice_pair_at(ice, index);
    if (request->use_candidate)
        ice_take_nomination(ice, p, request->nomination);
    /* one that was nominated and fell silent is good again when it is checked again */
    if ((request->use_candidate || p->nomination != 0) && !ice_pair_is_valid(p))
        make_valid(ice, index);
    if (ice_pair_is_valid(p))
        ice_consent_refresh(ice, p);
}

static uint16_t best_pair(const struct bk_checker *ice, uint16_t comp) {
    uint16_t best = ICE_NONE;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = &ice->list.pairs[i];
        if (p->id == 0 || p->old || p->comp != comp)
            continue;
        if (best == ICE_NONE || p->priority > ice->list.pairs[best].priority)
            best = i;
    }
    return best;
}

void ice_lite_turn(struct bk_checker *ice) {
    if (!ice_lite_both(ice))
        return;
    for (uint16_t c = 0; c < ice->comp_count; c++) {
        uint16_t at = ice_knows_peer(ice, ice->comps[c].stream) ? best_pair(ice, c) : ICE_NONE;
        if (at == ICE_NONE || ice_is_selected(ice, ice_pair_at(ice, at)))
            continue;
        struct ice_pair *p = ice_pair_at(ice, at);
        p->nomination = ++ice->comps[c].last_nomination;
        ice->stats.nominations++;
        if (!ice_pair_is_valid(p))
            make_valid(ice, at);
    }
}
