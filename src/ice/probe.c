/* SPDX-License-Identifier: MIT
 * Questions about paths that need an answer now: is it alive, and how large a datagram passes. */
#include "ice/checker.h"

size_t bk_checker_probe(struct bk_checker *ice, struct bk_time now) {
    ice_touch(ice, now);
    size_t probed = 0;
    for (uint16_t i = 0; !ice->config.lite && i < ice->list.top; i++) {
        const struct ice_pair *p = ice_pair_at(ice, i);
        if (!ice_pair_is_valid(p))
            continue;
        bool running = ice_checks_active(&ice->checks, i, ICE_CHECK_PROBE) != NULL;
        if (running || ice_start_check(ice, i, ICE_CHECK_PROBE, ice_nomination_again(ice, p)))
            probed++;
    }
    return probed;
}

/* ---- Datagram size ------------------------------------------------------------------------ */

static uint16_t largest_size(const struct bk_checker *ice) {
    uint16_t largest = 0;
    for (size_t i = 0; i < BK_CHECKER_MTU_SIZES && ice->config.mtu_sizes[i] != 0; i++)
        largest = ice->config.mtu_sizes[i];
    return largest;
}

static bool is_under_way(struct bk_checker *ice) {
    uint16_t at = ice_checklist_find_id(&ice->list, ice->mtu.pair);
    return at != ICE_NONE && ice_pair_is_valid(ice_pair_at(ice, at)) &&
           ice->mtu.passed < largest_size(ice) &&
           ice_checks_active(&ice->checks, at, ICE_CHECK_MTU) != NULL;
}

enum bk_err bk_checker_test_mtu(struct bk_checker *ice, struct bk_time now) {
    ice_touch(ice, now);
    uint16_t at = ice_checklist_find_id(&ice->list, ice->comps[0].selected);
    if (ice->config.lite || ice->mtu.running || at == ICE_NONE || ice_pair_at(ice, at)->tcp ||
        largest_size(ice) == 0)
        return BK_ERR_STATE;
    if (!ice_fit_buffer(ice))
        return BK_ERR_FULL;
    bool started = false;
    for (size_t i = 0; i < BK_CHECKER_MTU_SIZES && ice->config.mtu_sizes[i] != 0; i++)
        started |= ice_start_mtu_check(ice, at, ice->config.mtu_sizes[i]);
    if (!started)
        return BK_ERR_FULL;
    struct ice_mtu_test test = {.running = true, .pair = ice->comps[0].selected};
    ice->mtu = test;
    return BK_OK;
}

void ice_mtu_answered(struct bk_checker *ice, const struct ice_pair *pair, uint16_t size) {
    if (ice->mtu.running && pair->id == ice->mtu.pair && size > ice->mtu.passed)
        ice->mtu.passed = size;
}

static void stop_mtu_checks(struct bk_checker *ice) {
    for (uint16_t i = ice->checks.top; i-- > 0;) {
        struct ice_check *c = &ice->checks.slots[i];
        if (c->state != ICE_CHECK_FREE && c->plan.purpose == ICE_CHECK_MTU)
            ice_check_free(&ice->checks, c);
    }
}

void ice_mtu_turn(struct bk_checker *ice) {
    if (!ice->mtu.running || is_under_way(ice))
        return;
    ice->mtu.running = false;
    stop_mtu_checks(ice);
    uint16_t at = ice_checklist_find_id(&ice->list, ice->mtu.pair);
    if (at != ICE_NONE)
        ice_pair_at(ice, at)->mtu = ice->mtu.passed;
    struct bk_checker_event event = {.kind = BK_CHECKER_MTU,
                                     .state = ice->state,
                                     .pair = ice->mtu.pair,
                                     .mtu = ice->mtu.passed,
                                     .component = 1};
    ice_tell(ice, &event);
}
