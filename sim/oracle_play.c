/* SPDX-License-Identifier: MIT */
#include "sim/oracle_play.h"

#include "base/assert.h"
#include "sim/oracle_stage.h"

enum { ROUNDS = 5, PORTS = 65536 };

/* ---- ports to come ---- */

/* What the next mappings of a side will be: the `first`-th, the one after it ... */
struct forecast {
    int side;
    uint16_t first; /* the port of number 1 */
};

/* The j-th port, j from 1: a kept port is the socket's own, a counted one goes round its range. */
static uint16_t forecast_port(const struct stage *s, const struct forecast *f, uint32_t j) {
    const struct nat_config *c = &s->sides[f->side].box;
    if (c->ports != NAT_PORT_SEQUENTIAL)
        return (uint16_t)(f->first + j - 1);
    int64_t len = c->port_max - c->port_min + 1;
    int64_t rank = f->first - c->port_min + (int64_t)c->port_step * (j - 1);
    return (uint16_t)(c->port_min + (rank % len + len) % len);
}

/* Asks STUN from a fresh socket, as late as possible. */
static struct forecast forecast(struct stage *s, int side) {
    const struct nat_config *c = &s->sides[side].box;
    struct forecast f = {.side = side, .first = s->next_socket[side]};
    if (c->ports == NAT_PORT_SEQUENTIAL) {
        f.first = stage_stun(s, side, stage_socket(s, side)).port;
        f.first = forecast_port(s, &f, 2);
    }
    return f;
}

static struct bk_addr at(const struct stage *s, int side, uint16_t port) {
    return bk_addr(s->sides[side].box.external[0], port);
}

/* `count` different ports of a side's range, in random order, from `store`. */
static void shuffle(struct stage *s, int side, uint16_t *store, uint32_t count) {
    const struct nat_config *c = &s->sides[side].box;
    uint32_t len = (uint32_t)(c->port_max - c->port_min) + 1;
    bk_assert(count <= len);
    for (uint32_t i = 0; i < len; i++)
        store[i] = (uint16_t)(c->port_min + i);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t j = i + rng_below(&s->rng, len - i);
        uint16_t held = store[i];
        store[i] = store[j];
        store[j] = held;
    }
}

/* ---- one known port, or two ---- */

static void play_direct(struct stage *s, int reached) {
    struct bk_addr open = stage_stun(s, reached, stage_socket(s, reached));
    stage_send(s, 1 - reached, stage_socket(s, 1 - reached), &open);
}

/* Both send to what STUN showed, again and again; both leave before either arrives, unless one is
 * late by more than a flight. */
static void play_punch(struct stage *s, const struct oracle_play_options *o) {
    uint16_t socket[2] = {stage_socket(s, 0), stage_socket(s, 1)};
    struct bk_addr seen[2] = {stage_stun(s, 0, socket[0]), stage_stun(s, 1, socket[1])};
    int early = 1 - o->late_side;
    struct nat_header packet[2];
    if (o->low_ttl) {
        for (int i = 0; i < 2; i++) {
            (void)stage_leave(s, i, socket[i], &seen[1 - i], &packet[i]);
            s->try.sent[i]++;
        }
    } else if (o->late_us > s->budget->rtt_us / 2) {
        stage_send(s, early, socket[early], &seen[o->late_side]);
    }
    for (int round = 0; round < ROUNDS && !s->try.met; round++) {
        bool left[2];
        for (int i = 0; i < 2; i++) {
            left[i] = stage_leave(s, i, socket[i], &seen[1 - i], &packet[i]);
            s->try.sent[i]++;
        }
        for (int i = 0; i < 2; i++) {
            if (left[i])
                stage_arrive(s, i, &packet[i]);
        }
        stage_step(s);
    }
}

/* ---- prediction ---- */

static void play_predict(struct stage *s, const struct bk_oracle_verdict *v, int reached,
                         const struct oracle_play_options *o) {
    int prober = 1 - reached;
    uint16_t from = stage_socket(s, prober);
    struct bk_addr known = stage_stun(s, prober, from);
    struct forecast f = forecast(s, reached);
    stage_pass(s, s->budget->signal_rtt_us);
    struct nat_header opener;
    bool left = stage_leave(s, reached, stage_socket(s, reached), &known, &opener);
    s->try.sent[reached]++;
    if (left && !o->low_ttl)
        stage_arrive(s, reached, &opener);
    for (uint32_t j = 1; j <= v->window && !s->try.met; j++) {
        struct bk_addr dst = at(s, reached, forecast_port(s, &f, j));
        stage_send(s, prober, from, &dst);
        stage_step(s);
    }
}

