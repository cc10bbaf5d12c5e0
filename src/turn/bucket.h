/* SPDX-License-Identifier: MIT
 * Bandwidth: a token bucket of bytes, filled by time, one second deep. Whoever wants to send asks
 * whether there is credit, and pays afterwards for what was sent: a train of datagrams may overdraw
 * it once, and then waits until the debt is paid. */
#ifndef TURN_BUCKET_H
#define TURN_BUCKET_H

#include <bodkin/time.h>
#include <stdbool.h>
#include <stdint.h>

struct turn_bucket {
    uint64_t bytes_per_s; /* 0: no limit */
    int64_t credit;
    struct bk_time at; /* of the last filling */
};

static inline void turn_bucket_start(struct turn_bucket *b, uint64_t bytes_per_s,
                                     struct bk_time now) {
    b->bytes_per_s = bytes_per_s;
    b->credit = (int64_t)bytes_per_s;
    b->at = now;
}

/* Is there credit? */
static inline bool turn_bucket_is_open(struct turn_bucket *b, struct bk_time now) {
    if (b->bytes_per_s == 0)
        return true;
    int64_t us = now.us - b->at.us;
    if (b->credit > 0 && us < BK_US_PER_MS)
        return true; /* most of the time: no division */
    /* A debt of more than that many seconds is as good as this one. */
    uint64_t fill = us > 1000 * BK_US_PER_S ? b->bytes_per_s * 1000
                                            : (uint64_t)us * (b->bytes_per_s / 1000) / 1000;
    if (fill == 0)
        return b->credit > 0;
    b->credit += (int64_t)fill;
    if (b->credit > (int64_t)b->bytes_per_s)
        b->credit = (int64_t)b->bytes_per_s;
    b->at = now;
    return b->credit > 0;
}

static inline void turn_bucket_pay(struct turn_bucket *b, uint64_t bytes) {
    if (b->bytes_per_s != 0)
        b->credit -= (int64_t)bytes;
}

#endif
