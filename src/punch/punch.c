/* SPDX-License-Identifier: MIT
 * The verbs of punch.h: what is known, attempts, notes, actions. */
#include "punch/punch.h"

#include "punch/note.h"
#include "punch/state.h"

#include "base/assert.h"

#include <string.h>

enum { PROBES_MAX = 2048, WAIT_ROUND_TRIPS = 4, DELICATE_US = 20000, STEP_LAST = 100 };

const struct punch_config punch_config_default = {
    .sockets_max = PUNCH_SOCKETS_MAX - 1,
    .probes_max = 1024,  /* with 256 sockets: 98.35 % of 64 512 ports */
    .packets_max = 2048, /* 256 sockets, 1024 ports, the first ones again */
    .pace_pps = 200,
    .pace_max_pps = 200,
    .wait_us = 400000,
};

enum bk_err punch_new(const struct punch_config *config, const struct bk_alloc *alloc,
                      struct punch **out) {
    const struct punch_config *c = config;
    if (c->sockets_max >= PUNCH_SOCKETS_MAX || c->probes_max < 1 || c->probes_max > PROBES_MAX ||
        c->pace_pps < 1 || c->packets_max < 1 || c->rng.fill == NULL)
        return BK_ERR_ARGUMENT;
    struct punch *p = alloc->get(alloc->ctx, sizeof *p);
    if (p == NULL)
        return BK_ERR_NO_MEMORY;
    p->config = *config;
    p->alloc = *alloc;
    p->me = c->leader ? 0 : 1;
    p->worked = BK_ORACLE_RELAY;
    p->phase = PHASE_IDLE;
    p->until = p->patience = BK_NEVER;
    plan_ask_oracle(p);
    *out = p;
    return BK_OK;
}

void punch_free(struct punch *p) {
    if (p != NULL)
        p->alloc.put(p->alloc.ctx, p);
}

static void say(const struct punch *p, const char *what) {
    if (p->config.trace.line != NULL)
        p->config.trace.line(p->config.trace.ctx, what);
}

static void tick(struct punch *p, struct bk_time now) {
    p->now = bk_later(p->now, now);
}

/* ---- what is known ---- */

int64_t punch_signal_us(const struct punch *p) {
    return p->signal_us > 0 ? p->signal_us : PUNCH_RTT_US;
}

int64_t punch_peer_rtt_us(const struct punch *p) {
    return p->rtt_us > 0 ? p->rtt_us : punch_signal_us(p);
}

/* The one that NATs translate: IPv4, if there is one. */
struct bk_ip punch_peer_ip(const struct punch *p) {
    for (size_t i = 0; i < p->peer_count; i++) {
        if (p->peer[i].ip.family == BK_IPV4)
            return p->peer[i].ip;
    }
    return p->peer[0].ip;
}

bool punch_is_peer_ip(const struct punch *p, const struct bk_ip *ip) {
    for (size_t i = 0; i < p->peer_count; i++) {
        if (bk_ip_equal(&p->peer[i].ip, ip))
            return true;
    }
    return false;
}

void punch_set_mapped(struct punch *p, const struct bk_addr *mapped) {
    p->mapped = *mapped;
}

void punch_set_peer(struct punch *p, const struct bk_addr *addrs, size_t count) {
    p->peer_count = 0;
    for (size_t i = 0; i < count && p->peer_count < PUNCH_PEER_MAX; i++) {
        if (addrs[i].ip.family != BK_FAMILY_NONE && bk_ip_scope(&addrs[i].ip) != BK_SCOPE_NONE)
            p->peer[p->peer_count++] = addrs[i];
    }
}

void punch_set_rtt(struct punch *p, int64_t peer_us, int64_t signal_us) {
    const int64_t most = 10 * BK_US_PER_S;
    p->rtt_us = peer_us < 0 ? 0 : peer_us < most ? peer_us : most;
    p->signal_us = signal_us < 0 ? 0 : signal_us < most ? signal_us : most;
}

