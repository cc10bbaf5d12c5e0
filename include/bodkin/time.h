/* SPDX-License-Identifier: MIT
 * Points in time. Nothing in bodkin's core reads a clock: `now` is an argument of every call that
 * needs it, from any monotonic clock the caller likes (a virtual one in tests). Durations are plain
 * integers with the unit in their name, so that a point and a duration cannot be mixed up. */
#ifndef BODKIN_TIME_H
#define BODKIN_TIME_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bk_time {
    int64_t us; /* microseconds since any fixed origin; INT64_MAX is BK_NEVER */
};

#define BK_US_PER_MS INT64_C(1000)
#define BK_US_PER_S INT64_C(1000000)

/* The deadline of a timer that is off. */
static const struct bk_time BK_NEVER = {INT64_MAX};

static inline bool bk_is_never(struct bk_time t) {
    return t.us == INT64_MAX;
}

/* The point `delta_us` later. It saturates at BK_NEVER, and BK_NEVER stays BK_NEVER. */
static inline struct bk_time bk_after(struct bk_time t, int64_t delta_us) {
    struct bk_time out = BK_NEVER;
    if (t.us != INT64_MAX && (delta_us < 0 || t.us < INT64_MAX - delta_us))
        out.us = t.us + delta_us;
    return out;
}

static inline bool bk_before(struct bk_time a, struct bk_time b) {
    return a.us < b.us;
}

static inline struct bk_time bk_earlier(struct bk_time a, struct bk_time b) {
    return a.us < b.us ? a : b;
}

static inline struct bk_time bk_later(struct bk_time a, struct bk_time b) {
    return a.us < b.us ? b : a;
}

/* Has `deadline` come? A timer that is off is never due. */
static inline bool bk_due(struct bk_time deadline, struct bk_time now) {
    return deadline.us != INT64_MAX && deadline.us <= now.us;
}

/* Microseconds from `earlier` to `later`; neither may be BK_NEVER. */
static inline int64_t bk_elapsed_us(struct bk_time earlier, struct bk_time later) {
    return later.us - earlier.us;
}

#ifdef __cplusplus
}
#endif
#endif