static void play_fan(struct stage *s, const struct bk_oracle_verdict *v, int opener) {
    int other = 1 - opener;
    struct forecast mine = forecast(s, opener), theirs = forecast(s, other);
    stage_pass(s, 2 * s->budget->signal_rtt_us);
    struct bk_addr target = at(s, other, forecast_port(s, &theirs, v->window));
    for (uint32_t j = 1; j <= v->window && !s->try.met; j++) {
        struct bk_addr dst = at(s, opener, forecast_port(s, &mine, j));
        struct nat_header a, b;
        bool left_a = stage_leave(s, opener, stage_socket(s, opener), &target, &a);
        bool left_b = stage_leave(s, other, stage_socket(s, other), &dst, &b);
        s->try.sent[0]++;
        s->try.sent[1]++;
        if (left_a)
            stage_arrive(s, opener, &a);
        if (left_b)
            stage_arrive(s, other, &b);
        stage_step(s);
    }
}

/* ---- guessing ---- */

/* Where the openers aim: at the prober's known port, at any if nobody asks, or at the few that its
 * next mapping may be. Fills `aim`, returns the socket the prober will use. */
static uint16_t aim_at_prober(struct stage *s, int prober, const struct bk_oracle_verdict *v,
                              struct bk_addr *aim, uint32_t count) {
    uint16_t from = stage_socket(s, prober);
    if (v->window == 0) {
        aim[0] = stage_stun(s, prober, from);
        return from;
    }
    struct forecast f = {.side = prober, .first = from};
    if (s->sides[prober].box.ports == NAT_PORT_SEQUENTIAL)
        f = forecast(s, prober);
    stage_pass(s, 2 * s->budget->signal_rtt_us);
    for (uint32_t i = 0; i < count; i++)
        aim[i] = at(s, prober, forecast_port(s, &f, i + 1));
    return from;
}

enum { AIMS_MAX = 256 };

static void play_one_sided(struct stage *s, const struct bk_oracle_verdict *v, int reached,
                           const struct oracle_play_options *o, uint16_t *store) {
    int prober = 1 - reached;
    uint32_t aims = v->side[reached].ports, openers = v->side[reached].sockets * aims;
    uint32_t probes = v->side[prober].ports, sent = 0, tried = 0;
    bool ordered = (v->needs & BK_ORACLE_NEEDS_ORDER) != 0;
    struct bk_addr aim[AIMS_MAX];
    bk_assert(aims <= AIMS_MAX);
    uint16_t from = aim_at_prober(s, prober, v, aim, aims), socket = 0;
    shuffle(s, reached, store, probes);
    while ((sent < openers || tried < probes) && !s->try.met) {
        bool opening = sent < openers, probing = tried < probes && (!ordered || !opening);
        struct nat_header opener, probe;
        bool opened = false, probed = false;
        if (opening) {
            socket = sent % aims == 0 ? stage_socket(s, reached) : socket;
            opened = stage_leave(s, reached, socket, &aim[sent++ % aims], &opener);
            s->try.sent[reached]++;
        }
        if (probing) {
            struct bk_addr dst = at(s, reached, store[tried++]);
            probed = stage_leave(s, prober, from, &dst, &probe);
            s->try.sent[prober]++;
        }
        if (opened && !o->low_ttl)
            stage_arrive(s, reached, &opener);
        if (probed)
            stage_arrive(s, prober, &probe);
        stage_step(s);
    }
}

/* A packet of a side that guesses: the i-th (from 0) of `sockets` that share `ports` targets. */
struct shot {
    uint16_t socket;
    struct bk_addr dst;
};

static void play_shots(struct stage *s, int side, const struct shot *mine, uint32_t mine_count,
                       const struct shot *theirs, uint32_t theirs_count) {
    for (uint32_t i = 0; (i < mine_count || i < theirs_count) && !s->try.met; i++) {
        struct nat_header a, b;
        bool left_a = false, left_b = false;
        if (i < mine_count) {
            left_a = stage_leave(s, side, mine[i].socket, &mine[i].dst, &a);
            s->try.sent[side]++;
        }
        if (i < theirs_count) {
            left_b = stage_leave(s, 1 - side, theirs[i].socket, &theirs[i].dst, &b);
            s->try.sent[1 - side]++;
        }
        if (left_a)
            stage_arrive(s, side, &a);
        if (left_b)
            stage_arrive(s, 1 - side, &b);
        stage_step(s);
    }
}

