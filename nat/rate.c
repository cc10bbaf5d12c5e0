/* SPDX-License-Identifier: MIT
 * New mappings a second, as a leaky bucket that holds one second's worth. */
#include "nat/state.h"

bool nat_rate_admit(struct nat_rate *rate, uint32_t per_s, struct bk_time now) {
    if (per_s == 0)
        return true;
    struct bk_time busy = bk_after(bk_later(rate->busy_until, now), BK_US_PER_S / per_s);
    if (bk_elapsed_us(now, busy) > BK_US_PER_S)
        return false;
    rate->busy_until = busy;
    return true;
}
