/* SPDX-License-Identifier: MIT
 * What to try next: the oracle's best method of those that were not tried, as long as it is worth
 * its packets. Where traits are unknown, the easiest that they allow is tried first, because that
 * is cheap: plain ports, then predicted ones, then random ones. */
#include "punch/chance.h"
#include "punch/state.h"

#include "base/assert.h"

#include <string.h>

/* Half a percent: a thousand packets for less help nobody. */
static const double worthwhile = 0.005;
/* A step that fails takes half a second: less than this part of what it saves. */
static const double nearly = 0.85;

enum {
    PLAIN = 1U << BK_ORACLE_DIRECT | 1U << BK_ORACLE_PUNCH | 1U << BK_ORACLE_PRFLX,
    HARD = 1U << BK_ORACLE_PREDICT | 1U << BK_ORACLE_FAN | 1U << BK_ORACLE_BLOCK |
           1U << BK_ORACLE_BIRTHDAY_ONE | 1U << BK_ORACLE_BIRTHDAY_MIXED |
           1U << BK_ORACLE_BIRTHDAY_TWO,
    QUICK = 1U << BK_ORACLE_PREDICT | 1U << BK_ORACLE_FAN | 1U << BK_ORACLE_BLOCK,
    WINDOW_MORE = 2, /* mappings that our own checks may make meanwhile */
    WINDOW_MAX = 512
};

static bool is_of(uint32_t methods, unsigned method) {
    return method < BK_ORACLE_METHODS && (methods & 1U << method) != 0;
}

bool plan_is_plain(uint8_t method) {
    return is_of(PLAIN, method);
}

/* ---- what may be true ---- */

struct guess {
    enum bk_nat_dep mapping;
    enum bk_nat_ports ports;
};
#define CONE                                                                                       \
    { BK_NAT_EI, BK_NAT_PORTS_PRESERVE }
#define KEEP                                                                                       \
    { BK_NAT_APD, BK_NAT_PORTS_PRESERVE }
#define DRAW                                                                                       \
    { BK_NAT_APD, BK_NAT_PORTS_RANDOM }

/* Of both sides. Two that draw are not worth a packet. */
static const struct guess guesses[][2] = {
    {CONE, CONE}, {CONE, KEEP}, {KEEP, CONE}, {CONE, DRAW}, {DRAW, CONE},
};
enum { GUESSES = sizeof guesses / sizeof *guesses };

static struct bk_nat_traits assumed(const struct bk_nat_traits *traits, const struct guess *g) {
    struct bk_nat_traits t = *traits;
    if (t.mapping == BK_NAT_DEP_UNKNOWN)
        t.mapping = t.translated == BK_NO ? BK_NAT_EI : g->mapping;
    if (t.ports == BK_NAT_PORTS_UNKNOWN)
        t.ports = g->ports;
    if (t.filtering == BK_NAT_DEP_UNKNOWN)
        t.filtering = BK_NAT_APD;
    t.udp_blocked = t.udp_blocked == BK_YES ? BK_YES : BK_NO;
    t.udp_limited = t.udp_limited == BK_YES ? BK_YES : BK_NO;
    t.paired = t.paired == BK_NO ? BK_NO : BK_YES;
    if (t.inbound_first == BK_UNKNOWN)
        t.inbound_first = BK_NO;
    return t;
}

static uint32_t at_least_one(uint32_t value) {
    return value > 0 ? value : 1;
}

static bool ask(const struct punch *p, const struct guess g[2], uint32_t methods,
                struct bk_oracle_verdict *out) {
    struct bk_nat_traits a = assumed(&p->traits[0], &g[0]), b = assumed(&p->traits[1], &g[1]);
    struct bk_oracle_budget budget = bk_oracle_budget_default;
    budget.methods = methods;
    budget.sockets = at_least_one(p->config.sockets_max);
    budget.probes = p->config.probes_max;
    budget.pace_pps = p->config.pace_pps;
    budget.rtt_us = punch_peer_rtt_us(p);
    budget.signal_rtt_us = punch_signal_us(p) / 2; /* to the server, and its answer */
    return bk_oracle(&a, &b, &budget, out) == BK_OK && out->method != BK_ORACLE_RELAY;
}

/* ---- what was tried ---- */

static bool is_clock(const struct punch *p) {
    return p->traits[0].ports == BK_NAT_PORTS_TIME || p->traits[1].ports == BK_NAT_PORTS_TIME;
}

/* Every try has fresh sockets, and so fresh ports: for methods that lose one packet too easily, or
 * that are trials by nature, a second one is another step. */
static uint8_t tries_max(const struct punch *p, unsigned method) {
    switch (method) {
    case BK_ORACLE_DIRECT:
    case BK_ORACLE_PUNCH:
    case BK_ORACLE_PRFLX:
        return 2;
    case BK_ORACLE_PREDICT:
    case BK_ORACLE_FAN:
        return is_clock(p) ? PUNCH_TRIES_MAX : 2;
    case BK_ORACLE_BLOCK:
    case BK_ORACLE_BIRTHDAY_ONE:
    case BK_ORACLE_BIRTHDAY_MIXED:
    case BK_ORACLE_BIRTHDAY_TWO:
        return 1;
    default: /* not ours to try */
        return 0;
    }
}