void punch_set_ttl(struct punch *p, uint8_t ttl) {
    p->ttl = ttl;
}

/* ---- the leader's choice ---- */

static void finish(struct punch *p, bool failed) {
    step_end(p);
    p->phase = PHASE_OVER;
    p->until = p->patience = BK_NEVER;
    p->failed = failed;
}

/* Giving up counts as well: when more is known there may be another step after it. */
static uint8_t next_step(const struct punch *p) {
    return (uint8_t)(p->note[0].step + 1);
}

/* Nothing is left: the follower need not wait for more. */
static void give_up(struct punch *p) {
    socks_close(&p->socks, PUNCH_SHARED);
    finish(p, true);
    p->note[0] = (struct punch_note){
        .step = (uint8_t)(p->step_count + 1), .attempt = p->attempt, .method = BK_ORACLE_RELAY};
    p->note_new = true;
    say(p, "punch: nothing is left to try");
}

static void lead_on(struct punch *p) {
    struct plan plan;
    step_end(p);
    if (p->step_count == PUNCH_STEPS_MAX || p->note[0].step >= STEP_LAST ||
        p->stats.packets >= p->config.packets_max || !plan_next(p, &plan)) {
        give_up(p);
        return;
    }
    plan_count(p, &plan);
    struct punch_note words = {
        .step = next_step(p),
        .attempt = p->attempt,
        .method = plan.method,
        .reached = plan.reached,
        .both = plan.both,
        .window = plan.window,
        .sockets = {plan.sockets[0], plan.sockets[1]},
        .ports = {plan.ports[0], plan.ports[1]},
    };
    say(p, bk_oracle_method_name((enum bk_oracle_method)plan.method));
    step_begin(p, &words);
}

/* ---- an attempt ---- */

static void wait_or_begin(struct punch *p) {
    int64_t trips_us = WAIT_ROUND_TRIPS * punch_peer_rtt_us(p);
    int64_t wait_us = p->config.wait_us > trips_us ? p->config.wait_us : trips_us;
    if (plan_is_delicate(p)) /* who has not met by then will not */
        wait_us = punch_peer_rtt_us(p) + DELICATE_US;
    if (p->config.wait_us == 0 || !plan_waits(p))
        wait_us = 0;
    p->phase = PHASE_WAIT;
    p->until = bk_earlier(bk_after(p->started, wait_us), p->until);
}

static void hear(struct punch *p, const struct punch_note *n);

static void hear_held(struct punch *p) {
    if (p->note_held && p->begun && p->held.attempt == p->attempt && p->peer_count > 0) {
        p->note_held = false;
        hear(p, &p->held);
    }
}

void punch_start(struct punch *p, uint8_t attempt, struct bk_time now) {
    tick(p, now);
    step_end(p);
    socks_close(&p->socks, PUNCH_SHARED);
    p->attempt = attempt;
    p->started = p->now;
    p->begun = true;
    p->failed = false;
    p->note_new = false;
    p->step_count = 0;
    p->mappings = 0;
    p->stats.packets = 0;
    memset(p->tries, 0, sizeof p->tries);
    memset(p->note, 0, sizeof p->note);
    p->phase = PHASE_IDLE;
    p->until = p->patience = BK_NEVER;
    if (p->config.leader)
        wait_or_begin(p);
    punch_advance(p, now);
}

void punch_stop(struct punch *p, bool hit, uint16_t keep, struct bk_time now) {
    tick(p, now);
    socks_close(&p->socks, keep);
    if (!p->begun)
        return;
    if (hit && p->step_count > 0 && p->phase != PHASE_IDLE && p->phase != PHASE_OVER) {
        p->steps[p->step_count - 1].hit = true;
        p->worked = p->steps[p->step_count - 1].method;
        p->worked_reached = p->steps[p->step_count - 1].reached;
    }
    finish(p, false);
    p->begun = false;
    p->note_new = false;
}

