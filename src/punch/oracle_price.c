/* SPDX-License-Identifier: MIT
 * What the best offer costs: packets on both sides and time, until the first
 * packet is delivered or the budget is spent. Both sides send at the agreed
 * pace, in steps; a method is walked through step by step with the probability
 * that it is still going on. Losses are not part of it. */
#include "punch/chance.h"
#include "punch/oracle_pair.h"

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

struct walk {
    double open;           /* the probability that nobody was hit so far */
    uint64_t step;         /* steps done; each lasts 1 / pace */
    uint32_t sent[2];      /* if it goes on */
    double mean[2], steps; /* expected packets, expected steps before the hit */
    bool most;             /* 95 of 100 tries have hit */
    uint32_t p95[2];
    uint64_t p95_step;
};

/* One step, in which the sides that `send` send a packet each, after which
 * nobody was hit with probability `open`. */
static void walk_step(struct walk *w, bool send0, bool send1, double open) {
    bool send[2] = {send0, send1};
    for (int i = 0; i < 2; i++) {
        if (send[i]) {
            w->mean[i] += w->open;
            w->sent[i]++;
        }
    }
    w->steps += (w->open - open) * (double)w->step;
    w->open = open;
    if (!w->most && open <= 0.05) {
        w->most = true;
        w->p95[0] = w->sent[0];
        w->p95[1] = w->sent[1];
        w->p95_step = w->step;
    }
    w->step++;
}

static void walk_end(struct walk *w) {
    uint64_t last = w->step > 0 ? w->step - 1 : 0;
    w->steps += w->open * (double)last;
    if (!w->most) {
        w->p95[0] = w->sent[0];
        w->p95[1] = w->sent[1];
        w->p95_step = last;
    }
}

/* ---- the walks: side 0 of a walk is the reached side, side 1 the prober ----
 */

static void walk_predict(struct walk *w, const struct oracle_offer *o) {
    for (uint32_t i = 1; i <= o->probes && w->open > 0; i++)
        walk_step(w, i == 1, true, 1 - chance_fewer(o->mean_foreign, i));
}

/* A clock's port: a dozen trials of a whole window each, one a second. */
static void walk_clock(struct walk *w, const struct oracle_offer *o, double trial) {
    double open = 1;
    for (int t = 0; t < ORACLE_CLOCK_TRIALS; t++) {
        open *= 1 - trial;
        for (uint32_t i = 1; i <= o->probes; i++)
            walk_step(w, i == 1, true, i < o->probes ? w->open : open);
    }
}

/* The hit comes with the prober's (w - b)-th packet, when b others were served at its box: the sum
 * over b of P(b) P(a < w - b), for as many b as have had their packet. */
static void walk_fan(struct walk *w, const struct oracle_offer *o) {
    double all = chance_fewer(o->mean_foreign + o->mean_other, o->window), hit = 0;
    for (uint32_t i = 1; i <= o->window; i++) {
        uint32_t b = o->window - i;
        double these = chance_fewer(o->mean_other, b + 1) - chance_fewer(o->mean_other, b);
        hit += these * chance_fewer(o->mean_foreign, i);
        walk_step(w, true, true, 1 - (all > 0 ? o->p * hit / all : 0));
    }
}

/* A mapping opened now is on one of the `n` ports that were tried, of the space
 * - k that are free; a port tried now is one of the `k` that are open, of the
 * space - n that were not tried. Openers that must die on the way come first
 * and hit nothing. */
static void walk_birthday(struct walk *w, const struct oracle_offer *o, double found, bool first) {
    uint32_t k = 0, n = 0, sent = 0, openers = o->opens * o->targets;
    double miss = 1;
    while ((sent < openers || n < o->probes) && miss > 0) {
        bool opening = sent < openers, probing = n < o->probes && (!first || !opening);
        if (opening && ++sent % o->targets == 0) {
            miss *= first ? 1 : 1 - (double)n / (double)(o->space - k);
            k++;
        }
        if (probing) {
            double hit = (double)k / (double)(o->space - n);
            miss *= hit < 1 ? 1 - hit : 0;
            n++;
        }
        walk_step(w, opening, probing, 1 - found * (1 - miss));
    }
}

/* `other`: as in oracle_guess_chance(). */
static void walk_guess(struct walk *w, const struct oracle_offer *o, uint32_t other) {
    uint32_t steps = o->opens > o->probes ? o->opens : o->probes;
    double all = oracle_guess_chance(o, other, o->opens, o->probes);
    for (uint32_t i = 1; i <= steps; i++) {
        uint32_t n = least(i, o->opens), m = least(i, o->probes);
        double p = oracle_guess_chance(o, other, n, m);
        walk_step(w, i <= o->opens, i <= o->probes, 1 - (all > 0 ? o->p * p / all : 0));
    }
}

