/* SPDX-License-Identifier: MIT
 * The life of one step on one side: prepare, tell, begin together, send, wait. */
#include "punch/chance.h"
#include "punch/note.h"
#include "punch/state.h"

#include "base/assert.h"

enum { GRACE_US = 50000, PORT_LOW = 4096 };

static bool leads(const struct punch *p) {
    return p->me == 0;
}

static struct punch_step *record(struct punch *p) {
    return p->step_count > 0 ? &p->steps[p->step_count - 1] : NULL;
}

static void change(struct punch *p, enum phase to, struct bk_time until) {
    p->phase = to;
    p->until = until;
}

static void tell(struct punch *p) {
    p->note_new = true;
}

/* ---- the end ---- */

/* Nothing more is sent; what is under way may still hit. */
static void spent(struct punch *p) {
    p->note[p->me].spent = true;
    tell(p);
    bool both = p->note[1 - p->me].spent;
    int64_t grace_us = punch_peer_rtt_us(p) + GRACE_US;
    change(p, PHASE_SPENT, leads(p) && both ? bk_after(p->now, grace_us) : p->patience);
}

void step_end(struct punch *p) {
    bool under_way = p->phase == PHASE_PREPARE || p->phase == PHASE_SYNC || p->phase == PHASE_RUN ||
                     p->phase == PHASE_SPENT;
    if (under_way) {
        struct punch_step *s = record(p);
        s->took_us = bk_elapsed_us(p->started, p->now) - s->begun_us;
        change(p, PHASE_IDLE, BK_NEVER);
    }
}

/* ---- our aim, and theirs ---- */

/* The port that our next mapping should get, from the one that a STUN server saw last. */
static void foretell(struct punch *p, const struct bk_addr *seen, struct punch_note *n) {
    const struct bk_nat_traits *t = &p->traits[p->me];
    int32_t step = t->step != 0 ? t->step : 1;
    if (t->ports == BK_NAT_PORTS_TIME) { /* where the clock will be, and as much on either side */
        double ahead = t->ports_per_s * (double)bk_elapsed_us(p->asked, p->now) / 1e6;
        step = ahead >= 0 && ahead < 32768 ? (int32_t)ahead - n->window / 2 : 0;
        n->stride = 1;
    } else if (step >= INT16_MIN && step <= INT16_MAX) {
        n->stride = (int16_t)step;
    }
    struct forecast f = {seen->port, step, t->port_min, t->port_max};
    n->aim.port = n->stride != 0 ? forecast_at(&f, 1) : 0;
}

/* An answer that had to be repeated says where the ports were, not where they are. */
static bool is_stale(const struct punch *p) {
    const struct bk_nat_traits *t = &p->traits[p->me];
    double age_s = (double)bk_elapsed_us(p->asked, p->now) / 1e6;
    return p->seen.port != 0 && t->ports == BK_NAT_PORTS_SEQUENTIAL && t->foreign_per_s > 0 &&
           chance_fewer(t->foreign_per_s * age_s, p->note[0].window) < 0.9;
}

/* Has this side's next mapping to be predicted, rather than its present one to be told? */
static bool foretells(const struct punch *p) {
    const struct part *a = &p->part;
    return a->asks && a->first != PUNCH_ASKER && (p->note[0].window > 0 || a->keeps);
}

static struct bk_ip our_ip(const struct punch *p) {
    if (p->mapped.ip.family != BK_FAMILY_NONE)
        return p->mapped.ip;
    return bk_ipv4(0, 0, 0, 0); /* as the peer knows us */
}

static void tell_ports(struct punch *p, struct punch_note *n) {
    struct port_set set = part_ports(p, p->me);
    n->min = set.min;
    n->max = set.max;
    n->run = set.run;
    n->gap = set.gap;
}

/* The block of a host whose NAT gives blocks: it holds the port that was seen. */
static void tell_block(struct punch *p, uint16_t seen, struct punch_note *n) {
    const struct bk_nat_traits *t = &p->traits[p->me];
    if (t->port_min == 0 || seen < t->port_min || seen > t->port_max || t->port_count == 0)
        return;
    uint32_t first = t->port_min + (seen - t->port_min) / t->port_count * t->port_count;
    uint32_t last = first + t->port_count - 1;
    n->min = (uint16_t)first;
    n->max = (uint16_t)(last < t->port_max ? last : t->port_max);
    n->run = n->gap = 0;
}

/* The next fresh socket is a neighbour; the same one's next mapping is as far off as the NAT goes
 * when a port is taken. */
static int16_t kept_stride(const struct punch *p, uint8_t method) {
    int32_t step = p->traits[p->me].step;
    bool far = method != BK_ORACLE_FAN && step > 0 && step <= INT16_MAX;
    return (int16_t)(far ? step : 1);
}

