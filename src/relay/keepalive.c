/* SPDX-License-Identifier: MIT */
#include "relay/keepalive.h"

#include <bodkin/time.h>

enum {
    START_S = 25,
    /* So often must the highest interval hold before a longer one is tried again, and twice as
     * often after each death: it may have had another reason, or the box with the short memory may
     * be gone, but each trial that fails is a time of not being reachable. */
    SURVIVALS_TO_FORGET = 20,
    DOUBLINGS_MAX = 8
};

static int64_t clamp(int64_t value, int64_t least, int64_t most) {
    if (value > most)
        return most;
    return value < least ? least : value;
}

/* Three quarters of what has killed: boxes count in whole seconds, and from another moment. */
static int64_t highest(const struct keepalive *k) {
    int64_t safe = k->bad_us / 4 * 3;
    return k->bad_us > 0 && safe < k->max_us ? safe : k->max_us;
}

static void set(struct keepalive *k, int64_t interval_us) {
    k->interval_us = clamp(interval_us, KEEPALIVE_MIN_S * BK_US_PER_S, highest(k));
    if (k->interval_us < KEEPALIVE_MIN_S * BK_US_PER_S)
        k->interval_us = KEEPALIVE_MIN_S * BK_US_PER_S;
}

void keepalive_init(struct keepalive *k, uint32_t max_s) {
    int64_t s = max_s == 0 ? KEEPALIVE_DEFAULT_S : max_s;
    k->max_us = clamp(s, KEEPALIVE_MIN_S, KEEPALIVE_MAX_S) * BK_US_PER_S;
    keepalive_forget(k);
}

void keepalive_forget(struct keepalive *k) {
    k->bad_us = 0;
    k->survivals = k->deaths = 0;
    set(k, START_S * BK_US_PER_S);
}

void keepalive_survived(struct keepalive *k, int64_t silence_us) {
    if (silence_us < k->interval_us)
        return; /* asked early, for another reason: nothing new */
    if (k->interval_us < highest(k)) {
        set(k, k->interval_us / 2 * 3);
        return;
    }
    if (k->bad_us > 0 && ++k->survivals >= (unsigned)SURVIVALS_TO_FORGET << k->deaths) {
        k->bad_us = 0;
        k->survivals = 0;
    }
}

void keepalive_died(struct keepalive *k, int64_t silence_us) {
    if (silence_us < KEEPALIVE_MIN_S * BK_US_PER_S)
        return; /* no box forgets so fast: something else broke */
    k->bad_us = silence_us;
    k->survivals = 0;
    if (k->deaths < DOUBLINGS_MAX)
        k->deaths++;
    set(k, silence_us / 2);
}