bool punch_is_over(const struct punch *p) {
    return p->phase == PHASE_OVER;
}

void punch_set_traits(struct punch *p, const struct bk_nat_traits *mine,
                      const struct bk_nat_traits *theirs, struct bk_time now) {
    tick(p, now);
    struct bk_nat_traits *at[2] = {&p->traits[p->me], &p->traits[1 - p->me]};
    if (plan_is_same(at[0], mine) && plan_is_same(at[1], theirs))
        return;
    *at[0] = *mine;
    *at[1] = *theirs;
    plan_ask_oracle(p);
    struct plan plan;
    if (!p->begun || !p->config.leader)
        return;
    if (p->phase == PHASE_WAIT) {
        wait_or_begin(p);
    } else if (p->phase == PHASE_OVER && p->failed && p->note[0].step < STEP_LAST &&
               plan_next(p, &plan)) {
        p->failed = false; /* something new is possible */
        wait_or_begin(p);
    }
}

/* ---- notes ---- */

static bool is_playable(const struct punch *p, const struct punch_note *n) {
    bool in_bounds = n->window <= PROBES_MAX;
    for (int i = 0; i < 2; i++)
        in_bounds = in_bounds && n->sockets[i] < PUNCH_SOCKETS_MAX && n->ports[i] <= PROBES_MAX;
    return in_bounds && n->reached <= 1 && plan_is_possible(p, n);
}

static bool points_at_peer(const struct punch *p, const struct punch_note *n) {
    return n->aim.ip.family == BK_FAMILY_NONE || bk_ip_is_any(&n->aim.ip) ||
           punch_is_peer_ip(p, &n->aim.ip);
}

/* The same step, apart from what a side adds while it goes on. */
static bool same_words(const struct punch_note *a, const struct punch_note *b) {
    struct punch_note x = *a, y = *b;
    x.spent = y.spent = false;
    x.aim = y.aim = (struct bk_addr){.port = 0};
    x.stride = y.stride = 0;
    x.min = x.max = x.run = x.gap = 0;
    y.min = y.max = y.run = y.gap = 0;
    return punch_note_equal(&x, &y);
}

/* An aim is told once, and stays. */
static bool adds_to(const struct punch_note *old, const struct punch_note *n) {
    struct punch_note x = *old;
    x.spent = n->spent;
    bool told = old->aim.ip.family != BK_FAMILY_NONE;
    return (n->spent || !old->spent) && (!told || punch_note_equal(&x, n));
}

static void update(struct punch *p, struct punch_note *held, const struct punch_note *n) {
    if (punch_note_equal(held, n))
        return; /* once more */
    if (!adds_to(held, n)) {
        p->stats.refused++;
        return;
    }
    *held = *n;
    step_heard(p);
}

/* The leader may only be told about the step that it leads. */
static void hear_follower(struct punch *p, const struct punch_note *n) {
    struct punch_note *held = &p->note[1];
    if (n->step < p->note[0].step)
        return; /* late */
    struct punch_note as_led = *n;
    memcpy(as_led.sockets, held->sockets, sizeof as_led.sockets);
    memcpy(as_led.ports, held->ports, sizeof as_led.ports);
    as_led.both = held->both;
    if (p->phase == PHASE_WAIT || p->step_count == 0 || !same_words(held, &as_led))
        p->stats.refused++;
    else
        update(p, held, &as_led);
}

static void hear_leader(struct punch *p, const struct punch_note *n) {
    struct punch_note *held = &p->note[0];
    if (n->step == held->step && same_words(held, n)) {
        update(p, held, n);
    } else if (n->step <= held->step) {
        p->stats.refused += punch_note_equal(n, held) ? 0 : 1;
    } else if (n->method == BK_ORACLE_RELAY) {
        socks_close(&p->socks, PUNCH_SHARED);
        finish(p, true);
        *held = *n;
    } else if (p->step_count == PUNCH_STEPS_MAX || !is_playable(p, n)) {
        p->stats.refused++;
    } else {
        step_begin(p, n);
    }
}

