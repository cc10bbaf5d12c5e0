/* SPDX-License-Identifier: MIT
 * Who does what in a step: one function per kind of method. `docs/oracle.md` has the rules,
 * sim/oracle_play.c the same methods without a protocol. Sockets are numbered from PUNCH_ASKER,
 * which is the one that asks a STUN server where one is needed. */
#include "punch/state.h"

enum {
    PORT_MIN = 1024, /* RFC 4787 section 4.2.1: nobody hands out the well-known ones */
    PORT_MAX = 65535,
    BURST_FEW = 128,  /* a block's whole search */
    BURST_MANY = 64,  /* of a birthday's: the first packets are the dearest to wait for */
    ROUNDS_PLAIN = 4, /* beside the first: six checks a side are enough, the checker's included */
    REPEATS_PREDICT = 6,
    OPENERS_AGAIN = 256,
    MARGIN_US = 20000
};

/* ---- what is known of a side ---- */

static bool keeps(const struct bk_nat_traits *t) {
    return t->ports == BK_NAT_PORTS_PRESERVE && t->mapping != BK_NAT_EI;
}

/* Lets in only the port that it sent to; who does not know must fear it. */
static bool asks_port(const struct bk_nat_traits *t) {
    return t->filtering == BK_NAT_APD || t->filtering == BK_NAT_DEP_UNKNOWN;
}

/* Its ports are known to be fewer than all of a range, which is not known to be its own. */
static bool is_scattered(const struct bk_nat_traits *t) {
    uint16_t run, gap;
    return t->port_min != 0 && t->port_min <= t->port_max && t->port_count != 0 &&
           t->port_count < (uint32_t)(t->port_max - t->port_min) + 1 && !part_runs(t, &run, &gap);
}

/* MAP-E (RFC 7597 section 5.1): of 2^a blocks, all but the first, the same 2^m ports. */
bool part_runs(const struct bk_nat_traits *t, uint16_t *run, uint16_t *gap) {
    for (uint32_t a = 1; a <= 12 && t->port_count != 0; a++) {
        uint32_t blocks = UINT32_C(1) << a, every = UINT32_C(65536) >> a;
        uint32_t each = t->port_count / (blocks - 1), last = (blocks - 2) * every;
        if (t->port_min / every == 1 && each > 0 && each <= every &&
            each * (blocks - 1) == t->port_count && t->port_min + last + each - 1 == t->port_max) {
            *run = (uint16_t)each;
            *gap = (uint16_t)every;
            return true;
        }
    }
    return false;
}

struct port_set part_ports(const struct punch *p, int side) {
    const struct punch_note *n = &p->note[side];
    const struct bk_nat_traits *t = &p->traits[side];
    struct port_set s = {n->min, n->max, n->run, n->gap};
    if (s.min != 0 && s.min <= s.max)
        return s;
    s = (struct port_set){.min = PORT_MIN, .max = PORT_MAX};
    if (t->port_max != 0 && t->port_min != 0 && t->port_min <= t->port_max) {
        s.min = t->port_min;
        s.max = t->port_max;
        if (t->port_count != 0 && !part_runs(t, &s.run, &s.gap))
            s.run = s.gap = 0;
    }
    return s;
}

/* ---- the methods ---- */

/* Both ask from a fresh socket and check from it. Not at once means that the reached side goes
 * ahead: a box that is spoilt by what comes first is then not. */
static void plain(const struct punch *p, int side, struct part *out) {
    const struct punch_note *words = &p->note[0];
    out->asks = out->announces = out->needs = true;
    out->first = PUNCH_ASKER;
    out->repeats = ROUNDS_PLAIN;
    out->low_ttl = p->traits[1 - side].inbound_first != BK_NO;
    out->delay_us = words->window > 0 && side != words->reached ? punch_peer_rtt_us(p) : 0;
}

/* Must the prober take a socket that nobody has sent to yet? Its shared one may have another port
 * by now: what the peer checked by itself has spoilt it. */
