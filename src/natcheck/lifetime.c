/* SPDX-License-Identifier: MIT
 * How long does a silent UDP mapping live? RFC 5780 section 4.6, with many mappings at a time.
 *
 * A probe ends the silence it measures, so each mapping is tried once: it is opened, left alone for
 * its time, and then a packet from outside tells whether it is still there. The packet comes from
 * the server, to which another socket of ours, the listener, sends a request that names the
 * mapping's port as the place to answer (RESPONSE-PORT). The same works the other way round to open
 * a mapping that is never answered: it asks for the listener's port.
 *
 * Two courses run side by side, for mappings never answered (LIFE_FIRST) and for answered ones
 * (LIFE_REPLIED; twice, more than 2 s apart, which is what Linux calls a stream). Each starts with
 * a ladder of idle times that grow by 8/5; between the last rung alive and the first one dead come
 * four more, which leaves 6 % on both sides. With the lifetime known, two more mappings show
 * whether a packet from inside or from outside, half way, prolongs it. */
#include "natcheck/state.h"

#include "base/assert.h"

enum { FIRST_RUNG_S = 4, FINE_RUNGS = 4, STREAM_MS = 2500, STAGGER_MS = 15 };

/* ---- the range ---- */

void life_add(struct life_range *range, int64_t idle_us, bool alive) {
    if (!alive) {
        if (idle_us < range->dead_us && idle_us > range->alive_us)
            range->dead_us = idle_us;
        return;
    }
    if (idle_us > range->alive_us)
        range->alive_us = idle_us;
    if (range->dead_us <= range->alive_us)
        range->dead_us = INT64_MAX; /* a packet was lost where we took it for dead */
}