static void hear(struct punch *p, const struct punch_note *n) {
    if (n->step == 0)
        return; /* nothing yet */
    if (!points_at_peer(p, n))
        p->stats.refused++;
    else if (p->config.leader)
        hear_follower(p, n);
    else
        hear_leader(p, n);
}

void punch_note_recv(struct punch *p, const struct punch_note *note, struct bk_time now) {
    uint8_t bytes[PUNCH_NOTE_LEN];
    tick(p, now);
    punch_note_put(note, bytes);
    struct punch_note n;
    if (punch_note_get(&n, bytes, sizeof bytes) != BK_OK) {
        p->stats.refused++;
        return;
    }
    if (p->begun && n.attempt == p->attempt && p->peer_count > 0) {
        hear(p, &n);
    } else {
        p->held = n; /* its attempt is to come, perhaps */
        p->note_held = true;
    }
    punch_advance(p, now);
}

bool punch_take_note(struct punch *p, struct punch_note *out) {
    if (!p->note_new)
        return false;
    p->note_new = false;
    *out = p->note[p->me];
    return true;
}

/* ---- sockets ---- */

void punch_bound(struct punch *p, uint16_t socket, uint16_t port) {
    if (socket < PUNCH_SOCKETS_MAX && p->socks.state[socket] == SOCK_OPENING)
        p->socks.port[socket] = port;
}

void punch_opened(struct punch *p, uint16_t socket, enum bk_err err, struct bk_time now) {
    tick(p, now);
    if (!socks_opened(&p->socks, socket, err == BK_OK))
        return;
    if (err == BK_OK && p->step_count > 0)
        p->steps[p->step_count - 1].sockets++;
    punch_advance(p, now);
}

void punch_mapped(struct punch *p, uint16_t socket, const struct bk_addr *mapped,
                  struct bk_time now) {
    tick(p, now);
    if (!socks_answered(&p->socks, socket))
        return;
    step_mapped(p, socket, mapped);
    punch_advance(p, now);
}

/* ---- time ---- */

static void leader_advance(struct punch *p) {
    bool waited = p->phase == PHASE_WAIT && bk_due(p->until, p->now) && p->peer_count > 0;
    if (waited && p->verdict.method == BK_ORACLE_RELAY && p->verdict.certain)
        give_up(p);
    else if (waited || (p->phase == PHASE_SPENT && bk_due(p->until, p->now)))
        lead_on(p);
}

static void follower_advance(struct punch *p) {
    if (p->phase == PHASE_SPENT && bk_due(p->until, p->now)) { /* the leader is silent */
        step_end(p);
        socks_close(&p->socks, PUNCH_SHARED);
    }
}

void punch_advance(struct punch *p, struct bk_time now) {
    tick(p, now);
    if (!p->begun)
        return;
    hear_held(p);
    step_advance(p);
    if (p->config.leader)
        leader_advance(p);
    else
        follower_advance(p);
    p->stats.sockets = p->socks.open;
}

struct bk_time punch_deadline(const struct punch *p) {
    if (!p->begun || (p->phase == PHASE_WAIT && p->peer_count == 0))
        return BK_NEVER;
    return step_deadline(p);
}

bool punch_next_action(struct punch *p, struct punch_action *out) {
    bool any = socks_next(&p->socks, out) || step_next_check(p, out) || socks_next(&p->socks, out);
    p->stats.sockets = p->socks.open;
    if (any && out->kind == PUNCH_OPEN)
        out->remote = (struct bk_addr){punch_peer_ip(p), 0};
    return any;
}

/* ---- what it did and why ---- */

const struct bk_oracle_verdict *punch_verdict(const struct punch *p) {
    return &p->verdict;
}

size_t punch_steps(const struct punch *p, const struct punch_step **out) {
    *out = p->steps;
    return p->step_count;
}

const struct punch_stats *punch_stats(const struct punch *p) {
    return &p->stats;
}
