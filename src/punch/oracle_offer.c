/* SPDX-License-Identifier: MIT
 * What each method can do for a pair: one function per method. Its probability
 * is 0 when the method does not fit. The rules they share are at the top of
 * <bodkin/oracle.h>; `reached` is the side whose mapping has to be hit by a
 * packet of the other one, the prober. */
#include "punch/chance.h"
#include "punch/oracle_pair.h"

/* A window that leaves out less than this is wide enough: one port more is one
 * packet more. */
static const double enough = 0.9999;

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static double seconds(int64_t us) {
    return (double)us / 1e6;
}

/* UDP over IPv4 gets from one outside address to the other. */
static bool has_udp(const struct oracle_pair *p) {
    return p->view[0].udp && p->view[1].udp && !p->same;
}

/* ... and a filter that asks for an address, or a guess at a port, knows which. */
static bool has_addresses(const struct oracle_pair *p) {
    return has_udp(p) && !p->view[0].scattered && !p->view[1].scattered;
}

/* Lets in only the port that it sent to. */
static bool asks_port(const struct oracle_view *v) {
    return v->filtering == BK_NAT_APD;
}

/* ---- a packet from outside that comes too early ----
 * Some boxes take it for their own, and the mapping that the inside wanted is
 * then taken: it moves to another port. Harmless when the first packet out dies
 * on the way (low TTL) or when both sides start within half a round trip of
 * each other, because then each finds the other's door open. */

/* How likely is a given side so late that the peer's packet comes first? The
 * starts are at most `skew_us` apart, evenly distributed; either side may be
 * the late one. */
static double late(const struct bk_oracle_budget *b) {
    int64_t flight_us = b->rtt_us / 2;
    if (b->low_ttl || b->synchronised || b->skew_us <= flight_us)
        return 0;
    return (1 - (double)flight_us / (double)b->skew_us) / 2;
}

/* Side `i` would move; does the peer's filter mind? */
static bool moves(const struct oracle_pair *p, int i) {
    return p->view[i].inbound_first && asks_port(&p->view[1 - i]);
}

/* The openers of the reached side arrive at the prober's box before the probes
 * leave it. */
static bool probes_move(const struct oracle_pair *p, int reached) {
    return p->view[1 - reached].inbound_first && asks_port(&p->view[reached]);
}

bool oracle_is_delicate(const struct oracle_pair *p, const struct oracle_offer *o) {
    switch (o->method) {
    case BK_ORACLE_PUNCH:
        return moves(p, 0) || moves(p, 1);
    case BK_ORACLE_PRFLX:
        return p->view[o->reached].inbound_first;
    case BK_ORACLE_PREDICT:
    case BK_ORACLE_FAN:
    case BK_ORACLE_BIRTHDAY_MIXED:
        return p->view[o->reached].inbound_first || probes_move(p, o->reached);
    case BK_ORACLE_BLOCK:
    case BK_ORACLE_BIRTHDAY_ONE:
    case BK_ORACLE_BIRTHDAY_TWO:
        return probes_move(p, o->reached);
    case BK_ORACLE_DIRECT:
    case BK_ORACLE_INNER:
    case BK_ORACLE_HAIRPIN:
    case BK_ORACLE_IPV6:
    case BK_ORACLE_PORT_MAPPING:
    case BK_ORACLE_TCP:
    case BK_ORACLE_RELAY:
        break;
    }
    return false;
}

/* ---- a port is known ---- */

static double direct(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    (void)o;
    return has_udp(p) && p->view[i].filtering == BK_NAT_EI ? 1 : 0;
}

static double punch(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    (void)o;
    if (i != 0 || !has_udp(p) || p->view[0].port != ORACLE_PORT_KNOWN ||
        p->view[1].port != ORACLE_PORT_KNOWN)
        return 0;
    double bad = (moves(p, 0) ? late(p->budget) : 0) + (moves(p, 1) ? late(p->budget) : 0);
    return 1 - bad;
}

static double prflx(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    const struct oracle_view *v = &p->view[i];
    (void)o;
    if (!has_addresses(p) || v->port != ORACLE_PORT_KNOWN || asks_port(v))
        return 0;
    return v->inbound_first ? 1 - late(p->budget) : 1;
}

/* ---- other roads ---- */

