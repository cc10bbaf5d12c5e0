/* SPDX-License-Identifier: MIT
 * Nomination, RFC 8445 section 8, and what follows from it on both sides: the selected pair.
 *
 * The actors: the controlling side decides (decide, ice_eager_nomination) and gives each decision a
 * number; the controlled side takes decisions (ice_take_nomination). Either way a pair remembers
 * the highest number it was chosen with, and the selected pair is, in this order:
 *   1. the succeeded pair of this generation with the highest number;
 *   2. the one selected so far, if it is alive (from before a restart, or a role switch);
 *   3. if one was selected: the best succeeded pair, of this generation, then of the old one.
 * A death therefore moves the selection at once, on each side by itself; the controlling side
 * nominates where it moved to, and a pair that comes back alive gets its place back.
 *
 * Departs from section 8.1.1 (nominate once) where the configuration says `renominate`: lazy
 * traversal starts on a relay and must be able to move. And from section 8 where it says `eager`: a
 * triggered check nominates if its pair would be nominated anyway once it succeeded. The peer has
 * just shown that its packets arrive, and the controlled side uses a nomination only after its own
 * check has passed, so a wrong guess costs nothing; a right one saves half a round trip on the
 * controlled side and a whole one on the controlling side.
 *
 * Later checks of the selected pair say its number again: a nomination can come too early to be
 * taken (before a role conflict was seen, or to a pair that died at once), and behind a NAT that
 * lost its mappings the same pair has another address for the controlled side, which follows. */
#include "ice/checker.h"

enum {
    HOPE_RTTS = 4,           /* a better pair may be this many times slower than the valid one, */
    HOPE_SLACK_US = 5000,    /* and this much */
    STRICT_FACTOR = 10,      /* how much longer to wait where nomination is final */
    CONCEDE_US = 8000000,    /* a peer that can nominate does so in less; signalling may be slow */
    HOLD_FIRST_US = 2000000, /* a pair that keeps dying must live this long before it is chosen */
    HOLD_DOUBLINGS = 5       /* again, doubled per death up to 64 s */
};

/* ---- Numbers ------------------------------------------------------------------------------ */

static uint32_t next_number(struct bk_checker *ice, uint16_t comp) {
    uint32_t *last = &ice->comps[comp].last_nomination;
    if (*last < UINT32_MAX)
        ++*last;
    ice->stats.nominations++;
    return *last;
}

static bool is_current(const struct ice_pair *p, uint16_t comp) {
    return p->id != 0 && !p->old && p->comp == comp;
}

/* Of two that were nominated with one number the later one counts: the peer's address has changed,
 * its pair is still the same. */
static bool is_later(const struct ice_pair *a, const struct ice_pair *b) {
    return a->nomination > b->nomination ||
           (a->nomination == b->nomination && bk_before(b->nominated_at, a->nominated_at));
}

/* The succeeded pair with the highest number, or NULL. */
static struct ice_pair *chosen_pair(struct bk_checker *ice, uint16_t comp) {
    struct ice_pair *best = NULL;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (is_current(p, comp) && ice_pair_is_valid(p) && p->nomination != 0 &&
            (best == NULL || is_later(p, best)))
            best = p;
    }
    return best;
}

/* ---- The controlled side ------------------------------------------------------------------ */

/* A peer without counters. RFC 8445 section 8.1.1 nominates once; RFC 5245's aggressive nomination
 * puts USE-CANDIDATE into every check and means the highest priority. Both are served by following
 * to a better pair at once, and to a worse one only when the selected is not nominated any more. */
static bool follows_plain(struct bk_checker *ice, const struct ice_pair *p) {
    const struct ice_pair *chosen = chosen_pair(ice, p->comp);
    if (chosen == NULL || chosen == p || p->priority > chosen->priority)
        return true;
    return bk_is_never(chosen->nominated_at) ||
           bk_elapsed_us(chosen->nominated_at, ice->now) > 2 * (int64_t)ice->config.consent_us;
}

void ice_take_nomination(struct bk_checker *ice, struct ice_pair *pair, uint32_t number) {
    if (number > ice->comps[pair->comp].last_nomination)
        ice->comps[pair->comp].last_nomination = number;
    if (number > pair->nomination) {
        pair->nomination = number;
        ice->stats.nominations++;
    } else if (number == 0 && chosen_pair(ice, pair->comp) != pair && follows_plain(ice, pair)) {
        pair->nomination = next_number(ice, pair->comp);
    }
    pair->nominated_at = ice->now;
}

