/* SPDX-License-Identifier: MIT
 * Memory given back by a checker that has become quiet. */
#include "ice/checker.h"

void bk_checker_settle(struct bk_checker *ice, struct bk_time now) {
    ice->now = bk_later(ice->now, now);
}

size_t bk_checker_size(const struct bk_checker *ice) {
    return sizeof *ice;
}
