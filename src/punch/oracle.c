/* SPDX-License-Identifier: MIT
 * The oracle's verdict. Unknown traits are not guessed: every value they may
 * have is tried, and the worst and the best outcome are told.
 *
 * Traits of which one value is never better than the other (a NAT that answers
 * to port mapping, a host that has IPv6) take it once for the worst and once
 * for the best case. The others (mapping, filtering, ports, UDP blocked) work
 * together, so all combinations are tried. */
#include "punch/oracle_pair.h"

#include <stddef.h>

const struct bk_oracle_budget bk_oracle_budget_default = {
    .methods = (1U << BK_ORACLE_METHODS) - 1,
    .sockets = 256,         /* state at the peer's NAT, and descriptors */
    .probes = 1024,         /* with 256 sockets: 98.35 % of 64 512 ports */
    .pace_pps = 200,        /* polite; 98.3 % after 5.1 s */
    .rtt_us = 80000,        /* within a continent */
    .signal_rtt_us = 40000, /* the server is half way */
    .skew_us = 100000,
    .low_ttl = true,
    .synchronised = true,
    .foreign_per_s = 1,
    .tcp_success = 0.6,
};

/* ---- what may be asked ---- */

static bool in_range(int64_t value, int64_t min, int64_t max) {
    return value >= min && value <= max;
}

static bool budget_is_sound(const struct bk_oracle_budget *b) {
    const int64_t minute_us = 60000000;
    return in_range(b->sockets, 1, 65536) && in_range(b->probes, 1, 1 << 20) &&
           in_range(b->pace_pps, 1, 1000000) && in_range(b->rtt_us, 0, minute_us) &&
           in_range(b->signal_rtt_us, 0, minute_us) && in_range(b->skew_us, 0, minute_us) &&
           b->foreign_per_s >= 0 && b->foreign_per_s <= 1e6 && b->tcp_success >= 0 &&
           b->tcp_success <= 1;
}

/* The traits may come from the peer: nothing in them is certain but their size.
 */
static bool traits_are_sound(const struct bk_nat_traits *t) {
    bool ranged = t->port_max != 0;
    if (ranged && t->port_min > t->port_max)
        return false;
    uint32_t room = ranged ? (uint32_t)(t->port_max - t->port_min) + 1 : 65536;
    return t->port_count <= room && t->foreign_per_s >= 0 && t->foreign_per_s <= 1e6 &&
           (unsigned)t->mapping <= BK_NAT_APD && (unsigned)t->filtering <= BK_NAT_APD &&
           (unsigned)t->ports <= BK_NAT_PORTS_TIME;
}

/* ---- what may be true ---- */

static enum bk_maybe settle(enum bk_maybe known, enum bk_maybe otherwise) {
    return known != BK_UNKNOWN ? known : otherwise;
}

/* The traits with a better and a worse value, and those that follow from
 * others. */
static struct bk_nat_traits settled(const struct bk_nat_traits *t, bool best) {
    struct bk_nat_traits s = *t;
    enum bk_maybe good = best ? BK_YES : BK_NO, bad = best ? BK_NO : BK_YES;
    bool seen = t->mapping != BK_NAT_DEP_UNKNOWN || t->filtering != BK_NAT_DEP_UNKNOWN;
    if (t->translated == BK_NO)
        s.mapping = BK_NAT_EI;
    if (seen) { /* some UDP came through to tell, from more than one port */
        s.udp_blocked = settle(t->udp_blocked, BK_NO);
        s.udp_limited = settle(t->udp_limited, BK_NO);
    }
    s.paired = settle(t->paired, good);
    s.port_mapping = settle(t->port_mapping, good);
    s.ipv6 = settle(t->ipv6, good);
    s.inbound_first = settle(t->inbound_first, bad);
    s.two_nats = settle(t->two_nats, bad);
    if (t->hairpin == BK_NAT_HAIRPIN_UNKNOWN)
        s.hairpin = best ? BK_NAT_HAIRPIN_EXTERNAL : BK_NAT_HAIRPIN_NONE;
    return s;
}

enum { CASES_MAX = 2 * 3 * 3 * 2 };

