/* SPDX-License-Identifier: MIT */
#include "peer/targets.h"

/* The address's entry, or the one to be used for it: a free one, else the one unused for longest.
 */
static struct targets_entry *entry_for(struct targets *t, const struct bk_ip *ip) {
    struct targets_entry *oldest = &t->entries[0];
    for (size_t i = 0; i < TARGETS_MAX; i++) {
        struct targets_entry *e = &t->entries[i];
        if (bk_ip_equal(&e->ip, ip))
            return e;
        if (e->ip.family == BK_FAMILY_NONE ||
            (oldest->ip.family != BK_FAMILY_NONE && bk_before(e->seen, oldest->seen)))
            oldest = oldest->ip.family == BK_FAMILY_NONE ? oldest : e;
    }
    return oldest;
}

static void refill(struct targets_entry *e, struct bk_time now) {
    const int64_t each_us = 3600 * BK_US_PER_S / TARGETS_PER_HOUR;
    int64_t earned = bk_elapsed_us(e->seen, now) / each_us;
    if (earned <= 0)
        return;
    int64_t left = (int64_t)e->left + earned;
    e->left = left > TARGETS_BUDGET ? TARGETS_BUDGET : (uint32_t)left;
    e->seen = bk_after(e->seen, earned * each_us); /* what is left of the interval counts on */
}

bool targets_take(struct targets *t, const struct bk_ip *ip, struct bk_time now) {
    struct targets_entry *e = entry_for(t, ip);
    if (!bk_ip_equal(&e->ip, ip))
        *e = (struct targets_entry){.ip = *ip, .left = TARGETS_BUDGET, .seen = now};
    refill(e, now);
    if (e->left == 0)
        return false;
    e->left--;
    return true;
}

void targets_proved(struct targets *t, const struct bk_ip *ip) {
    struct targets_entry *e = entry_for(t, ip);
    if (bk_ip_equal(&e->ip, ip))
        e->left = TARGETS_BUDGET;
}
