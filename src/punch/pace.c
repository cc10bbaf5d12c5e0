/* SPDX-License-Identifier: MIT */
#include "punch/pace.h"

enum {
    BURST_GAP_US = 1000, /* what a home router's queue takes without loss */
    LATE_US = 20000,     /* what is made up for: a busy loop's turn */
    DOUBLINGS_MAX = 10
};

void pace_begin(struct pace *p, uint32_t burst, uint32_t pps, uint32_t most, struct bk_time at) {
    *p = (struct pace){.burst = burst, .pps = pps, .most = most, .began = at, .next = at};
}

static int64_t gap_us(const struct pace *p, struct bk_time now) {
    if (p->sent < p->burst)
        return BURST_GAP_US;
    int64_t seconds = bk_elapsed_us(p->began, now) / BK_US_PER_S;
    uint64_t rate = p->pps;
    for (int64_t s = 0; s < seconds && s < DOUBLINGS_MAX && rate < p->most; s++)
        rate = 2 * rate < p->most ? 2 * rate : p->most;
    return (int64_t)(BK_US_PER_S / (int64_t)rate);
}

void pace_sent(struct pace *p, struct bk_time now) {
    p->sent++;
    p->next = bk_after(bk_later(p->next, bk_after(now, -LATE_US)), gap_us(p, now));
}

int64_t pace_lasts_us(uint32_t count, uint32_t burst, uint32_t pps) {
    uint32_t quick = count < burst ? count : burst;
    return (int64_t)quick * BURST_GAP_US + (int64_t)(count - quick) * BK_US_PER_S / pps;
}
