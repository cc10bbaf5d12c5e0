/* SPDX-License-Identifier: MIT
 * Which rule gave these ports? RFC 4787 section 4.2. The rules are tried from the most to the least
 * particular; each asks for so many agreements that a random allocation passes for one of them less
 * than once in 100 000 runs. */
#include "natcheck/verdict.h"

#include <string.h>

enum {
    PORTS_ALL = 64512, /* 1024 to 65535 */
    BURST_US = 3000,   /* closer than this: nobody else's mapping came between, most likely */
    STEP_MAX = 1024,
    BURST_MAX = 8, /* mappings of our own at once */
    SAMPLES_MIN = 4
};

struct list {
    const struct port_sample *s;
    size_t n;
};

/* ---- preserved, parity ---- */

static bool is_preserving(struct list l) {
    size_t fresh = 0, kept = 0;
    for (size_t i = 0; i < l.n; i++) {
        fresh += l.s[i].further ? 0 : 1;
        kept += !l.s[i].further && l.s[i].local == l.s[i].external ? 1 : 0;
    }
    return kept >= 2 && kept * 2 > fresh;
}

/* What a preserving box does when the port is taken: the next one, if all are close above. */
static int32_t step_of_preserving(struct list l) {
    enum { NEAR = 16 };
    size_t further = 0, near = 0;
    for (size_t i = 0; i < l.n; i++) {
        int above = (int)l.s[i].external - (int)l.s[i].local;
        further += l.s[i].further ? 1 : 0;
        near += l.s[i].further && above > 0 && above < NEAR ? 1 : 0;
    }
    return further > 0 && near == further ? 1 : 0;
}

static void judge_parity(struct list l, struct port_verdict *v) {
    enum { SURE = 7 };
    size_t even = 0, same = 0;
    for (size_t i = 0; i < l.n; i++) {
        same += l.s[i].local % 2 == l.s[i].external % 2 ? 1 : 0;
        even += l.s[i].local % 2 == 0 ? 1 : 0;
    }
    v->parity = same == l.n ? BK_YES : BK_NO;
    v->parity_permille = 999;
    if (v->parity == BK_NO)
        return;
    if (l.n < SURE || even == 0 || even == l.n) /* one box in 128 does so by chance */
        v->parity_permille = 800;
    else
        v->parity_permille = l.n > 9 ? 998 : 992;
}

/* ---- grows with the clock ---- */

/* The first of each burst: later ones in it only had to make way. */
static size_t burst_heads(struct list l, struct port_sample *out) {
    size_t n = 0;
    int64_t last = INT64_MIN / 2;
    for (size_t i = 0; i < l.n; i++) {
        if (!l.s[i].exact)
            continue;
        if (l.s[i].t_us - last > BURST_US)
            out[n++] = l.s[i];
        last = l.s[i].t_us;
    }
    return n;
}

static int forward(uint16_t from, uint16_t to) {
    return (uint16_t)(to - from);
}

static double signed_distance(uint16_t from, uint16_t to) {
    return (double)(int16_t)(uint16_t)(to - from);
}

/* A line through the first and the last of the heads. */
struct line {
    struct port_sample from;
    double rate, slack;
};

/* `above`: how many others of our own may have been in its way. */
static bool on_line(const struct line *l, uint16_t port, int64_t t_us, double above) {
    double expected = l->rate * (double)(t_us - l->from.t_us) / 1e6;
    double off = signed_distance(l->from.external, port) - expected;
    return off >= -l->slack && off <= l->slack + above;
}

/* All of them, those included that had to make way. Of a mapping that took two packets one does not
 * know which one made it: either may fit. */
static bool all_on_line(const struct line *l, const struct port_sample *heads, size_t n,
                        struct list all, size_t *points) {
    *points = n;
    for (size_t i = 1; i < n; i++) {
        if (!on_line(l, heads[i].external, heads[i].t_us, 0))
            return false;
    }
    for (size_t i = 0; i < all.n; i++) {
        const struct port_sample *s = &all.s[i];
        bool fits = on_line(l, s->external, s->t_us, BURST_MAX);
        if (!fits && (s->exact || !on_line(l, s->external, s->last_us, BURST_MAX)))
            return false;
        *points += s->exact ? 0 : 1;
    }
    return true;
}

/* Ports on a line over time, and more of them than we took ourselves. A box that counts and serves
 * others as well scatters around such a line by the root of what it gave out. */
