/* SPDX-License-Identifier: MIT
 * Memory given back by a checker that has become quiet. */
#include "ice/checker.h"

void bk_checker_settle(struct bk_checker *ice, struct bk_time now) {
    ice->now = bk_later(ice->now, now);
}

size_t bk_checker_size(const struct bk_checker *ice) {
    return sizeof *ice;
}

bool ice_grow_pairs(struct bk_checker *ice) {
    (void)ice;
    return false;
}

bool ice_grow_checks(struct bk_checker *ice) {
    (void)ice;
    return false;
}

bool ice_has_check_room(const struct bk_checker *ice) {
    return ice_checks_count(&ice->checks, ICE_CHECK_ACTIVE) < ice->checks.cap;
}