static bool is_fresh(const struct punch *p) {
    const struct punch_note *words = &p->note[0];
    int prober = 1 - words->reached;
    bool again = words->method == BK_ORACLE_PREDICT && p->me == 0 && prober == 0 &&
                 p->tries[words->reached][BK_ORACLE_PREDICT] > 1;
    return again || p->traits[prober].inbound_first == BK_YES;
}

/* Between the STUN answer and the opener as little time as possible: others take ports. The
 * opener's first packet makes the mapping; the others come in case a probe, which has opened the
 * prober's door by then, was lost. */
static void predict(const struct punch *p, int side, struct part *out) {
    const struct punch_note *words = &p->note[0];
    const struct bk_nat_traits *mine = &p->traits[side], *theirs = &p->traits[1 - side];
    if (side == words->reached) {
        out->keeps = keeps(mine);
        out->asks = !out->keeps;
        out->at_once = true;
        out->last = out->announces = is_fresh(p);
        out->first = PUNCH_ASKER + 1;
        out->repeats = REPEATS_PREDICT - 1;
        out->low_ttl = theirs->inbound_first != BK_NO && asks_port(mine);
        return;
    }
    out->asks = is_fresh(p);
    out->first = out->asks ? PUNCH_ASKER : PUNCH_SHARED;
    out->needs = true;
    out->to = PART_FORECAST;
    out->targets = words->window;
    out->repeats = REPEATS_PREDICT;
}

static void fan(const struct punch *p, int side, struct part *out) {
    const struct punch_note *words = &p->note[0];
    out->keeps = keeps(&p->traits[side]);
    out->asks = !out->keeps;
    out->announces = out->needs = true;
    out->first = PUNCH_ASKER + 1;
    out->sockets = words->window;
    out->to = PART_FORECAST;
    out->repeats = REPEATS_PREDICT;
    out->diagonal = side != words->reached;
    out->offset = out->diagonal || words->window == 0 ? 0 : (uint16_t)(words->window - 1);
}

/* May no probe leave before the last opener? Not when an opener hits nothing by itself, unless
 * there are so many that it pays to begin at once. */
static bool is_ordered(const struct punch *p) {
    const struct punch_note *words = &p->note[0];
    const struct bk_nat_traits *reached = &p->traits[words->reached];
    const struct bk_nat_traits *prober = &p->traits[1 - words->reached];
    bool unaimed = prober->mapping != BK_NAT_EI && !asks_port(reached);
    bool delicate = prober->inbound_first == BK_YES && asks_port(reached);
    return words->window == 0 && words->ports[words->reached] == 1 && (unaimed || delicate);
}

/* A window says that the prober's own port is predicted, and has to be right. */
static void one_sided(const struct punch *p, int side, struct part *out) {
    const struct punch_note *words = &p->note[0];
    bool block = words->method == BK_ORACLE_BLOCK, predicted = words->window > 0;
    const struct bk_nat_traits *mine = &p->traits[side], *theirs = &p->traits[1 - side];
    uint32_t openers = (uint32_t)words->sockets[words->reached] * words->ports[words->reached];
    bool ordered = is_ordered(p);
    out->targets = words->ports[side];
    out->burst = block || ordered ? BURST_FEW : BURST_MANY;
    if (side == words->reached) {
        out->asks = block && is_scattered(mine);
        out->needs = predicted || is_fresh(p);
        out->announces = out->needs;
        out->first = out->asks ? PUNCH_ASKER + 1 : PUNCH_ASKER;
        out->sockets = words->sockets[side];
        out->to = predicted ? PART_FORECAST : PART_AIM;
        out->across = !predicted && out->targets > 1; /* the first ones to the port that counts */
        out->low_ttl = theirs->inbound_first == BK_YES && asks_port(mine);
        if ((block && !out->low_ttl) || openers > OPENERS_AGAIN || (ordered && !out->low_ttl))
            return;
        /* Once more, as the last probes leave: those before it may have been lost. At a box that
         * they would spoil they come after all of them. */
        int64_t first_us = pace_lasts_us(openers, out->burst, p->config.pace_pps);
        int64_t probes_us = pace_lasts_us(words->ports[1 - side], out->burst, p->config.pace_pps);
        out->repeats = openers;
        out->gap_us = ordered ? first_us + probes_us + MARGIN_US : probes_us - first_us;
        return;
    }
    out->keeps = predicted && keeps(mine);
    out->asks = predicted ? !out->keeps : is_fresh(p);
    out->at_once = predicted;
    out->needs = !predicted && block && is_scattered(theirs);
    out->first = predicted ? PUNCH_ASKER + 1 : out->asks ? PUNCH_ASKER : PUNCH_SHARED;
    out->to = PART_RANDOM;
    if (ordered)
        out->delay_us = pace_lasts_us(openers, out->burst, p->config.pace_pps) + MARGIN_US;
}