/* `seen`: by a STUN server, from PUNCH_ASKER; family 0: by none. */
static void tell_aim(struct punch *p, const struct bk_addr *seen) {
    struct punch_note *n = &p->note[p->me];
    const struct part *a = &p->part;
    bool probing = a->first == PUNCH_SHARED;
    n->aim = (struct bk_addr){our_ip(p), 0};
    n->stride = 0;
    tell_ports(p, n);
    if (seen->ip.family != BK_FAMILY_NONE)
        n->aim.ip = seen->ip;
    if (a->keeps) {
        n->aim.port = p->socks.port[a->first];
        n->stride = kept_stride(p, n->method);
    } else if (foretells(p) && seen->port != 0) {
        foretell(p, seen, n);
    } else if (a->asks && a->first == PUNCH_ASKER) {
        n->aim.port = seen->port;
    } else if (a->asks) {
        tell_block(p, seen->port, n);
    } else if (probing && p->traits[p->me].mapping != BK_NAT_AD &&
               p->traits[p->me].mapping != BK_NAT_APD) {
        n->aim.port = p->mapped.port;
    }
    p->told = true;
    p->note_left = p->now;
    tell(p);
}

static const struct punch_note *theirs(const struct punch *p) {
    return &p->note[1 - p->me];
}

static bool has_said(const struct punch_note *n) {
    return n->aim.ip.family != BK_FAMILY_NONE;
}

static uint32_t port_of(const struct part *a, uint32_t shot) {
    if (a->diagonal)
        return shot;
    return a->across ? shot / a->sockets : shot % a->targets;
}

/* Where a shot goes; port 0: nobody knows. */
static struct bk_addr target_of(const struct punch *p, uint32_t shot) {
    const struct part *a = &p->part;
    const struct punch_note *n = theirs(p);
    struct bk_addr to = {punch_peer_ip(p), 0};
    if (has_said(n) && punch_is_peer_ip(p, &n->aim.ip))
        to.ip = n->aim.ip;
    uint32_t j = port_of(a, shot);
    switch (a->to) {
    case PART_AIM:
        to.port = n->aim.port;
        for (size_t i = 0; i < p->peer_count && to.port == 0; i++) {
            if (bk_ip_equal(&p->peer[i].ip, &to.ip))
                to.port = p->peer[i].port;
        }
        if (j > 0 && to.port != 0) /* one port is as good as another, and makes another mapping */
            to.port = (uint16_t)(to.port > PORT_LOW ? to.port - j : to.port + j);
        break;
    case PART_FORECAST:
        if (n->aim.port != 0) {
            struct forecast f = {n->aim.port, n->stride, n->min, n->max};
            to.port = forecast_at(&f, a->offset + j);
        }
        break;
    case PART_RANDOM:
        to.port = port_walk_at(&p->walk, j);
        break;
    }
    return to;
}

/* ---- preparing ---- */

static uint16_t last_socket(const struct part *a) {
    return (uint16_t)(a->first + a->sockets - 1);
}

/* Opens sockets up to `upto`. Where ports are kept they are to be neighbours, as the ports of a
 * counting NAT are. */
static void want_sockets(struct punch *p, uint16_t upto) {
    const struct part *a = &p->part;
    if (a->first == PUNCH_SHARED)
        return;
    upto = upto < last_socket(a) ? upto : last_socket(a);
    for (; p->wanted <= upto; p->wanted++) {
        uint16_t after = (uint16_t)(p->wanted - a->first);
        uint16_t base = a->keeps && after > 0 ? p->socks.port[a->first] : 0;
        socks_want(&p->socks, p->wanted, base != 0 ? (uint16_t)(base + after) : 0);
    }
}

static void begin_run(struct punch *p) {
    struct part *a = &p->part;
    if (a->to == PART_RANDOM) {
        struct port_set set = part_ports(p, 1 - p->me); /* perhaps they know better by now */
        port_walk_init(&p->walk, &set, &p->config.rng);
        if (a->targets > p->walk.count) {
            a->targets = (uint16_t)p->walk.count;
            a->shots = (uint32_t)a->sockets * a->targets;
        }
    }
    change(p, PHASE_RUN, p->patience);
    p->round = p->now;
    pace_begin(&p->pace, a->burst, p->config.pace_pps, p->config.pace_max_pps, p->now);
}

/* Both begin when the later of the two notes arrives. */
static void sync(struct punch *p) {
    const struct part *a = &p->part;
    struct part other;
    part_of(p, 1 - p->me, &other);
    if (a->needs && !a->at_once && !has_said(theirs(p))) {
        change(p, PHASE_SYNC, p->patience);
        return;
    }
    struct bk_time at = p->now;
    bool awaited = leads(p) || (other.needs && !other.at_once);
    if (!a->at_once && awaited)
        at = bk_later(at, bk_after(p->note_left, punch_signal_us(p) / 2));
    at = bk_after(at, a->delay_us);
    change(p, PHASE_SYNC, at);
    if (bk_due(at, p->now))
        begin_run(p);
}