static void walk_once(struct walk *w, bool reached, double p) {
    walk_step(w, reached, true, 1 - p);
}

static void walk(struct walk *w, const struct oracle_pair *p, const struct oracle_offer *o,
                 bool ordered) {
    const struct oracle_view *reached = &p->view[o->reached], *prober = &p->view[1 - o->reached];
    switch (o->method) {
    case BK_ORACLE_DIRECT:
    case BK_ORACLE_PORT_MAPPING:
        walk_once(w, false, o->p);
        break;
    case BK_ORACLE_PUNCH:
    case BK_ORACLE_PRFLX:
    case BK_ORACLE_INNER:
    case BK_ORACLE_HAIRPIN:
    case BK_ORACLE_IPV6:
    case BK_ORACLE_TCP:
        walk_once(w, true, o->p);
        break;
    case BK_ORACLE_PREDICT:
        if (reached->trial < 1)
            walk_clock(w, o, reached->trial);
        else
            walk_predict(w, o);
        break;
    case BK_ORACLE_FAN:
        if (reached->trial < 1 || prober->trial < 1)
            walk_clock(w, o, reached->trial * prober->trial);
        else
            walk_fan(w, o);
        break;
    case BK_ORACLE_BLOCK:
    case BK_ORACLE_BIRTHDAY_ONE:
        if (o->both_guess)
            walk_guess(w, o, prober->space);
        else
            walk_birthday(w, o, o->found, ordered);
        break;
    case BK_ORACLE_BIRTHDAY_MIXED:
        walk_guess(w, o, o->probes);
        break;
    case BK_ORACLE_BIRTHDAY_TWO:
        walk_guess(w, o, prober->space);
        break;
    case BK_ORACLE_RELAY:
        break;
    }
}

/* ---- who does what ---- */

static struct bk_oracle_side side(enum bk_oracle_role role, uint32_t sockets, uint32_t ports) {
    return (struct bk_oracle_side){.role = role, .sockets = sockets, .ports = ports};
}

/* Sockets that share `n` mappings, each aimed at all of `targets`. */
static uint32_t sockets_for(uint32_t n, uint32_t targets) {
    return targets > 0 ? (n + targets - 1) / targets : 1;
}

static void cast_guess(const struct oracle_offer *o, struct bk_oracle_side *reached,
                       struct bk_oracle_side *prober) {
    *reached = side(BK_ORACLE_ROLE_GUESS, sockets_for(o->opens, o->targets), o->targets);
    uint32_t ports = least(o->probes, o->space); /* beyond that, once more from other sockets */
    *prober = side(BK_ORACLE_ROLE_GUESS, sockets_for(o->probes, ports), ports);
}

/* The side whose ports are predicted has the targets. */
static void cast_mixed(const struct oracle_pair *p, const struct oracle_offer *o,
                       struct bk_oracle_side *reached, struct bk_oracle_side *prober) {
    bool fresh = p->view[1 - o->reached].fresh_only;
    *reached = side(BK_ORACLE_ROLE_GUESS, 1, o->opens);
    *prober = side(BK_ORACLE_ROLE_GUESS, fresh ? o->probes : sockets_for(o->probes, o->targets),
                   o->targets);
}