static int64_t square_root(int64_t x) {
    int64_t low = 0, high = INT64_C(3037000499);
    while (low < high) {
        int64_t middle = low + (high - low + 1) / 2;
        if (middle <= x / middle)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* In milliseconds the product fits. */
int64_t life_estimate(const struct life_range *range, int64_t *error_us) {
    if (range->dead_us == INT64_MAX) {
        *error_us = 0;
        return range->alive_us;
    }
    int64_t low = range->alive_us / 1000, high = range->dead_us / 1000;
    *error_us = (range->dead_us - range->alive_us) / 2;
    return low > 0 ? square_root(low * high) * 1000 : range->dead_us / 2;
}

bool life_is_narrow(const struct life_range *range) {
    return range->dead_us != INT64_MAX && range->dead_us - range->alive_us <= range->alive_us / 8;
}

/* Even steps: within one rung of the ladder they differ from even ratios by 3 % at most. */
void life_split(const struct life_range *range, int64_t *out, size_t count) {
    int64_t step = (range->dead_us - range->alive_us) / (int64_t)(count + 1);
    for (size_t i = 0; i < count; i++)
        out[i] = range->alive_us + step * (int64_t)(i + 1);
}

/* ---- one spare mapping ---- */

static const struct pace pace_life = {
    .wait_us = 300 * BK_US_PER_MS, .last_us = 900 * BK_US_PER_MS, .sends = 3};

static uint32_t attrs_of(const struct life *l) {
    if (l->touch != TOUCH_NONE)
        return attr_bit(l->touch == TOUCH_OUT ? BK_NAT_REFRESH_OUT : BK_NAT_REFRESH_IN);
    return attr_bit(l->kind == LIFE_FIRST ? BK_NAT_LIFE_FIRST : BK_NAT_LIFE_REPLIED);
}

static struct ask ask_of(const struct bk_natcheck *nc, const struct life *l, uint32_t from) {
    const struct ask a = {.test = BK_NAT_TEST_BINDING,
                          .socket = from,
                          .remote = nc->side[V4].server[0][0],
                          .attrs = attrs_of(l),
                          .pace = pace_life,
                          .deep = true};
    return a;
}

/* From the mapping's socket; the answer goes to the listener, not to it. */
static uint32_t ask_unanswered(struct bk_natcheck *nc, const struct life *l, int64_t delay_us) {
    const struct lifetime_state *st = &nc->lifetime;
    struct ask a = ask_of(nc, l, l->socket);
    a.test = BK_NAT_TEST_REDIRECT;
    a.elsewhere = true;
    a.hears = st->listener;
    a.response_port = nc->probes[st->hello].seen.port;
    a.delay_us = delay_us;
    return probe_ask(nc, &a);
}

static uint32_t ask_answered(struct bk_natcheck *nc, const struct life *l, int64_t delay_us) {
    struct ask a = ask_of(nc, l, l->socket);
    a.delay_us = delay_us;
    return probe_ask(nc, &a);
}

/* From the listener; the answer knocks at the mapping. */
static uint32_t ask_knock(struct bk_natcheck *nc, const struct life *l, int64_t delay_us) {
    struct ask a = ask_of(nc, l, nc->lifetime.listener);
    a.test = BK_NAT_TEST_LIFE;
    a.elsewhere = true;
    a.hears = l->socket;
    a.response_port = nc->probes[l->open].seen.port;
    a.delay_us = delay_us;
    a.idle_us = l->idle_us;
    return probe_ask(nc, &a);
}

static void add_life(struct bk_natcheck *nc, enum life_kind kind, int64_t idle_us) {
    struct lifetime_state *st = &nc->lifetime;
    if (st->life_count == LIVES)
        return;
    struct life *l = &st->lives[st->life_count++];
    *l = (struct life){.kind = kind,
                       .idle_us = idle_us,
                       .socket = socket_open(nc, V4),
                       .open = NONE,
                       .again = NONE,
                       .touched = NONE,
                       .try = NONE};
}

/* Opened in turns, not all at once: a box may limit new mappings per second. */
static void open_life(struct bk_natcheck *nc, struct life *l, size_t turn) {
    int64_t delay = (int64_t)turn * STAGGER_MS * BK_US_PER_MS;
    l->open = l->kind == LIFE_FIRST ? ask_unanswered(nc, l, delay) : ask_answered(nc, l, delay);
    l->ended = l->open == NONE;
}

static void end_life(struct bk_natcheck *nc, struct life *l) {
    l->ended = true;
    probe_cancel(nc, l->open);
    probe_cancel(nc, l->again);
    probe_cancel(nc, l->touched);
    probe_cancel(nc, l->try);
    socket_close(nc, l->socket);
    nc->changed = true;
}

/* When was the mapping's last packet, as far as we know? */
static struct bk_time quiet_since(const struct bk_natcheck *nc, const struct life *l) {
    const struct probe *p = &nc->probes[l->again != NONE ? l->again : l->open];
    return l->kind == LIFE_FIRST ? p->last_sent : p->answered;
}

static void plan_trial(struct bk_natcheck *nc, struct life *l) {
    int64_t passed = bk_elapsed_us(quiet_since(nc, l), nc->now);
    if (l->touch == TOUCH_OUT)
        l->touched = ask_unanswered(nc, l, l->touch_us - passed);
    else if (l->touch == TOUCH_IN)
        l->touched = ask_knock(nc, l, l->touch_us - passed);
    l->try = ask_knock(nc, l, l->touch_us + l->idle_us - passed);
    if (l->try == NONE)
        end_life(nc, l);
}

static void step_life(struct bk_natcheck *nc, struct life *l) {
    if (l->ended || l->open == NONE || l->try != NONE)
        return;
    if (probe_ended(nc, l->open) && !probe_answered(nc, l->open)) {
        end_life(nc, l);
        return;
    }
    if (!probe_answered(nc, l->open))
        return;
    if (l->kind == LIFE_REPLIED && l->again == NONE) {
        l->again = ask_answered(nc, l, STREAM_MS * BK_US_PER_MS);
        if (l->again == NONE)
            end_life(nc, l);
        return;
    }
    if (l->kind == LIFE_FIRST || probe_answered(nc, l->again))
        plan_trial(nc, l);
    else if (probe_ended(nc, l->again))
        end_life(nc, l);
}

/* false: not tried yet, or it says nothing. */
static bool life_told(const struct bk_natcheck *nc, const struct life *l, bool *alive) {
    if (l->try == NONE || !probe_ended(nc, l->try))
        return false;
    *alive = probe_answered(nc, l->try);
    return *alive || nc->probes[l->try].why == BK_NAT_REASON_NO_ANSWER;
}

/* ---- a course ---- */

static void add_ladder(struct bk_natcheck *nc, enum life_kind kind) {
    int64_t most = nc->config.lifetime_max_us, rung = FIRST_RUNG_S * BK_US_PER_S;
    while (rung < most) {
        add_life(nc, kind, rung);
        rung = rung / 5 * 8;
    }
    add_life(nc, kind, most);
}

static void add_fine(struct bk_natcheck *nc, enum life_kind kind) {
    int64_t rungs[FINE_RUNGS];
    life_split(&nc->lifetime.course[kind].range, rungs, FINE_RUNGS);
    for (size_t i = 0; i < FINE_RUNGS; i++)
        add_life(nc, kind, rungs[i]);
}

static void open_new(struct bk_natcheck *nc) {
    struct lifetime_state *st = &nc->lifetime;
    size_t turn = 1;
    for (size_t i = 0; i < st->life_count; i++) {
        struct life *l = &st->lives[i];
        if (!l->ended && l->open == NONE)
            open_life(nc, l, turn++);
    }
}

/* Feeds the results in; trials that cannot tell anything new are given up. */
static void take_results(struct bk_natcheck *nc, enum life_kind kind) {
    struct lifetime_state *st = &nc->lifetime;
    struct life_range *range = &st->course[kind].range;
    for (size_t i = 0; i < st->life_count; i++) {
        struct life *l = &st->lives[i];
        bool alive;
        if (l->kind != kind || l->ended || l->touch != TOUCH_NONE)
            continue;
        if (life_told(nc, l, &alive)) {
            life_add(range, l->idle_us, alive);
            end_life(nc, l);
        } else if (l->idle_us >= range->dead_us || (l->try != NONE && probe_ended(nc, l->try))) {
            end_life(nc, l);
        }
    }
}

static bool all_told(const struct bk_natcheck *nc, enum life_kind kind) {
    const struct lifetime_state *st = &nc->lifetime;
    for (size_t i = 0; i < st->life_count; i++) {
        if (st->lives[i].kind == kind && !st->lives[i].ended)
            return false;
    }
    return true;
}

static void tell_life(struct bk_natcheck *nc, enum life_kind kind) {
    const struct life_range *range = &nc->lifetime.course[kind].range;
    enum bk_nat_attr attr = kind == LIFE_FIRST ? BK_NAT_LIFE_FIRST : BK_NAT_LIFE_REPLIED;
    int64_t error_us, value = life_estimate(range, &error_us);
    bool never_dead = range->dead_us == INT64_MAX;
    if (never_dead && range->alive_us == 0) {
        finding_unclear(nc, attr, 0, BK_NAT_REASON_NO_ANSWER);
        return;
    }
    finding_known(nc, attr, value, life_is_narrow(range) || never_dead ? 970 : 600);
    nc->record.findings[attr].at_least = never_dead;
    if (kind == LIFE_REPLIED) {
        nc->record.traits.udp_lifetime_us = value;
        nc->record.life_error_us = error_us;
    }
}

static void step_course(struct bk_natcheck *nc, enum life_kind kind) {
    struct life_course *c = &nc->lifetime.course[kind];
    take_results(nc, kind);
    if (c->stage == COURSE_DONE || !all_told(nc, kind))
        return;
    if (c->stage == COURSE_COARSE && c->range.dead_us != INT64_MAX && !life_is_narrow(&c->range)) {
        c->stage = COURSE_FINE;
        add_fine(nc, kind);
        nc->lifetime.stage = LIFE_HELLO; /* the listener's mapping may be gone by now */
        nc->lifetime.hello = NONE;
        return;
    }
    c->stage = COURSE_DONE;
    tell_life(nc, kind);
    nc->changed = true;
}

/* ---- refresh ---- */

static void add_refresh(struct bk_natcheck *nc, enum life_touch touch) {
    const struct life_range *range = &nc->lifetime.course[LIFE_REPLIED].range;
    struct lifetime_state *st = &nc->lifetime;
    size_t before = st->life_count;
    add_life(nc, LIFE_REPLIED, range->alive_us / 10 * 7);
    if (st->life_count == before)
        return;
    st->lives[before].touch = touch;
    st->lives[before].touch_us = range->dead_us / 10 * 6; /* with the rest more than a life */
}

static void tell_refresh(struct bk_natcheck *nc, const struct life *l) {
    enum bk_nat_attr attr = l->touch == TOUCH_OUT ? BK_NAT_REFRESH_OUT : BK_NAT_REFRESH_IN;
    bool alive;
    if (life_told(nc, l, &alive))
        finding_known(nc, attr, alive ? BK_YES : BK_NO, 960);
    else
        finding_unclear(nc, attr, 0, BK_NAT_REASON_NO_ANSWER);
}

static void step_refresh(struct bk_natcheck *nc) {
    struct lifetime_state *st = &nc->lifetime;
    bool all = true;
    for (size_t i = 0; i < st->life_count; i++) {
        struct life *l = &st->lives[i];
        if (l->touch == TOUCH_NONE)
            continue;
        bool over = l->ended || (l->try != NONE && probe_ended(nc, l->try));
        all = all && over;
        if (over)
            tell_refresh(nc, l);
        if (over && !l->ended)
            end_life(nc, l);
    }
    if (all)
        st->stage = LIFE_DONE;
}

static void start_refresh(struct bk_natcheck *nc) {
    struct lifetime_state *st = &nc->lifetime;
    const struct life_range *range = &st->course[LIFE_REPLIED].range;
    if (range->dead_us == INT64_MAX || range->alive_us == 0) {
        finding_unclear(nc, BK_NAT_REFRESH_OUT, 0, BK_NAT_REASON_TOO_FEW);
        finding_unclear(nc, BK_NAT_REFRESH_IN, 0, BK_NAT_REASON_TOO_FEW);
        st->stage = LIFE_DONE;
        return;
    }
    add_refresh(nc, TOUCH_OUT);
    add_refresh(nc, TOUCH_IN);
    st->stage = LIFE_HELLO;
    st->hello = NONE;
    nc->changed = true;
}

/* ---- the whole ---- */

static void give_up(struct bk_natcheck *nc, enum bk_nat_reason reason) {
    for (unsigned a = BK_NAT_LIFE_FIRST; a <= BK_NAT_REFRESH_IN; a++) {
        if (finding_is_pending(nc, (enum bk_nat_attr)a))
            finding_unclear(nc, (enum bk_nat_attr)a, 0, reason);
    }
    nc->lifetime.stage = LIFE_DONE;
}

static bool nothing_to_measure(struct bk_natcheck *nc) {
    const struct side *s = &nc->side[V4];
    bool open = nc->record.traits.filtering == BK_NAT_EI && !s->translated;
    if (!s->reached)
        give_up(nc, BK_NAT_REASON_NO_ANSWER);
    else if (open)
        give_up(nc, BK_NAT_REASON_NOT_APPLICABLE);
    else if (nc->record.external_count > 1)
        give_up(nc, BK_NAT_REASON_HIDDEN); /* the server answers to the asker's address only */
    return nc->lifetime.stage == LIFE_DONE;
}

static void start(struct bk_natcheck *nc) {
    struct lifetime_state *st = &nc->lifetime;
    const struct life_range unknown = {.alive_us = 0, .dead_us = INT64_MAX};
    if (nothing_to_measure(nc))
        return;
    st->listener = socket_open(nc, V4);
    st->course[LIFE_FIRST].range = st->course[LIFE_REPLIED].range = unknown;
    add_life(nc, LIFE_FIRST, 0); /* tried at once: does the server do RESPONSE-PORT? */
    st->stage = LIFE_HELLO;
}

/* The listener's outside port, anew before each round of openings. */
static void say_hello(struct bk_natcheck *nc) {
    struct lifetime_state *st = &nc->lifetime;
    const struct life nobody = {.kind = LIFE_FIRST};
    if (st->hello == NONE) {
        const struct ask a = ask_of(nc, &nobody, st->listener);
        st->hello = probe_ask(nc, &a);
    }
    if (!probe_ended(nc, st->hello))
        return;
    if (!probe_answered(nc, st->hello)) {
        give_up(nc, BK_NAT_REASON_NO_ANSWER);
        return;
    }
    bool proven = st->life_count > 1;
    bool refresh = st->course[LIFE_FIRST].stage == COURSE_DONE &&
                   st->course[LIFE_REPLIED].stage == COURSE_DONE;
    open_new(nc);
    st->stage = !proven ? LIFE_PROOF : refresh ? LIFE_REFRESH : LIFE_RUNS;
    nc->changed = true;
}

static void prove(struct bk_natcheck *nc) {
    struct lifetime_state *st = &nc->lifetime;
    struct life *l = &st->lives[0];
    bool alive = false;
    if (!l->ended && !life_told(nc, l, &alive))
        return;
    end_life(nc, l);
    if (!alive) {
        give_up(nc, BK_NAT_REASON_NO_SUPPORT);
        return;
    }
    add_ladder(nc, LIFE_FIRST);
    add_ladder(nc, LIFE_REPLIED);
    st->stage = LIFE_HELLO;
    st->hello = NONE;
}

static void run_courses(struct bk_natcheck *nc) {
    struct lifetime_state *st = &nc->lifetime;
    for (int kind = 0; kind < LIFE_KINDS; kind++)
        step_course(nc, (enum life_kind)kind);
    bool done = st->course[LIFE_FIRST].stage == COURSE_DONE &&
                st->course[LIFE_REPLIED].stage == COURSE_DONE;
    if (done && st->stage == LIFE_RUNS)
        start_refresh(nc);
}

void lifetime_step(struct bk_natcheck *nc) {
    struct lifetime_state *st = &nc->lifetime;
    if (!nc->config.deep || !nc->quick_done || st->stage == LIFE_DONE)
        return;
    if (st->stage == LIFE_WAITS)
        start(nc);
    for (size_t i = 0; i < st->life_count; i++)
        step_life(nc, &st->lives[i]);
    switch (st->stage) {
    case LIFE_HELLO:
        say_hello(nc);
        break;
    case LIFE_PROOF:
        prove(nc);
        break;
    case LIFE_RUNS:
        run_courses(nc);
        break;
    case LIFE_REFRESH:
        step_refresh(nc);
        break;
    case LIFE_WAITS:
    case LIFE_DONE:
        break;
    }
    bk_assert(st->stage != LIFE_WAITS);
}