struct cases {
    struct bk_nat_traits of[CASES_MAX];
    size_t count;
};

/* Unknown ports lie between the easiest, which is preserving, and the hardest.
 */
static void add_ports(struct cases *c, struct bk_nat_traits t) {
    if (t.ports != BK_NAT_PORTS_UNKNOWN || t.mapping == BK_NAT_EI) {
        c->of[c->count++] = t;
        return;
    }
    t.ports = BK_NAT_PORTS_PRESERVE;
    c->of[c->count++] = t;
    t.ports = BK_NAT_PORTS_RANDOM;
    c->of[c->count++] = t;
}

static void add_filtering(struct cases *c, struct bk_nat_traits t) {
    if (t.filtering != BK_NAT_DEP_UNKNOWN) {
        add_ports(c, t);
        return;
    }
    for (int d = BK_NAT_EI; d <= BK_NAT_APD; d++) {
        t.filtering = (enum bk_nat_dep)d;
        add_ports(c, t);
    }
}

static void add_mapping(struct cases *c, struct bk_nat_traits t) {
    if (t.mapping != BK_NAT_DEP_UNKNOWN) {
        add_filtering(c, t);
        return;
    }
    for (int d = BK_NAT_EI; d <= BK_NAT_APD; d++) {
        t.mapping = (enum bk_nat_dep)d;
        add_filtering(c, t);
    }
}

static void cases_of(struct cases *c, const struct bk_nat_traits *traits, bool best) {
    struct bk_nat_traits t = settled(traits, best);
    c->count = 0;
    if (t.udp_blocked != BK_YES) {
        struct bk_nat_traits open = t;
        open.udp_blocked = BK_NO;
        add_mapping(c, open);
    }
    if (t.udp_blocked != BK_NO) {
        t.udp_blocked = BK_YES;
        add_mapping(c, t);
    }
}

/* ---- the worst and the best ---- */

struct found {
    struct bk_nat_traits a, b;
    struct oracle_offer offer;
};

/* Of two cases with equal probability the dearer method is the worse one. */
static bool beats(const struct oracle_offer *o, const struct oracle_offer *held, bool best) {
    if (o->p < held->p || o->p > held->p)
        return best == (o->p > held->p);
    return best == (o->method < held->method);
}

static struct found search(const struct bk_nat_traits *a, const struct bk_nat_traits *b,
                           const struct bk_oracle_budget *budget, bool best) {
    struct cases of_a, of_b;
    struct found held = {.offer = {.p = best ? -1 : 2}};
    cases_of(&of_a, a, best);
    cases_of(&of_b, b, best);
    for (size_t i = 0; i < of_a.count; i++) {
        for (size_t j = 0; j < of_b.count; j++) {
            struct oracle_pair pair;
            struct oracle_offer o;
            oracle_pair_init(&pair, &of_a.of[i], &of_b.of[j], budget);
            oracle_offer_best(&pair, &o);
            if (beats(&o, &held.offer, best))
                held = (struct found){of_a.of[i], of_b.of[j], o};
        }
    }
    return held;
}

enum bk_err bk_oracle(const struct bk_nat_traits *a, const struct bk_nat_traits *b,
                      const struct bk_oracle_budget *budget, struct bk_oracle_verdict *out) {
    if (budget == NULL)
        budget = &bk_oracle_budget_default;
    if (!budget_is_sound(budget) || !traits_are_sound(a) || !traits_are_sound(b))
        return BK_ERR_ARGUMENT;
    struct found worst = search(a, b, budget, false), best = search(a, b, budget, true);
    struct oracle_pair pair;
    oracle_pair_init(&pair, &worst.a, &worst.b, budget);
    *out = (struct bk_oracle_verdict){
        .method = worst.offer.method,
        .method_best = best.offer.method,
        .p_low = worst.offer.p,
        .p_high = best.offer.p,
        .certain = worst.offer.method == best.offer.method && best.offer.p - worst.offer.p < 1e-9,
        .why = oracle_why(&pair, &worst.offer),
    };
    oracle_price(&pair, &worst.offer, out);
    return BK_OK;
}