static bool judge_time(struct list l, struct port_verdict *v) {
    enum { HEADS_MIN = 3, POINTS_MIN = 4, GROWTH_MIN = 16, SPAN_MAX = 30000 };
    struct port_sample h[PORT_SAMPLES_MAX];
    size_t n = burst_heads(l, h), points;
    if (n < HEADS_MIN)
        return false;
    double t = (double)(h[n - 1].t_us - h[0].t_us) / 1e6;
    int growth = forward(h[0].external, h[n - 1].external);
    double own = (double)(h[n - 1].order - h[0].order);
    if (t <= 0 || growth - own < GROWTH_MIN || growth > SPAN_MAX)
        return false;
    const struct line line = {.from = h[0], .rate = growth / t, .slack = 1.6 + growth / t * 0.0015};
    if (!all_on_line(&line, h, n, l, &points) || points < POINTS_MIN)
        return false;
    v->ports = BK_NAT_PORTS_TIME;
    v->ports_per_s = line.rate;
    v->permille = n > HEADS_MIN ? 900 : 800;
    return true;
}

/* ---- counted ---- */

static int signed_delta(const struct port_sample *a, const struct port_sample *b) {
    return (int16_t)(uint16_t)(b->external - a->external);
}

/* Two mappings of ours with none of ours in between. */
static bool adjacent(const struct port_sample *a, const struct port_sample *b) {
    return b->order == a->order + 1;
}

static bool at_once(const struct port_sample *a, const struct port_sample *b) {
    return adjacent(a, b) && b->t_us - a->t_us <= BURST_US;
}

struct votes {
    int32_t step;
    size_t all;           /* adjacent pairs that differ by it */
    size_t burst, bursts; /* of those made at once, when nobody else came between; and all such */
};

static struct votes votes_for(struct list l, int32_t step) {
    struct votes v = {.step = step};
    for (size_t i = 1; i < l.n; i++) {
        const struct port_sample *a = &l.s[i - 1], *b = &l.s[i];
        size_t agrees = signed_delta(a, b) == step ? 1 : 0;
        v.all += adjacent(a, b) ? agrees : 0;
        v.burst += at_once(a, b) ? agrees : 0;
        v.bursts += at_once(a, b) ? 1 : 0;
    }
    return v;
}

static struct votes common_step(struct list l) {
    struct votes best = {0};
    for (size_t i = 1; i < l.n; i++) {
        if (!adjacent(&l.s[i - 1], &l.s[i]))
            continue;
        struct votes v = votes_for(l, signed_delta(&l.s[i - 1], &l.s[i]));
        if (v.burst > best.burst || (v.burst == best.burst && v.all > best.all))
            best = v;
    }
    return best;
}

/* Does every sample lie further along than the one before, but for `turns` round the range? */
static bool goes_one_way(struct list l, int32_t step, size_t turns) {
    size_t wraps = 0;
    for (size_t i = 1; i < l.n; i++) {
        int d = signed_delta(&l.s[i - 1], &l.s[i]);
        bool along = step > 0 ? d > 0 : d < 0;
        wraps += along ? 0 : 1;
    }
    return wraps <= turns;
}

/* What others took meanwhile, a second. */
static double foreign_rate(struct list l, int32_t step) {
    double taken = 0, seconds = 0;
    for (size_t i = 1; i < l.n; i++) {
        const struct port_sample *a = &l.s[i - 1], *b = &l.s[i];
        int d = signed_delta(a, b);
        if (!a->exact || !b->exact || (step > 0 ? d <= 0 : d >= 0))
            continue;
        double more = (double)d / step - (double)(b->order - a->order);
        taken += more > 0 ? more : 0;
        seconds += (double)(b->t_us - a->t_us) / 1e6;
    }
    return seconds > 0 ? taken / seconds : 0;
}

static bool judge_sequential(struct list all, struct port_verdict *v) {
    struct port_sample exact[PORT_SAMPLES_MAX];
    struct list l = {exact, 0};
    for (size_t i = 0; i < all.n; i++) {
        if (all.s[i].exact)
            exact[l.n++] = all.s[i];
    }
    struct votes votes = common_step(l);
    int32_t step = votes.step;
    bool small = step != 0 && step <= STEP_MAX && step >= -STEP_MAX;
    bool most = votes.bursts > 0 ? votes.burst * 2 > votes.bursts : votes.all * 2 >= l.n;
    size_t turns = votes.all > 2 ? 1 : 0; /* in a small block two pairs agree by chance */
    if (l.n < SAMPLES_MIN || votes.all < 2 || !most || !small || !goes_one_way(l, step, turns))
        return false;
    v->ports = BK_NAT_PORTS_SEQUENTIAL;
    v->step = step;
    v->foreign_per_s = foreign_rate(l, step);
    v->permille = votes.burst == votes.bursts ? 998 : 970;
    return true;
}