static void mixed(const struct punch *p, int side, struct part *out) {
    const struct punch_note *words = &p->note[0];
    out->burst = BURST_MANY;
    out->sockets = words->sockets[side];
    out->targets = words->ports[side];
    if (side == words->reached) {
        out->first = PUNCH_ASKER;
        out->needs = true;
        out->to = PART_FORECAST;
        return;
    }
    out->keeps = keeps(&p->traits[side]);
    out->asks = !out->keeps;
    out->at_once = true;
    out->first = PUNCH_ASKER + 1;
    out->to = PART_RANDOM;
}

static void two_sided(const struct punch *p, int side, struct part *out) {
    const struct punch_note *words = &p->note[0];
    out->burst = BURST_MANY;
    out->first = PUNCH_ASKER;
    out->sockets = words->sockets[side];
    out->targets = words->ports[side];
    out->to = PART_RANDOM;
}

/* ---- bounds ---- */

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static void bound(const struct punch *p, int side, struct part *out) {
    uint32_t room = PUNCH_SOCKETS_MAX - (out->first == PUNCH_SHARED ? PUNCH_ASKER : out->first);
    room = least(room, p->config.sockets_max);
    out->sockets = (uint16_t)least(out->sockets, out->first == PUNCH_SHARED ? 1 : room);
    out->targets = (uint16_t)least(out->targets, p->config.probes_max);
    if (out->to == PART_RANDOM) {
        struct port_set set = part_ports(p, 1 - side);
        out->targets = (uint16_t)least(out->targets, port_set_count(&set));
    }
    out->shots = (uint32_t)out->sockets * (out->diagonal ? 1 : out->targets);
    out->shots = least(out->shots, p->config.probes_max);
    out->repeats = out->shots == 0 ? 0 : out->repeats;
    int64_t round_us = punch_peer_rtt_us(p) + MARGIN_US;
    out->gap_us = out->gap_us > round_us ? out->gap_us : round_us;
}

void part_of(const struct punch *p, int side, struct part *out) {
    const struct punch_note *words = &p->note[0];
    *out = (struct part){.sockets = 1, .targets = 1, .burst = BURST_FEW};
    switch ((enum bk_oracle_method)words->method) {
    case BK_ORACLE_DIRECT:
    case BK_ORACLE_PUNCH:
    case BK_ORACLE_PRFLX:
        plain(p, side, out);
        break;
    case BK_ORACLE_PREDICT:
        predict(p, side, out);
        break;
    case BK_ORACLE_FAN:
        fan(p, side, out);
        break;
    case BK_ORACLE_BLOCK:
    case BK_ORACLE_BIRTHDAY_ONE:
        if (words->both)
            two_sided(p, side, out);
        else
            one_sided(p, side, out);
        break;
    case BK_ORACLE_BIRTHDAY_MIXED:
        mixed(p, side, out);
        break;
    case BK_ORACLE_BIRTHDAY_TWO:
        two_sided(p, side, out);
        break;
    case BK_ORACLE_INNER:
    case BK_ORACLE_HAIRPIN:
    case BK_ORACLE_IPV6:
    case BK_ORACLE_PORT_MAPPING:
    case BK_ORACLE_TCP:
    case BK_ORACLE_RELAY:
        out->sockets = 0; /* others do these */
        break;
    }
    bound(p, side, out);
}