/* Behind one box the hosts see each other. Behind one CGN each has a box of its
 * own, whose outside address on the CGN's inside is known because that box
 * answers to port mapping. */
static double inner(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    const struct bk_nat_traits *a = p->traits[0], *b = p->traits[1];
    (void)o;
    if (i != 0 || !p->same)
        return 0;
    if (a->two_nats != BK_YES && b->two_nats != BK_YES)
        return 1;
    return a->inner.family != BK_FAMILY_NONE && b->inner.family != BK_FAMILY_NONE ? 1 : 0;
}

/* With the inside address as its source (RFC 4787 REQ-9a forbids it) the packet
 * misses the peer's session unless nothing stands between the two hosts. */
static double hairpin(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    (void)o;
    if (i != 0 || !p->same || !p->view[0].udp || !p->view[1].udp)
        return 0;
    bool turns = p->traits[0]->hairpin == BK_NAT_HAIRPIN_EXTERNAL ||
                 p->traits[1]->hairpin == BK_NAT_HAIRPIN_EXTERNAL;
    bool known = p->view[0].port == ORACLE_PORT_KNOWN && p->view[1].port == ORACLE_PORT_KNOWN;
    return turns && known ? 1 : 0;
}

static double ipv6(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    (void)o;
    return i == 0 && p->traits[0]->ipv6 == BK_YES && p->traits[1]->ipv6 == BK_YES ? 1 : 0;
}

static double port_mapping(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    (void)o;
    return has_udp(p) && p->traits[i]->port_mapping == BK_YES ? 1 : 0;
}

/* Where TCP meets a NAT that maps by endpoint the SYNs come from ports nobody
 * knows. */
static double tcp(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    const struct bk_nat_traits *a = p->traits[0], *b = p->traits[1];
    (void)o;
    if (i != 0 || (p->view[0].udp && p->view[1].udp) || p->same)
        return 0;
    if (a->mapping != BK_NAT_EI || b->mapping != BK_NAT_EI || a->tcp_punch == BK_NO ||
        b->tcp_punch == BK_NO)
        return 0;
    return a->tcp_punch == BK_YES && b->tcp_punch == BK_YES ? 1 : p->budget->tcp_success;
}

/* ---- a port is predicted ---- */

/* Side `i` is hit as soon as one port is right: the prober's is known, or
 * nobody asks for it. */
static bool one_port_decides(const struct oracle_pair *p, int i) {
    return p->view[1 - i].port == ORACLE_PORT_KNOWN || !asks_port(&p->view[i]);
}

/* A clock makes the ports: a dozen predictions. */
static double trials(double each) {
    double miss = 1;
    for (int i = 0; i < ORACLE_CLOCK_TRIALS; i++)
        miss *= 1 - each;
    return 1 - miss;
}

static uint32_t window(const struct oracle_pair *p, double mean, bool clock) {
    return clock ? least(ORACLE_CLOCK_WINDOW, p->budget->probes)
                 : chance_window(mean, enough, p->budget->probes);
}

/* The reached side asks a STUN server from a fresh socket, then opens its
 * mapping towards the peer at once: between the two the NAT may serve others
 * for one round trip to the server. */
static double predict(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    const struct oracle_view *v = &p->view[i];
    if (!has_addresses(p) || v->port != ORACLE_PORT_PREDICTED || !one_port_decides(p, i))
        return 0;
    if (!p->budget->low_ttl && probes_move(p, i))
        return 0;
    bool clock = v->trial < 1;
    o->mean_foreign = v->rate * seconds(p->budget->signal_rtt_us);
    o->window = least(window(p, o->mean_foreign, clock), p->view[1 - i].mappings);
    o->opens = 1;
    o->probes = o->window;
    return clock ? trials(v->trial) : chance_fewer(o->mean_foreign, o->window);
}

/* The share of ports that others get while a side opens mappings at its pace.
 */
static double intruders(const struct oracle_pair *p, const struct oracle_view *v) {
    return v->rate / (v->rate + p->budget->pace_pps);
}

/* A's i-th mapping is p + a + i, B's j-th q + b + j: p, q were predicted, a and
 * b others took. A aims all w of them at q + w, B aims its j-th at p + j. They
 * meet for j = w - b, i = w - b - a, and i >= 1 asks for a + b < w. Each side's
 * prediction is one round trip to the server older than a single one's, because
 * it has to reach the peer. */