static bool waits_for(const struct punch *p, uint16_t socket) {
    uint8_t state = p->socks.state[socket];
    return state != SOCK_OPEN && state != SOCK_NONE;
}

static void prepared(struct punch *p) {
    const struct part *a = &p->part;
    tell_aim(p, &p->seen);
    if (a->asks && a->first != PUNCH_ASKER)
        socks_close_one(&p->socks, PUNCH_ASKER);
    if (a->shots > 0 && socks_is_open(&p->socks, a->first))
        sync(p);
    else
        spent(p); /* there is no socket to be had */
}

/* Everything is ready as soon as the STUN answer came and the first socket is open. */
static void prepare(struct punch *p) {
    const struct part *a = &p->part;
    uint8_t asker = p->socks.state[PUNCH_ASKER];
    if (a->asks && asker == SOCK_OPEN && bk_is_never(p->asked)) {
        socks_ask(&p->socks, PUNCH_ASKER);
        p->asked = p->now;
        p->until = bk_after(p->now, PUNCH_ASK_US);
    }
    bool answered = !a->asks || p->answered || asker == SOCK_NONE;
    if (answered && !waits_for(p, a->first))
        prepared(p);
}

static void start_preparing(struct punch *p) {
    const struct part *a = &p->part;
    if (a->asks)
        socks_want(&p->socks, PUNCH_ASKER, 0);
    p->wanted = a->first;
    if (a->asks && a->first == PUNCH_ASKER)
        p->wanted++;
    want_sockets(p, a->first);
    change(p, PHASE_PREPARE, bk_after(p->now, PUNCH_ASK_US));
    prepare(p);
}

/* What both sides may take at most, and a little. */
static int64_t lasts_us(const struct punch *p, int side) {
    struct part a;
    part_of(p, side, &a);
    uint32_t rounds = a.shots > 0 ? (a.shots + a.repeats - 1) / a.shots : 0;
    int64_t paced = pace_lasts_us(a.shots + a.repeats, a.burst, p->config.pace_pps);
    int64_t gaps = (int64_t)rounds * a.gap_us;
    return a.delay_us +
           (paced > gaps ? paced : gaps + pace_lasts_us(a.shots, a.burst, p->config.pace_pps));
}

static struct bk_time patience(const struct punch *p) {
    int64_t mine = lasts_us(p, p->me), others = lasts_us(p, 1 - p->me);
    int64_t us = 2 * punch_signal_us(p) + PUNCH_ASK_US + (mine > others ? mine : others) +
                 punch_peer_rtt_us(p) + GRACE_US;
    return bk_after(p->now, leads(p) ? us : 2 * us); /* the leader says when it is over */
}

void step_begin(struct punch *p, const struct punch_note *words) {
    bk_assert(p->step_count < PUNCH_STEPS_MAX);
    step_end(p);
    socks_close(&p->socks, PUNCH_SHARED);
    p->note[0] = *words;
    p->note[1] = (struct punch_note){.step = words->step, .attempt = words->attempt};
    p->note[1].method = words->method;
    p->note[1].window = words->window;
    p->note[1].reached = words->reached;
    p->told = false;
    p->note_left = p->now;
    p->asked = BK_NEVER;
    p->answered = false;
    p->asks_again = 2;
    p->seen = (struct bk_addr){.port = 0};
    p->shot = 0;
    part_of(p, p->me, &p->part);
    p->steps[p->step_count++] = (struct punch_step){
        .method = words->method,
        .reached = words->reached,
        .begun_us = bk_elapsed_us(p->started, p->now),
    };
    p->patience = patience(p);
    if (leads(p) && p->part.announces)
        tell(p);
    if (p->part.last && !has_said(theirs(p)))
        change(p, PHASE_SYNC, p->patience);
    else
        start_preparing(p);
}

void step_heard(struct punch *p) {
    if (p->phase == PHASE_SYNC && p->told)
        sync(p);
    else if (p->phase == PHASE_SYNC && has_said(theirs(p)))
        start_preparing(p);
    else if (p->phase == PHASE_SPENT && leads(p) && theirs(p)->spent)
        p->until = bk_earlier(p->until, bk_after(p->now, punch_peer_rtt_us(p) + GRACE_US));
}