/* ---- The controlling side ------------------------------------------------------------------ */

static int64_t hope_window_us(const struct bk_checker *ice, int64_t rtt_us) {
    int64_t window = ice->config.grace_us;
    if (rtt_us >= 0) {
        int64_t slower = HOPE_RTTS * rtt_us + HOPE_SLACK_US;
        window = window > rtt_us / 4 ? window : rtt_us / 4;
        window = window < slower ? window : slower;
    }
    return ice->config.renominate ? window : window * STRICT_FACTOR;
}

/* How long after its first check may a better pair answer? Where nomination is final, this long and
 * not shorter: as long as the valid pair took, and a quarter more. */
static int64_t answer_window_us(const struct bk_checker *ice, int64_t rtt_us) {
    int64_t window = hope_window_us(ice, rtt_us);
    int64_t least = rtt_us + rtt_us / 4 + HOPE_SLACK_US;
    if (ice->config.renominate || rtt_us < 0)
        return window;
    least = least > ice->config.grace_us ? least : ice->config.grace_us;
    return least < window ? least : window;
}

/* What was measured over retransmissions says nothing about how long to wait. */
static int64_t exact_rtt_us(const struct ice_pair *p) {
    return p->rtt_rough ? -1 : p->rtt_us;
}

/* Until when may `q` still be expected to beat a pair that can be nominated since `ready` and whose
 * round trip is `rtt_us`? */
static struct bk_time hope_in(const struct bk_checker *ice, const struct ice_pair *q,
                              struct bk_time ready, int64_t rtt_us) {
    struct bk_time limit = bk_after(ready, hope_window_us(ice, rtt_us));
    if (q->old || q->retries > 0)
        return ready;
    switch ((enum bk_ice_pair_state)q->state) {
    case BK_ICE_PAIR_FROZEN:
    case BK_ICE_PAIR_WAITING:
        return limit;
    case BK_ICE_PAIR_IN_PROGRESS:
        return bk_earlier(limit, bk_after(q->started, answer_window_us(ice, rtt_us)));
    case BK_ICE_PAIR_SUCCEEDED:
    case BK_ICE_PAIR_FAILED:
        return ready;
    }
    return ready;
}

/* Until when is it worth waiting for a pair better than `p`, ready since `ready`? */
static struct bk_time hope_until(const struct bk_checker *ice, const struct ice_pair *p,
                                 struct bk_time ready) {
    struct bk_time until = ready;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *q = &ice->list.pairs[i];
        if (q != p && q->id != 0 && q->comp == p->comp && q->priority > p->priority)
            until = bk_later(until, hope_in(ice, q, ready, exact_rtt_us(p)));
    }
    return until;
}

/* A pair that died often is believed only after it has lived for a while. */
static struct bk_time hold_until(const struct ice_pair *p) {
    if (p->deaths < 2)
        return p->valid_since;
    unsigned doublings = p->deaths - 2 < HOLD_DOUBLINGS ? p->deaths - 2 : HOLD_DOUBLINGS;
    return bk_after(p->valid_since, (int64_t)HOLD_FIRST_US << doublings);
}

/* The best succeeded pair; of the flapping ones only if there is no other (then *held is when the
 * best of them may be taken after all). */
static struct ice_pair *best_pair(struct bk_checker *ice, uint16_t comp, bool old,
                                  struct bk_time *held) {
    struct ice_pair *best = NULL, *flapping = NULL;
    *held = BK_NEVER;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (!ice_pair_is_valid(p) || p->old != old || p->comp != comp)
            continue;
        bool on_hold = bk_before(ice->now, hold_until(p));
        struct ice_pair **place = on_hold ? &flapping : &best;
        if (on_hold)
            *held = bk_earlier(*held, hold_until(p));
        if (*place == NULL || ice_valid_priority(ice, p) > ice_valid_priority(ice, *place))
            *place = p;
    }
    return best != NULL ? best : flapping;
}

