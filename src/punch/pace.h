/* SPDX-License-Identifier: MIT
 * When the next packet of a step may leave: a short burst, then an even pace that doubles each
 * second up to a limit. Who comes late catches up a little, never all at once. */
#ifndef PUNCH_PACE_H
#define PUNCH_PACE_H

#include <bodkin/time.h>
#include <stdint.h>

struct pace {
    uint32_t burst;     /* packets of the beginning that leave at 1000 a second */
    uint32_t pps, most; /* in the first second; the limit */
    uint32_t sent;
    struct bk_time began, next; /* the next one leaves at `next` */
};

/* 1 <= pps. */
void pace_begin(struct pace *pace, uint32_t burst, uint32_t pps, uint32_t most, struct bk_time at);
/* One left at `now`, which is not before pace->next. */
void pace_sent(struct pace *pace, struct bk_time now);
/* How long `count` packets take, at most. */
int64_t pace_lasts_us(uint32_t count, uint32_t burst, uint32_t pps);

#endif