/* ---- random, in a block or a scattered set ---- */

static void bounds(struct list l, uint16_t *min, uint16_t *max) {
    *min = UINT16_MAX;
    *max = 0;
    for (size_t i = 0; i < l.n; i++) {
        *min = l.s[i].external < *min ? l.s[i].external : *min;
        *max = l.s[i].external > *max ? l.s[i].external : *max;
    }
}

/* That n ports drawn from all of them lie within such a span: n p^(n-1). */
static double chance(size_t n, double span) {
    double p = span / PORTS_ALL, out = (double)n;
    for (size_t i = 1; i < n; i++)
        out *= p;
    return out;
}

/* Carriers cut blocks at multiples of their size (RFC 7422 section 3), so an aligned block that is
 * not much larger than what was seen is the better guess; otherwise the seen one and the usual gap
 * at both ends. */
static void stretch(struct port_verdict *v, size_t n) {
    uint32_t span = (uint32_t)(v->port_max - v->port_min) + 1, size = 16;
    while (v->port_min / size != v->port_max / size)
        size *= 2;
    if (size <= 2 * span || size == 16) {
        v->port_min = (uint16_t)(v->port_min / size * size);
        v->port_max = (uint16_t)(v->port_min + (size - 1));
        return;
    }
    uint32_t gap = span / (uint32_t)(n - 1);
    v->port_min = v->port_min > gap ? (uint16_t)(v->port_min - gap) : 1;
    v->port_max = (uint16_t)(v->port_max + gap < UINT16_MAX ? v->port_max + gap : UINT16_MAX);
}

/* The longest run of bits that all samples share, below one they do not share: MAP-E's PSID, RFC
 * 7597 section 5.1. `low` is its lowest bit. */
static unsigned shared_run(struct list l, unsigned *low) {
    uint16_t all = UINT16_MAX, any = 0;
    for (size_t i = 0; i < l.n; i++) {
        all &= l.s[i].external;
        any |= l.s[i].external;
    }
    unsigned shared = (unsigned)(uint16_t) ~(any & ~all), best = 0, run = 0;
    bool below = false; /* a bit above differs */
    for (int bit = 15; bit >= 0; bit--) {
        bool is_shared = (shared >> bit & 1) != 0;
        run = is_shared && below ? run + 1 : 0;
        below = below || !is_shared;
        if (run > best) {
            best = run;
            *low = (unsigned)bit;
        }
    }
    return best;
}

static bool judge_scattered(struct list l, struct port_verdict *v) {
    enum { RUN_MIN = 4, SAMPLES = 7 }; /* 12 places x 2^-(4 x 6) */
    unsigned low = 0, run = shared_run(l, &low);
    if (l.n < SAMPLES || run < RUN_MIN)
        return false;
    uint32_t heads = UINT32_C(1) << (16 - run - low); /* the first is left out: ports 0-1023 */
    bounds(l, &v->port_min, &v->port_max);
    v->port_count = (heads > 1 ? heads - 1 : 1) << low;
    return true;
}

static void judge_random(struct list l, struct port_verdict *v) {
    static const double unlikely = 1e-5;
    v->ports = BK_NAT_PORTS_RANDOM;
    v->permille = 990;
    if (judge_scattered(l, v))
        return;
    uint16_t min, max;
    bounds(l, &min, &max);
    if (chance(l.n, (double)(max - min) + 1) > unlikely)
        return;
    v->port_min = min;
    v->port_max = max;
    stretch(v, l.n);
    v->port_count = (uint32_t)(v->port_max - v->port_min) + 1;
}

struct port_verdict ports_judge(const struct port_sample *samples, size_t count) {
    struct port_verdict v = {0};
    const struct list l = {samples, count < PORT_SAMPLES_MAX ? count : PORT_SAMPLES_MAX};
    if (l.n < SAMPLES_MIN)
        return v;
    judge_parity(l, &v);
    if (is_preserving(l)) {
        v.ports = BK_NAT_PORTS_PRESERVE;
        v.step = step_of_preserving(l);
        v.permille = 999;
    } else if (!judge_time(l, &v) && !judge_sequential(l, &v)) {
        judge_random(l, &v);
    }
    return v;
}
