/* SPDX-License-Identifier: MIT
 * Questions that change nothing, and the agent's invariants. */
#include "ice/checker.h"

#include "base/assert.h"

#include <string.h>

const char *bk_checker_ufrag(const struct bk_checker *ice) {
    return ice_secret_view(&ice->secrets[ICE_LOCAL]).ufrag;
}

const char *bk_checker_pwd(const struct bk_checker *ice) {
    return ice_secret_view(&ice->secrets[ICE_LOCAL]).pwd;
}

enum bk_ice_state bk_checker_get_state(const struct bk_checker *ice) {
    return ice->state;
}

bool bk_checker_is_controlling(const struct bk_checker *ice) {
    return ice->role.controlling;
}

const struct bk_checker_stats *bk_checker_stats(const struct bk_checker *ice) {
    return &ice->stats;
}

size_t bk_checker_pairs(const struct bk_checker *ice) {
    return ice->list.count;
}

static enum bk_err describe(const struct bk_checker *ice, uint16_t index,
                            struct bk_ice_pair_info *out) {
    if (index == ICE_NONE)
        return BK_ERR_NOT_FOUND;
    if (out->size != sizeof *out)
        return BK_ERR_ARGUMENT;
    const struct ice_pair *p = &ice->list.pairs[index];
    struct bk_ice_pair_info info = {.size = sizeof info,
                                    .id = p->id,
                                    .state = (enum bk_ice_pair_state)p->state,
                                    .last_failure = (enum bk_ice_failure)p->failure,
                                    .stream = p->stream,
                                    .component = ice->comps[p->comp].component,
                                    .nominated = p->nomination != 0,
                                    .selected = ice_is_selected(ice, p),
                                    .old = p->old,
                                    .silent = p->silent,
                                    .mtu = p->mtu,
                                    .priority = ice_valid_priority(ice, p),
                                    .rtt_us = p->rtt_us,
                                    .checks_sent = p->checks_sent,
                                    .checks_received = p->checks_received,
                                    .answers_received = p->answers_received,
                                    .deaths = p->deaths,
                                    .answered_at = p->answered_at,
                                    .heard_at = p->heard_at};
    ice_cand_export(&ice->locals.slots[p->mapped], &info.local);
    ice_cand_export(&ice->remotes.slots[p->remote], &info.remote);
    info.local.base = p->base;
    info.remote.addr = p->to; /* with our zone */
    *out = info;
    return BK_OK;
}

enum bk_err bk_checker_pair_at(const struct bk_checker *ice, size_t index,
                               struct bk_ice_pair_info *out) {
    for (uint16_t i = 0; i < ice->list.top; i++) {
        if (ice->list.pairs[i].id != 0 && index-- == 0)
            return describe(ice, i, out);
    }
    return BK_ERR_NOT_FOUND;
}

enum bk_err bk_checker_pair(const struct bk_checker *ice, uint32_t id,
                            struct bk_ice_pair_info *out) {
    return describe(ice, ice_checklist_find_id(&ice->list, id), out);
}

enum bk_err bk_checker_find_pair(const struct bk_checker *ice, const struct bk_addr *local,
                                 const struct bk_addr *remote, struct bk_ice_pair_info *out) {
    struct ice_path path = {local, remote, false};
    uint16_t at = ice_checklist_find(&ice->list, &path, false);
    if (at == ICE_NONE)
        at = ice_checklist_find(&ice->list, &path, true);
    path.tcp = true;
    if (at == ICE_NONE)
        at = ice_checklist_find(&ice->list, &path, false);
    if (at == ICE_NONE)
        at = ice_checklist_find(&ice->list, &path, true);
    return describe(ice, at, out);
}

enum bk_err bk_checker_selected_of(const struct bk_checker *ice, uint16_t stream,
                                   uint16_t component, struct bk_ice_pair_info *out) {
    uint16_t comp = ice_comp_index(ice, stream, component);
    if (comp == ICE_NONE)
        return BK_ERR_NOT_FOUND;
    return describe(ice, ice_checklist_find_id(&ice->list, ice->comps[comp].selected), out);
}