static void cast(const struct oracle_pair *p, const struct oracle_offer *o,
                 struct bk_oracle_side *reached, struct bk_oracle_side *prober) {
    switch (o->method) {
    case BK_ORACLE_DIRECT:
        *reached = side(BK_ORACLE_ROLE_ANSWER, 1, 1);
        *prober = side(BK_ORACLE_ROLE_SEND, 1, 1);
        break;
    case BK_ORACLE_PORT_MAPPING:
        *reached = side(BK_ORACLE_ROLE_MAP, 1, 1);
        *prober = side(BK_ORACLE_ROLE_SEND, 1, 1);
        break;
    case BK_ORACLE_PUNCH:
    case BK_ORACLE_PRFLX:
    case BK_ORACLE_INNER:
    case BK_ORACLE_HAIRPIN:
    case BK_ORACLE_IPV6:
        *reached = *prober = side(BK_ORACLE_ROLE_SEND, 1, 1);
        break;
    case BK_ORACLE_TCP:
        *reached = *prober = side(BK_ORACLE_ROLE_CONNECT, 1, 1);
        break;
    case BK_ORACLE_PREDICT:
        *reached = side(BK_ORACLE_ROLE_OPEN, 1, 1);
        *prober = side(BK_ORACLE_ROLE_PROBE, 1, o->window);
        break;
    case BK_ORACLE_FAN:
        *reached = side(BK_ORACLE_ROLE_OPEN, o->window, 1);
        *prober = side(BK_ORACLE_ROLE_PROBE, o->window, o->window);
        break;
    case BK_ORACLE_BLOCK:
    case BK_ORACLE_BIRTHDAY_ONE:
        if (o->both_guess) {
            cast_guess(o, reached, prober);
            break;
        }
        *reached = side(BK_ORACLE_ROLE_OPEN, o->opens, o->targets);
        *prober = side(BK_ORACLE_ROLE_PROBE, 1, o->probes);
        break;
    case BK_ORACLE_BIRTHDAY_MIXED:
        cast_mixed(p, o, reached, prober);
        break;
    case BK_ORACLE_BIRTHDAY_TWO:
        cast_guess(o, reached, prober);
        break;
    case BK_ORACLE_RELAY:
        *reached = *prober = side(BK_ORACLE_ROLE_NONE, 0, 0);
        break;
    }
}

/* ---- the bill ---- */

static uint32_t needs_of(const struct oracle_pair *p, const struct oracle_offer *o) {
    uint32_t needs = 0;
    if (oracle_is_delicate(p, o))
        needs |= p->budget->low_ttl ? BK_ORACLE_NEEDS_LOW_TTL : BK_ORACLE_NEEDS_START;
    if (o->method == BK_ORACLE_FAN || o->method == BK_ORACLE_BIRTHDAY_MIXED)
        needs |= BK_ORACLE_NEEDS_START;
    if (o->opens > 0)
        needs |= BK_ORACLE_NEEDS_FRESH;
    bool guessed = o->method == BK_ORACLE_BLOCK || o->method == BK_ORACLE_BIRTHDAY_ONE;
    if (guessed && !o->both_guess && (o->unaimed || (needs & BK_ORACLE_NEEDS_LOW_TTL) != 0))
        needs |= BK_ORACLE_NEEDS_ORDER;
    return needs;
}

/* Before the first packet that counts: a port number that others may take must
 * be fetched and told at the last moment. */
static int64_t fetch_us(const struct oracle_pair *p, const struct oracle_offer *o) {
    return o->mean_foreign + o->mean_other > 0 ? 2 * p->budget->signal_rtt_us : 0;
}

static int64_t steps_us(const struct oracle_pair *p, const struct oracle_offer *o, double steps) {
    bool clock = (o->method == BK_ORACLE_PREDICT || o->method == BK_ORACLE_FAN) &&
                 p->view[0].trial * p->view[1].trial < 1;
    double per_trial = o->probes > 0 ? o->probes : 1;
    double us = clock ? steps / per_trial * 1e6 : steps / p->budget->pace_pps * 1e6;
    return (int64_t)(us + 0.5);
}

void oracle_price(const struct oracle_pair *p, const struct oracle_offer *o,
                  struct bk_oracle_verdict *out) {
    struct walk w = {.open = 1};
    int side_of[2] = {o->reached, 1 - o->reached};
    out->needs = needs_of(p, o);
    bool low_ttl = (out->needs & BK_ORACLE_NEEDS_LOW_TTL) != 0;
    cast(p, o, &out->side[side_of[0]], &out->side[side_of[1]]);
    walk(&w, p, o, (out->needs & BK_ORACLE_NEEDS_ORDER) != 0);
    walk_end(&w);
    bool primed = low_ttl && o->opens == 0; /* an opener of its own, a round trip ahead */
    for (int i = 0; i < 2; i++) {
        out->side[side_of[i]].packets_mean = w.mean[i] + (primed ? 1 : 0);
        out->side[side_of[i]].packets_p95 = w.p95[i] + (primed ? 1 : 0);
    }
    int64_t flight_us = o->method == BK_ORACLE_RELAY ? 0 : p->budget->rtt_us / 2;
    int64_t first_us = fetch_us(p, o) + flight_us + (primed ? p->budget->rtt_us : 0);
    out->time_mean_us = first_us + steps_us(p, o, w.steps);
    out->time_p95_us = first_us + steps_us(p, o, (double)w.p95_step);
    out->reached = o->reached;
    out->window = o->window;
    out->space = o->space;
}