static double fan(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    const struct oracle_view *a = &p->view[0], *b = &p->view[1];
    if (i != 0 || !has_addresses(p) || a->port != ORACLE_PORT_PREDICTED ||
        b->port != ORACLE_PORT_PREDICTED)
        return 0;
    if (!p->budget->low_ttl && (probes_move(p, 0) || probes_move(p, 1)))
        return 0;
    bool clock = a->trial < 1 || b->trial < 1;
    double age_s = 2 * seconds(p->budget->signal_rtt_us), mean = (a->rate + b->rate) * age_s;
    o->mean_foreign = a->rate * age_s;
    o->mean_other = b->rate * age_s;
    o->window = window(p, mean, clock);
    o->window = least(o->window, least(p->budget->sockets, least(a->mappings, b->mappings)));
    o->opens = o->probes = o->window;
    double each = chance_fewer(mean, o->window) * a->trial * b->trial;
    return clock ? trials(each) : each * (1 - intruders(p, a)) * (1 - intruders(p, b));
}

/* ---- a port is guessed ---- */

double oracle_guess_chance(const struct oracle_offer *o, uint32_t other, uint32_t n, uint32_t m) {
    if (o->method == BK_ORACLE_BIRTHDAY_MIXED) /* the prober's n are hit for certain, in order */
        return chance_meet(other, other, o->space, n, o->single ? 1 : o->targets);
    if (o->single) /* one mapping among m guesses, and one of those among n */
        return chance_meet(o->space, m, other, n, 1);
    return chance_meet(o->space, n, other, m, o->targets);
}

/* K fresh mappings of the reached side, n probes of the other, which need not know more of the
 * ports than that they are different: it works on counting NATs, too, and on those that go by a
 * clock. The prober's own port must be one port for all probes, and known well enough: each of the
 * K mappings is opened towards each port it may be. */
static double one_sided(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    const struct oracle_view *v = &p->view[i], *prober = &p->view[1 - i];
    const struct bk_oracle_budget *b = p->budget;
    if (!has_addresses(p) || v->port == ORACLE_PORT_KNOWN || (!b->low_ttl && probes_move(p, i)))
        return 0;
    o->found = 1;
    o->unaimed = prober->port != ORACLE_PORT_KNOWN && one_port_decides(p, i);
    if (!one_port_decides(p, i)) {
        if (prober->port != ORACLE_PORT_PREDICTED || !prober->one_port || prober->trial < 1)
            return 0;
        o->mean_foreign = prober->rate * 2 * seconds(b->signal_rtt_us);
        o->window = window(p, o->mean_foreign, false);
        o->found = chance_fewer(o->mean_foreign, o->window);
    }
    uint32_t room = least(b->sockets, v->mappings);
    uint32_t openers = b->sockets > b->probes ? b->sockets : b->probes; /* packets */
    bool own = prober->one_port; /* else every probe is a mapping of the prober's */
    o->targets = o->window > 1 ? o->window : 1;
    o->space = v->space;
    o->opens = least(least(room, openers / o->targets), v->space);
    o->probes = least(least(b->probes, own ? UINT32_MAX : prober->mappings), v->space);
    return o->found * chance_common(o->space, o->opens, o->probes);
}

static double block(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    return p->view[i].block ? one_sided(p, i, o) : 0;
}

/* Without block inference the block is somewhere in all the ports there are. */
static double birthday(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    if (!p->view[i].block)
        return one_sided(p, i, o);
    struct oracle_pair wide = *p;
    wide.view[i].space = ORACLE_ALL_PORTS;
    wide.view[i].block = false;
    return one_sided(&wide, i, o);
}

/* Both filters ask for the port; the prober's ports are predicted but it has a new one for each
 * packet. It opens n of them, p + 1 to p + n, aimed at a few ports of the other side; that one
 * sends to p + 1 to p + n, each time from a new mapping, which is one of its S ports, and the right
 * one with (n / targets) / S per target. With one mapping for all of it, that is right if it is any
 * of n targets. */
