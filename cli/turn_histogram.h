/* SPDX-License-Identifier: MIT
 * Percentiles of times in bounded memory: buckets of 1/32 of their value, so what is read is at
 * most 3 % too low. */
#ifndef CLI_TURN_HISTOGRAM_H
#define CLI_TURN_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    TURN_HISTOGRAM_STEPS = 32, /* buckets in each doubling */
    TURN_HISTOGRAM_BUCKETS = 40 * TURN_HISTOGRAM_STEPS
};

/* All zeros is an empty one. */
struct turn_histogram {
    uint64_t count;
    int64_t max_ns;
    uint32_t buckets[TURN_HISTOGRAM_BUCKETS];
};

/* Times below 0 count as 0 ns: two clocks were read in an unlucky order. */
void turn_histogram_add(struct turn_histogram *h, int64_t ns);
/* The time that `permille` of all do not exceed; 0 when it is empty. */
int64_t turn_histogram_at(const struct turn_histogram *h, unsigned permille);

#endif
