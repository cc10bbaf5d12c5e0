/* SPDX-License-Identifier: MIT */
#include "sim/oracle_prove.h"

#include "base/rng.h"

/* Sums over the tries. */
struct tally {
    uint32_t met, one_way;
    double sum[2], squares[2];
};

static void tally_add(struct tally *t, const struct oracle_try *try) {
    t->met += try->met ? 1 : 0;
    t->one_way += try->one_way ? 1 : 0;
    for (int i = 0; i < 2; i++) {
        double sent = try->sent[i];
        t->sum[i] += sent;
        t->squares[i] += sent * sent;
    }
}

/* Of a binomial's 4 sigma a true figure misses 1 in 16 000. Certainties have no sigma. */
static bool hits_agree(const struct oracle_proof *p) {
    double mean = p->tries * p->p, off = mean > p->met ? mean - p->met : p->met - mean;
    if (p->p <= 0 || p->p >= 1)
        return off < 0.5;
    off = off > 1 ? off - 1 : 0; /* counts are whole */
    return off * off <= 16 * mean * (1 - p->p);
}

static bool packets_agree(const struct tally *t, uint32_t tries, double expected, int side) {
    double mean = t->sum[side] / tries, off = mean > expected ? mean - expected : expected - mean;
    double variance = t->squares[side] / tries - mean * mean;
    off -= 0.01 * expected + 0.05;
    return off <= 0 || off * off <= 16 * variance / tries;
}

/* Few tries say little about a mean, and the oracle does not price starts that are apart. */
enum { PACKETS_TRIES_MIN = 50 };

static bool counts_packets(const struct oracle_cell *c, const struct oracle_proof *p) {
    bool together = c->budget.low_ttl || c->budget.synchronised;
    return !c->plainly && together && p->p > 0 && p->tries >= PACKETS_TRIES_MIN;
}

/* Half of the tries have side 0 late, by up to the budget's skew. */
static struct oracle_play_options options_of(const struct oracle_cell *c,
                                             const struct bk_oracle_verdict *v, uint64_t seed) {
    struct rng_seeded seeded;
    rng_seed(&seeded, seed ^ UINT64_C(0x6c617465));
    struct bk_rng rng = rng_from_seeded(&seeded);
    struct oracle_play_options o = {
        .plainly = c->plainly,
        .low_ttl = (v->needs & BK_ORACLE_NEEDS_LOW_TTL) != 0,
        .late_side = (int)rng_below(&rng, 2),
    };
    if (!c->budget.low_ttl && !c->budget.synchronised)
        o.late_us = rng_below(&rng, (uint32_t)c->budget.skew_us + 1);
    return o;
}

static bool is_punched(enum bk_oracle_method method) {
    return method == BK_ORACLE_DIRECT || method == BK_ORACLE_PUNCH || method == BK_ORACLE_PRFLX;
}

enum bk_err oracle_prove(const struct oracle_cell *cell, uint64_t seed, uint32_t tries,
                         const struct bk_alloc *alloc, struct oracle_proof *out) {
    struct oracle_proof p = {.seed = seed, .tries = tries};
    struct tally t = {0};
    struct oracle_room *room = oracle_room_new(alloc);
    if (room == NULL)
        return BK_ERR_NO_MEMORY;
    enum bk_err e =
        bk_oracle(&cell->sides[0].traits, &cell->sides[1].traits, &cell->budget, &p.verdict);
    for (uint32_t i = 0; i < tries && e == BK_OK; i++) {
        struct oracle_script script = {cell->sides, &cell->budget, &p.verdict,
                                       options_of(cell, &p.verdict, seed + i)};
        struct oracle_try try;
        e = oracle_play(&script, seed + i, room, alloc, &try);
        if (e == BK_OK)
            tally_add(&t, &try);
    }
    alloc->put(alloc->ctx, room);
    if (e != BK_OK)
        return e;
    p.p = p.verdict.p_low;
    if (cell->plainly)
        p.p = is_punched(p.verdict.method) ? 1 : 0;
    p.met = t.met;
    p.one_way = t.one_way;
    p.agrees = hits_agree(&p);
    for (int i = 0; i < 2; i++) {
        p.packets[i] = tries > 0 ? t.sum[i] / tries : 0;
        if (counts_packets(cell, &p) &&
            !packets_agree(&t, tries, p.verdict.side[i].packets_mean, i))
            p.agrees = false;
    }
    *out = p;
    return BK_OK;
}