static double mixed(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    const struct oracle_view *guessed = &p->view[i], *v = &p->view[1 - i];
    const struct bk_oracle_budget *b = p->budget;
    if (!has_addresses(p) || guessed->port != ORACLE_PORT_GUESSED ||
        v->port != ORACLE_PORT_PREDICTED || v->trial < 1 ||
        (!b->low_ttl && (probes_move(p, 0) || probes_move(p, 1))))
        return 0;
    uint32_t n = least(b->probes, least(guessed->space, v->mappings));
    n = least(n, v->fresh_only ? b->sockets : UINT32_MAX);
    o->mean_foreign = v->rate * 2 * seconds(b->signal_rtt_us);
    o->window = o->opens = o->probes = guessed->one_port ? n : least(n, guessed->mappings);
    o->space = guessed->space;
    o->single = guessed->one_port;
    o->targets = (o->window + b->sockets - 1) / b->sockets;
    if (o->single || v->keeps)
        o->targets = v->fresh_only && !o->single ? 1 : o->window;
    return oracle_guess_chance(o, o->window, o->window, o->window) * (1 - intruders(p, v));
}

/* Everything is guessed. A side whose mapping serves all of the peer's ports needs only one of it,
 * and then there is only one way to meet: nothing is wasted, as in chance_meet() with one target.
 */
static double two_sided(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    const struct oracle_view *v = &p->view[i], *w = &p->view[1 - i];
    const struct bk_oracle_budget *b = p->budget;
    if (!has_addresses(p) || v->port == ORACLE_PORT_KNOWN || w->port == ORACLE_PORT_KNOWN ||
        (!b->low_ttl && (probes_move(p, 0) || probes_move(p, 1))))
        return 0;
    o->both_guess = true;
    o->single = v->one_port || w->one_port;
    o->space = v->space;
    o->opens = least(b->probes, v->one_port ? w->space : least(v->space, v->mappings));
    o->probes = least(b->probes, w->one_port ? v->space : least(w->space, w->mappings));
    o->targets = o->single ? o->opens : (o->opens + b->sockets - 1) / b->sockets;
    return oracle_guess_chance(o, w->space, o->opens, o->probes);
}

static double two_blocks(const struct oracle_pair *p, int i, struct oracle_offer *o) {
    return p->view[0].block && p->view[1].block ? two_sided(p, i, o) : 0;
}

/* ---- the best of them ---- */

static const struct {
    enum bk_oracle_method method;
    double (*offer)(const struct oracle_pair *pair, int reached, struct oracle_offer *out);
} methods[] = {
    {BK_ORACLE_DIRECT, direct},
    {BK_ORACLE_PUNCH, punch},
    {BK_ORACLE_PRFLX, prflx},
    {BK_ORACLE_INNER, inner},
    {BK_ORACLE_HAIRPIN, hairpin},
    {BK_ORACLE_IPV6, ipv6},
    {BK_ORACLE_PORT_MAPPING, port_mapping},
    {BK_ORACLE_PREDICT, predict},
    {BK_ORACLE_FAN, fan},
    {BK_ORACLE_BLOCK, block},
    {BK_ORACLE_BLOCK, two_blocks},
    {BK_ORACLE_BIRTHDAY_ONE, birthday},
    {BK_ORACLE_TCP, tcp},
    {BK_ORACLE_BIRTHDAY_MIXED, mixed},
    {BK_ORACLE_BIRTHDAY_TWO, two_sided},
};

/* A cheaper method wins unless a dearer one is better by this much; but
 * anything beats nothing. */
static const double worthwhile = 0.001;

static bool is_better(const struct oracle_offer *o, const struct oracle_offer *best) {
    double margin = best->method == BK_ORACLE_RELAY ? 1e-9 : worthwhile;
    return o->p > best->p + margin;
}

void oracle_offer_best(const struct oracle_pair *p, struct oracle_offer *out) {
    *out = (struct oracle_offer){.method = BK_ORACLE_RELAY};
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
        if ((p->budget->methods & 1U << methods[m].method) == 0)
            continue;
        struct oracle_offer way[2] = {{.method = methods[m].method, .reached = 0},
                                      {.method = methods[m].method, .reached = 1}};
        way[0].p = methods[m].offer(p, 0, &way[0]);
        way[1].p = methods[m].offer(p, 1, &way[1]);
        const struct oracle_offer *better = way[1].p > way[0].p ? &way[1] : &way[0];
        if (is_better(better, out))
            *out = *better;
    }
}