/* A pair may be nominated again before its last nomination was answered. */
static uint32_t number_under_way(struct bk_checker *ice, const struct ice_pair *p) {
    uint16_t index = (uint16_t)(p - ice->list.pairs);
    uint32_t highest = 0;
    for (uint16_t i = 0; i < ice->checks.top; i++) {
        const struct ice_check *c = &ice->checks.slots[i];
        if (c->state == ICE_CHECK_ACTIVE && c->plan.pair == index &&
            c->plan.purpose == ICE_CHECK_CONNECT && c->plan.use_candidate &&
            c->plan.controlling == ice->role.controlling && c->plan.nomination > highest)
            highest = c->plan.nomination;
    }
    return highest;
}

/* The pair of our highest nomination, answered or on its way, that can still succeed. If its number
 * is not the last one given, the one it was given to has died here, but perhaps not over there. */
static struct ice_pair *target_pair(struct bk_checker *ice, uint16_t comp, uint32_t *number_out) {
    struct ice_pair *target = NULL;
    uint32_t highest = 0;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (!is_current(p, comp) || p->state == BK_ICE_PAIR_FAILED ||
            (p->state == BK_ICE_PAIR_IN_PROGRESS && p->overdue))
            continue;
        uint32_t confirmed = ice_pair_is_valid(p) ? p->nomination : 0;
        uint32_t sent = number_under_way(ice, p);
        uint32_t number = confirmed > sent ? confirmed : sent;
        if (number > highest) {
            highest = number;
            target = p;
        }
    }
    *number_out = highest;
    return target;
}

/* Once it has succeeded, is `target` at least as good as `best`? */
static bool is_enough(const struct bk_checker *ice, const struct ice_pair *target,
                      const struct ice_pair *best) {
    if (!ice_pair_is_valid(target))
        return target->priority >= best->priority;
    return !ice->config.renominate ||
           ice_valid_priority(ice, target) >= ice_valid_priority(ice, best);
}

static void nominate(struct bk_checker *ice, struct ice_pair *p) {
    if (!ice_has_check_room(ice)) {
        ice->stats.checks_full++; /* a check's end wakes us again */
        return;
    }
    uint32_t number = next_number(ice, p->comp);
    if (ice_trace_on(ice)) {
        char buf[48];
        struct text t = text_in(buf, sizeof buf);
        text_str(&t, "pair ");
        text_u64(&t, p->id);
        text_str(&t, " nominated, number ");
        text_u64(&t, number);
        ice_trace(ice, &t);
    }
    (void)ice_start_check(ice, (uint16_t)(p - ice->list.pairs), ICE_CHECK_CONNECT, number);
}

static void decide(struct bk_checker *ice, uint16_t index) {
    struct ice_comp *comp = &ice->comps[index];
    struct bk_time held;
    struct ice_pair *best = best_pair(ice, index, false, &held);
    comp->select_at = held;
    if (best == NULL)
        return;
    uint32_t number = 0;
    struct ice_pair *target = target_pair(ice, index, &number);
    if (target != NULL && (target == best || is_enough(ice, target, best))) {
        if (number != comp->last_nomination && ice_pair_is_valid(target))
            nominate(ice, target);
        return;
    }
    struct bk_time until = hope_until(ice, best, best->valid_since);
    if (target != NULL)
        until = bk_later(until, hold_until(best));
    if (bk_before(ice->now, until))
        comp->select_at = bk_earlier(until, comp->select_at);
    else
        nominate(ice, best);
}

uint32_t ice_eager_nomination(struct bk_checker *ice, const struct ice_pair *pair) {
    if (!ice->role.controlling || !ice->config.eager || pair->deaths > 0)
        return 0; /* the controlled side never nominates, RFC 8445 section 7.1.2 */
    uint32_t number = 0;
    const struct ice_pair *target = target_pair(ice, pair->comp, &number);
    bool rival = target != NULL && target != pair;
    if (rival && (!ice->config.renominate || target->priority >= pair->priority))
        return 0;
    struct bk_time held;
    const struct ice_pair *best = best_pair(ice, pair->comp, false, &held);
    if (best != NULL && best->priority > pair->priority)
        return 0;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *q = &ice->list.pairs[i];
        /* `q` may still be expected to win if its hope reaches beyond this moment */
        if (q != pair && q->id != 0 && q->comp == pair->comp && q->priority > pair->priority &&
            bk_before(ice->now, hope_in(ice, q, ice->now, exact_rtt_us(pair))))
            return 0;
    }
    return next_number(ice, pair->comp);
}

uint32_t ice_nomination_again(const struct bk_checker *ice, const struct ice_pair *pair) {
    return ice->role.controlling && !pair->old && ice_is_selected(ice, pair) ? pair->nomination : 0;
}

