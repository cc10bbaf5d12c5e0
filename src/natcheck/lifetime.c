/* SPDX-License-Identifier: MIT */
#include "natcheck/state.h"

void lifetime_step(struct bk_natcheck *nc) {
    for (unsigned a = BK_NAT_LIFE_FIRST; nc->quick_done && a <= BK_NAT_REFRESH_IN; a++) {
        if (finding_is_pending(nc, (enum bk_nat_attr)a))
            finding_unclear(nc, (enum bk_nat_attr)a, 0, BK_NAT_REASON_NO_SUPPORT);
    }
}

struct bk_time lifetime_deadline(const struct bk_natcheck *nc) {
    (void)nc;
    return BK_NEVER;
}