/* `sockets` x `ports` shots at random ports of the other side, target by target in turn. */
static uint32_t load_fan(struct stage *s, int side, const struct bk_oracle_side *plan, uint32_t max,
                         struct shot *out, uint16_t *store) {
    uint32_t count = plan->sockets * plan->ports < max ? plan->sockets * plan->ports : max;
    shuffle(s, 1 - side, store, plan->ports);
    uint16_t socket = 0;
    for (uint32_t i = 0; i < count; i++) {
        socket = i % plan->ports == 0 ? stage_socket(s, side) : socket;
        out[i] = (struct shot){socket, at(s, 1 - side, store[i % plan->ports])};
    }
    return count;
}

static void play_two_sided(struct stage *s, const struct bk_oracle_verdict *v, int reached,
                           struct shot *store, uint16_t *ports) {
    struct shot *mine = store, *theirs = store + PORTS;
    uint32_t max = s->budget->probes < PORTS ? s->budget->probes : PORTS;
    uint32_t n = load_fan(s, reached, &v->side[reached], max, mine, ports);
    uint32_t m = load_fan(s, 1 - reached, &v->side[1 - reached], max, theirs, ports);
    play_shots(s, reached, mine, n, theirs, m);
}

/* The side whose ports are predicted opens them in order; the other aims at each in order. */
static void play_mixed(struct stage *s, const struct bk_oracle_verdict *v, int predicted,
                       struct shot *store, uint16_t *ports) {
    struct shot *mine = store, *theirs = store + PORTS;
    struct forecast f = forecast(s, predicted);
    stage_pass(s, 2 * s->budget->signal_rtt_us);
    uint32_t n = load_fan(s, predicted, &v->side[predicted], v->window, mine, ports);
    uint16_t from = stage_socket(s, 1 - predicted);
    for (uint32_t j = 0; j < n; j++)
        theirs[j] = (struct shot){from, at(s, predicted, forecast_port(s, &f, j + 1))};
    play_shots(s, predicted, mine, n, theirs, n);
}

/* ---- the method ---- */

struct oracle_room {
    struct shot shots[2 * PORTS];
    uint16_t ports[PORTS];
};

struct oracle_room *oracle_room_new(const struct bk_alloc *alloc) {
    return alloc->get(alloc->ctx, sizeof(struct oracle_room));
}

static void play(struct stage *s, const struct bk_oracle_verdict *v,
                 const struct oracle_play_options *o, struct oracle_room *room) {
    if (o->plainly) {
        play_punch(s, o);
        return;
    }
    switch (v->method) {
    case BK_ORACLE_DIRECT:
        play_direct(s, v->reached);
        break;
    case BK_ORACLE_PUNCH:
    case BK_ORACLE_PRFLX:
        play_punch(s, o);
        break;
    case BK_ORACLE_PREDICT:
        play_predict(s, v, v->reached, o);
        break;
    case BK_ORACLE_FAN:
        play_fan(s, v, v->reached);
        break;
    case BK_ORACLE_BLOCK:
    case BK_ORACLE_BIRTHDAY_ONE:
        if (v->side[0].role == BK_ORACLE_ROLE_GUESS)
            play_two_sided(s, v, v->reached, room->shots, room->ports);
        else
            play_one_sided(s, v, v->reached, o, room->ports);
        break;
    case BK_ORACLE_BIRTHDAY_MIXED:
        play_mixed(s, v, 1 - v->reached, room->shots, room->ports);
        break;
    case BK_ORACLE_BIRTHDAY_TWO:
        play_two_sided(s, v, v->reached, room->shots, room->ports);
        break;
    case BK_ORACLE_INNER: /* no NAT, or none of ours, takes part in these */
    case BK_ORACLE_HAIRPIN:
    case BK_ORACLE_IPV6:
    case BK_ORACLE_PORT_MAPPING:
    case BK_ORACLE_TCP:
    case BK_ORACLE_RELAY:
        break;
    }
}

enum bk_err oracle_play(const struct oracle_script *script, uint64_t seed, struct oracle_room *room,
                        const struct bk_alloc *alloc, struct oracle_try *out) {
    struct stage s;
    const struct bk_oracle_side *a = &script->verdict->side[0], *b = &script->verdict->side[1];
    uint32_t of_a = a->sockets * a->ports, of_b = b->sockets * b->ports;
    uint32_t mappings = of_a > of_b ? of_a : of_b;
    enum bk_err e = stage_init(&s, script->sides, script->budget, mappings, seed, alloc);
    if (e != BK_OK)
        return e;
    play(&s, script->verdict, &script->options, room);
    *out = s.try;
    stage_fini(&s);
    return BK_OK;
}