static uint16_t best_valid(const struct bk_checker *ice, uint16_t comp) {
    uint16_t best = ICE_NONE;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = &ice->list.pairs[i];
        if (!ice_pair_is_valid(p) || p->comp != comp)
            continue;
        if (best == ICE_NONE ||
            ice_valid_priority(ice, p) > ice_valid_priority(ice, &ice->list.pairs[best]))
            best = i;
    }
    return best;
}

enum bk_err bk_checker_best_valid_of(const struct bk_checker *ice, uint16_t stream,
                                     uint16_t component, struct bk_ice_pair_info *out) {
    uint16_t comp = ice_comp_index(ice, stream, component);
    if (comp == ICE_NONE)
        return BK_ERR_NOT_FOUND;
    uint16_t at = ice_checklist_find_id(&ice->list, ice->comps[comp].selected);
    return describe(ice, at == ICE_NONE ? best_valid(ice, comp) : at, out);
}

enum bk_err bk_checker_selected(const struct bk_checker *ice, struct bk_ice_pair_info *out) {
    return bk_checker_selected_of(ice, 0, 1, out);
}

enum bk_err bk_checker_best_valid(const struct bk_checker *ice, struct bk_ice_pair_info *out) {
    return bk_checker_best_valid_of(ice, 0, 1, out);
}

enum bk_ice_state bk_checker_stream_state(const struct bk_checker *ice, uint16_t stream) {
    return stream < ice->config.streams ? ice_stream_state(ice, stream) : BK_ICE_IDLE;
}

static void check_pair_links(const struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = &ice->list.pairs[i];
        if (p->id == 0)
            continue;
        bk_assert(p->local < ice->locals.top && ice->locals.slots[p->local].used);
        bk_assert(p->mapped < ice->locals.top && ice->locals.slots[p->mapped].used);
        bk_assert(p->remote < ice->remotes.top && ice->remotes.slots[p->remote].used);
        bk_assert(p->old == ice->remotes.slots[p->remote].old);
        bk_assert(p->old || p->mute == !ice_knows_peer(ice, p->stream));
        bk_assert(p->comp == ice->locals.slots[p->local].comp && p->comp < ice->comp_count);
        bk_assert(p->comp == ice->remotes.slots[p->remote].comp);
        const struct ice_path path = {&p->base, &p->to, p->tcp};
        bk_assert(ice_checklist_find(&ice->list, &path, p->old) == i);
    }
}

static void check_checks(const struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->checks.top; i++) {
        const struct ice_check *c = &ice->checks.slots[i];
        if (c->state == ICE_CHECK_FREE)
            continue;
        const struct ice_pair *p = &ice->list.pairs[c->plan.pair];
        bk_assert(p->id != 0 && p->old == c->plan.old);
        bk_assert(c->state != ICE_CHECK_ACTIVE || p->state != BK_ICE_PAIR_FAILED);
    }
}

/* A pair in progress has a check that will end its progress, or it would hang for ever. */
static void check_progress(const struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = &ice->list.pairs[i];
        if (p->id == 0 || p->state != BK_ICE_PAIR_IN_PROGRESS)
            continue;
        bool found = false;
        for (uint16_t k = 0; k < ice->checks.top; k++) {
            const struct ice_check *c = &ice->checks.slots[k];
            found |= c->state == ICE_CHECK_ACTIVE && c->plan.pair == i &&
                     c->plan.purpose == ICE_CHECK_CONNECT;
        }
        bk_assert(found);
    }
}

static void check_comps(const struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->comp_count; i++) {
        const struct ice_comp *c = &ice->comps[i];
        uint16_t at = ice_checklist_find_id(&ice->list, c->selected);
        bk_assert(c->selected == 0 || (at != ICE_NONE && ice->list.pairs[at].comp == i));
        bk_assert((c->selected != 0) == (c->state == BK_ICE_SELECTED));
    }
}

void bk_checker_check(const struct bk_checker *ice) {
    ice_checklist_check(&ice->list);
    ice_checks_check(&ice->checks);
    check_pair_links(ice);
    check_checks(ice);
    check_progress(ice);
    bk_assert(ice->early_count <= ice->early_cap && ice->early_cap <= ice->config.early_max);
    bk_assert(ice->answers.len <= ice->answers.cap && ice->answers.cap <= ICE_ANSWERS_MAX);
    check_comps(ice);
    bk_assert(!ice->quiet || !bk_before(ice_deadline(ice), ice->deadline));
}