void step_mapped(struct punch *p, uint16_t socket, const struct bk_addr *mapped) {
    if (socket != PUNCH_ASKER || p->phase != PHASE_PREPARE || !p->part.asks || p->answered)
        return;
    p->seen = *mapped;
    if (foretells(p) && p->asks_again > 0 && is_stale(p)) {
        p->asks_again--;
        p->asked = BK_NEVER;
        socks_close_one(&p->socks, PUNCH_ASKER);
        socks_want(&p->socks, PUNCH_ASKER, 0);
        return;
    }
    p->answered = true;
    prepare(p);
}

/* ---- sending ---- */

static uint32_t mappings_max(const struct punch *p) {
    uint32_t measured = p->traits[p->me].mappings_max;
    return measured != 0 ? measured : PUNCH_MAPPINGS_MAX;
}

/* May one more leave? It ends the step if not. */
static bool has_shot(struct punch *p) {
    const struct part *a = &p->part;
    bool more =
        a->shots > 0 && p->shot < a->shots + a->repeats && p->stats.packets < p->config.packets_max;
    bool fresh = p->shot < a->shots;
    if (more && (!fresh || p->mappings < mappings_max(p)))
        return true;
    spent(p);
    return false;
}

static uint16_t socket_of(const struct part *a, uint32_t shot) {
    if (a->first == PUNCH_SHARED)
        return PUNCH_SHARED;
    uint32_t after = a->across ? shot % a->sockets : shot / a->targets;
    return (uint16_t)(a->first + (a->diagonal ? shot : after));
}

/* The next round begins a while after the one before. */
static bool is_time(struct punch *p) {
    uint32_t shot = p->shot % p->part.shots;
    if (shot == 0 && p->shot > 0) {
        struct bk_time next = bk_after(p->round, p->part.gap_us);
        p->pace.next = bk_later(p->pace.next, next);
    }
    if (!bk_due(p->pace.next, p->now))
        return false;
    if (shot == 0)
        p->round = p->now;
    return true;
}

static void count(struct punch *p) {
    p->stats.packets++;
    record(p)->packets++;
    if (p->shot < p->part.shots)
        p->mappings++;
}

/* Would this shot come too early, if it came to the peer's box? Probes may be late, because notes
 * are. Between known ports both begin at a time. */
static bool is_shy(const struct punch *p) {
    bool first_round = p->shot < p->part.shots;
    return first_round || (!plan_is_plain(p->note[0].method) && !theirs(p)->spent);
}

/* Fills *out for the shot that is due. false: it has no socket or no port; it counts as sent. */
static bool shoot(struct punch *p, uint16_t socket, struct punch_action *out) {
    uint32_t shot = p->shot % p->part.shots;
    struct bk_addr to = target_of(p, shot);
    bool low = p->part.low_ttl && is_shy(p);
    if (to.port == 0 || !punch_is_peer_ip(p, &to.ip) || !socks_is_open(&p->socks, socket))
        return false;
    *out = (struct punch_action){
        .kind = PUNCH_CHECK, .socket = socket, .remote = to, .ttl = low ? p->ttl : 0};
    return true;
}

bool step_next_check(struct punch *p, struct punch_action *out) {
    while (p->phase == PHASE_RUN && has_shot(p) && is_time(p)) {
        uint16_t socket = socket_of(&p->part, p->shot % p->part.shots);
        if (socket != PUNCH_SHARED) {
            want_sockets(p, (uint16_t)(socket + PUNCH_SOCKETS_AHEAD));
            if (waits_for(p, socket))
                return false; /* until punch_opened() */
        }
        bool sent = shoot(p, socket, out);
        if (sent) {
            count(p);
            pace_sent(&p->pace, p->now);
        }
        p->shot++;
        if (sent)
            return true;
    }
    return false;
}

/* ---- time ---- */

void step_advance(struct punch *p) {
    switch (p->phase) {
    case PHASE_PREPARE:
        prepare(p);
        if (p->phase == PHASE_PREPARE && bk_due(p->until, p->now)) {
            (void)socks_answered(&p->socks, PUNCH_ASKER);
            prepared(p);
        }
        break;
    case PHASE_SYNC:
        if (!bk_due(p->until, p->now))
            break;
        if (!p->told || (p->part.needs && !p->part.at_once && !has_said(theirs(p))))
            spent(p);
        else
            begin_run(p);
        break;
    case PHASE_RUN:
        if (bk_due(p->patience, p->now))
            spent(p);
        break;
    case PHASE_IDLE:
    case PHASE_WAIT:
    case PHASE_SPENT:
    case PHASE_OVER:
        break;
    }
}

struct bk_time step_deadline(const struct punch *p) {
    if (p->phase != PHASE_RUN)
        return p->until;
    const struct part *a = &p->part;
    uint16_t socket = a->shots == 0 ? PUNCH_SHARED : socket_of(a, p->shot % a->shots);
    bool stuck = socket != PUNCH_SHARED && waits_for(p, socket);
    return stuck ? p->patience : bk_earlier(p->pace.next, p->patience);
}
