/* SPDX-License-Identifier: MIT */
#include "cli/turn_histogram.h"

enum { TWICE = 2 * TURN_HISTOGRAM_STEPS };

/* Below 32 ns a bucket is 1 ns, then 32 of them for every doubling. */
static size_t bucket_of(uint64_t ns) {
    unsigned shift = 0;
    while (ns >> shift >= TWICE)
        shift++;
    size_t at = (size_t)shift * TURN_HISTOGRAM_STEPS + (size_t)(ns >> shift);
    return at < TURN_HISTOGRAM_BUCKETS ? at : TURN_HISTOGRAM_BUCKETS - 1;
}

static int64_t bucket_from(size_t at) {
    if (at < TWICE)
        return (int64_t)at;
    size_t shift = at / TURN_HISTOGRAM_STEPS - 1;
    return (int64_t)((at - shift * TURN_HISTOGRAM_STEPS) << shift);
}

void turn_histogram_add(struct turn_histogram *h, int64_t ns) {
    if (ns < 0)
        ns = 0;
    h->count++;
    h->buckets[bucket_of((uint64_t)ns)]++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

int64_t turn_histogram_at(const struct turn_histogram *h, unsigned permille) {
    uint64_t want = (h->count * permille + 999) / 1000, seen = 0;
    for (size_t i = 0; i < TURN_HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen >= want && seen > 0)
            return bucket_from(i);
    }
    return 0;
}