static uint32_t tries_of(const struct punch *p, unsigned method, int reached) {
    bk_assert(method < BK_ORACLE_METHODS);
    return is_of(PLAIN, method) ? p->tries[0][BK_ORACLE_PUNCH] + p->tries[1][BK_ORACLE_PUNCH]
                                : p->tries[reached][method];
}

void plan_count(struct punch *p, const struct plan *plan) {
    p->tries[plan->reached][plan_is_plain(plan->method) ? BK_ORACLE_PUNCH : plan->method]++;
}

static bool is_tried(const struct punch *p, unsigned method, int reached) {
    return tries_of(p, method, reached) >= tries_max(p, method);
}

static uint32_t untried(const struct punch *p) {
    uint32_t methods = 0;
    for (unsigned m = 0; m < BK_ORACLE_METHODS && p->config.sockets_max > 0; m++) {
        if (!is_tried(p, m, 0) || !is_tried(p, m, 1))
            methods |= 1U << m;
    }
    return methods;
}

/* ---- from a verdict to a plan ---- */

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* A block needs far less than the budget: the smallest burst that is nearly certain. */
static void shrink(const struct bk_oracle_verdict *v, struct plan *out) {
    static const uint16_t sizes[][2] = {{32, 64}, {64, 128}, {128, 128}, {256, 256}, {256, 512}};
    uint16_t *k = &out->sockets[v->reached], *n = &out->ports[1 - v->reached];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t few = least(*k, sizes[i][0]), some = least(*n, sizes[i][1]);
        if (chance_common(v->space, few, some) >= 0.9999) {
            *k = (uint16_t)few;
            *n = (uint16_t)some;
            return;
        }
    }
}

static void widen(const struct punch *p, const struct bk_oracle_verdict *v, struct plan *out) {
    uint32_t most = v->method == BK_ORACLE_FAN ? p->config.sockets_max : WINDOW_MAX;
    out->window = (uint16_t)least(is_clock(p) ? v->window : v->window + WINDOW_MORE, most);
    out->ports[1 - v->reached] = out->window;
    if (v->method == BK_ORACLE_FAN)
        out->sockets[0] = out->sockets[1] = out->window;
}

/* Behind a filter that asks for no port a socket may open a mapping for each port that it sends to,
 * where the NAT gives each its own: as many mappings as there are probes, and of fewer sockets. The
 * hit then comes sooner, even though the oracle does not count on it. */
static void spread(const struct punch *p, struct plan *out) {
    const struct bk_nat_traits *t = &p->traits[out->reached];
    uint32_t most = t->mappings_max != 0 ? t->mappings_max : PUNCH_MAPPINGS_MAX;
    uint32_t each = least(most, out->ports[1 - out->reached]) / at_least_one(p->config.sockets_max);
    if (t->mapping == BK_NAT_APD && t->filtering == BK_NAT_AD && out->window == 0 && each > 1)
        out->ports[out->reached] = (uint16_t)each;
}

static void plan_of(const struct punch *p, const struct bk_oracle_verdict *v, struct plan *out) {
    *out = (struct plan){.method = (uint8_t)v->method,
                         .reached = (uint8_t)v->reached,
                         .both = v->side[0].role == BK_ORACLE_ROLE_GUESS,
                         .window = (uint16_t)least(v->window, WINDOW_MAX)};
    for (int i = 0; i < 2; i++) {
        out->sockets[i] = (uint16_t)least(v->side[i].sockets, p->config.sockets_max);
        out->ports[i] = (uint16_t)least(v->side[i].ports, p->config.probes_max);
    }
    if (plan_is_plain(out->method)) { /* both at once; then one of them first */
        out->window = (uint16_t)tries_of(p, BK_ORACLE_PUNCH, 0);
        if (v->method == BK_ORACLE_PUNCH && p->traits[1].inbound_first == BK_YES)
            out->reached = 1;
    } else if (v->method == BK_ORACLE_PREDICT || v->method == BK_ORACLE_FAN) {
        widen(p, v, out);
    } else if (v->method == BK_ORACLE_BLOCK && !out->both) {
        shrink(v, out);
    } else if (v->method == BK_ORACLE_BIRTHDAY_ONE) {
        spread(p, out);
    }
}

/* The best of `methods`; or one that is nearly as good and far cheaper, as what fails can be
 * followed by the best. */
static bool ask_cheaply(const struct punch *p, const struct guess g[2], uint32_t methods,
                        struct bk_oracle_verdict *out) {
    if (!ask(p, g, methods, out) || out->p_low < worthwhile)
        return false;
    struct bk_oracle_verdict cheap;
    uint32_t cheaper = methods & QUICK & ((1U << out->method) - 1);
    if (cheaper != 0 && ask(p, g, cheaper, &cheap) && cheap.p_low >= nearly)
        *out = cheap;
    return true;
}