/* ---- The selected pair --------------------------------------------------------------------- */

static struct ice_pair *pair_to_select(struct bk_checker *ice, uint16_t comp) {
    struct bk_time held;
    struct ice_pair *p = chosen_pair(ice, comp);
    if (p != NULL)
        return p;
    uint16_t at = ice_checklist_find_id(&ice->list, ice->comps[comp].selected);
    if (at != ICE_NONE && ice_pair_is_valid(ice_pair_at(ice, at)))
        return ice_pair_at(ice, at);
    if (!ice->comps[comp].had_selected)
        return NULL;
    p = best_pair(ice, comp, false, &held);
    return p != NULL ? p : best_pair(ice, comp, true, &held);
}

static void trace_selected(const struct bk_checker *ice, const struct ice_pair *p) {
    if (!ice_trace_on(ice))
        return;
    char buf[48];
    struct text t = text_in(buf, sizeof buf);
    if (p == NULL) {
        text_str(&t, "no pair selected");
        ice_trace(ice, &t);
        return;
    }
    text_str(&t, "selected pair ");
    text_u64(&t, p->id);
    ice_trace_addrs(ice, buf, &p->base, &p->to);
}

static void follow(struct bk_checker *ice, uint16_t index) {
    struct ice_comp *comp = &ice->comps[index];
    struct ice_pair *p = pair_to_select(ice, index);
    uint32_t id = p == NULL ? 0 : p->id;
    if (id == comp->selected)
        return;
    uint16_t before = ice_checklist_find_id(&ice->list, comp->selected);
    struct bk_checker_event event = {.kind = BK_CHECKER_SELECTED,
                                     .state = ice->state,
                                     .controlling = ice->role.controlling,
                                     .pair = id,
                                     .previous = comp->selected,
                                     .rtt_us = p == NULL ? -1 : p->rtt_us,
                                     .stream = comp->stream,
                                     .component = comp->component};
    comp->selected = id;
    comp->had_selected = true;
    ice->stats.selections++;
    trace_selected(ice, p);
    if (p != NULL)
        ice_consent_schedule(ice, p);
    if (before != ICE_NONE && ice_pair_is_valid(ice_pair_at(ice, before)))
        ice_consent_schedule(ice, ice_pair_at(ice, before));
    ice_tell(ice, &event);
}

/* RFC 8445 section 9 keeps the old path until the new generation has its own. A peer that controls
 * may wait for that path to fail: libwebrtc drops the new pairs unchecked if the candidate that it
 * found first is worse than the old pair's, and nominates none while the old one answers. So where
 * our checks have passed and it had time enough, the old path is given up; what still comes on it
 * is taken. Peers that renominate (ours) do not wait. */
static void concede(struct bk_checker *ice, uint16_t index) {
    struct bk_time held;
    uint16_t selected = ice_checklist_find_id(&ice->list, ice->comps[index].selected);
    const struct ice_pair *best = best_pair(ice, index, false, &held);
    if (best == NULL || selected == ICE_NONE || !ice_pair_at(ice, selected)->old ||
        ice->config.renominate)
        return;
    struct bk_time due = bk_after(best->valid_since, CONCEDE_US);
    if (bk_before(ice->now, due))
        ice->comps[index].select_at = due;
    else
        ice_retire_old(ice, index);
}

/* Does it end the generation before? One that nobody nominated may only stand in for it. */
static bool is_decided(const struct bk_checker *ice, uint16_t pair) {
    const struct ice_pair *p = &ice->list.pairs[pair];
    return !p->old && (ice->role.controlling || ice->config.lite || p->nomination != 0);
}

/* RFC 8445 section 8.1: each component by itself. Departs from section 8.1.2 (no more checks of a
 * component that has its pair): the other pairs are proven and kept warm, so that one can take over
 * at once. */
static void select_for(struct bk_checker *ice, uint16_t index) {
    ice->comps[index].select_at = BK_NEVER;
    if (ice->role.controlling)
        decide(ice, index);
    else
        concede(ice, index);
    follow(ice, index);
    uint16_t selected = ice_checklist_find_id(&ice->list, ice->comps[index].selected);
    if (selected != ICE_NONE && is_decided(ice, selected))
        ice_drop_old(ice, index);
}

void ice_select_turn(struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->comp_count; i++)
        select_for(ice, i);
    ice_update_states(ice);
}