/* The best that one guess leaves, in the direction that was not tried. */
static bool next_with(const struct punch *p, const struct guess g[2], uint32_t methods,
                      struct plan *out) {
    struct bk_oracle_verdict v;
    while (methods != 0 && ask_cheaply(p, g, methods, &v)) {
        if (!is_tried(p, (unsigned)v.method, v.reached)) {
            plan_of(p, &v, out);
            return true;
        }
        methods &= ~(1U << v.method);
    }
    return false;
}

bool plan_next(const struct punch *p, struct plan *out) {
    uint32_t methods = untried(p), worked = is_of(methods & HARD, p->worked) ? 1U << p->worked : 0;
    for (size_t g = 0; g < GUESSES && worked != 0; g++) {
        if (next_with(p, guesses[g], worked, out) && out->reached == p->worked_reached &&
            p->tries[out->reached][out->method] == 0)
            return true;
    }
    for (size_t g = 0; g < GUESSES; g++) {
        if (next_with(p, guesses[g], methods, out))
            return true;
    }
    return false;
}

bool plan_is_possible(const struct punch *p, const struct punch_note *n) {
    struct bk_oracle_verdict v;
    if (plan_is_plain(n->method))
        return true;
    for (size_t g = 0; g < GUESSES && is_of(HARD, n->method); g++) {
        if (ask(p, guesses[g], 1U << n->method, &v))
            return true;
    }
    return false;
}

/* ---- before the first step ---- */

bool plan_is_delicate(const struct punch *p) {
    return p->ttl != 0 &&
           (p->traits[0].inbound_first == BK_YES || p->traits[1].inbound_first == BK_YES);
}

/* Not when a hard method is what it takes: no check between known ports can succeed. */
bool plan_waits(const struct punch *p) {
    struct plan first;
    if (is_of(HARD, p->worked))
        return false;
    return !is_of(HARD, p->verdict.method) || (plan_next(p, &first) && plan_is_plain(first.method));
}

static bool same_rates(const struct bk_nat_traits *a, const struct bk_nat_traits *b) {
    return !(a->ports_per_s < b->ports_per_s || a->ports_per_s > b->ports_per_s ||
             a->foreign_per_s < b->foreign_per_s || a->foreign_per_s > b->foreign_per_s);
}

static bool same_ports(const struct bk_nat_traits *a, const struct bk_nat_traits *b) {
    return a->ports == b->ports && a->step == b->step && a->port_min == b->port_min &&
           a->port_max == b->port_max && a->port_count == b->port_count &&
           a->mappings_max == b->mappings_max && same_rates(a, b);
}

static bool same_roads(const struct bk_nat_traits *a, const struct bk_nat_traits *b) {
    return a->hairpin == b->hairpin && a->two_nats == b->two_nats &&
           a->port_mapping == b->port_mapping && a->tcp_punch == b->tcp_punch &&
           a->ipv6 == b->ipv6 && bk_ip_equal(&a->external, &b->external) &&
           bk_ip_equal(&a->inner, &b->inner);
}

bool plan_is_same(const struct bk_nat_traits *a, const struct bk_nat_traits *b) {
    return a->translated == b->translated && a->udp_blocked == b->udp_blocked &&
           a->udp_limited == b->udp_limited && a->mapping == b->mapping &&
           a->filtering == b->filtering && a->paired == b->paired &&
           a->inbound_first == b->inbound_first && same_ports(a, b) && same_roads(a, b);
}

static bool is_blank(const struct bk_nat_traits *t) {
    static const struct bk_nat_traits blank = {.translated = BK_UNKNOWN};
    return plan_is_same(t, &blank);
}

/* Of two NATs of which nothing is known the oracle says what it always says, after trying every
 * case: 2 ms. */
static const struct bk_oracle_verdict nothing_known = {
    .method = BK_ORACLE_RELAY,
    .method_best = BK_ORACLE_DIRECT,
    .p_high = 1,
    .why = "Nothing is known about the two NATs.",
};

void plan_ask_oracle(struct punch *p) {
    p->verdict = nothing_known;
    if (is_blank(&p->traits[0]) && is_blank(&p->traits[1]))
        return;
    if (bk_oracle(&p->traits[0], &p->traits[1], NULL, &p->verdict) == BK_OK)
        return;
    /* The peer's contradict themselves, or ours do: then nothing is known. */
    memset(&p->traits[1 - p->me], 0, sizeof p->traits[0]);
    if (bk_oracle(&p->traits[0], &p->traits[1], NULL, &p->verdict) == BK_OK)
        return;
    memset(&p->traits[p->me], 0, sizeof p->traits[0]);
    enum bk_err e = bk_oracle(&p->traits[0], &p->traits[1], NULL, &p->verdict);
    bk_assert(e == BK_OK);
}
