/* SPDX-License-Identifier: MIT
 * Silence on the selected pair, config.doubt_us. Consent (RFC 7675) takes 30 s to see a break; data
 * shows one at once, as does its absence where there should be some. So a selected pair that was
 * silent for doubt_us is asked and, when it has to be asked again, all spares of its component with
 * it. If it stays silent and a spare answers, the spare takes over. If nobody answers, nothing is
 * decided: the pair stays selected, is asked again every doubt_us, and dies when its consent does
 * (RFC 7675 section 5.1). Data on a spare alone is a reason to ask at once. Signs of life are
 * answers, checks of the peer's, and what bk_checker_heard() reports.
 *
 * Where no data comes anyway there is nothing to save by haste, and thousands of idle agents to
 * spare: there the question waits until its failure would be known just before config.silent_us. */
#include "ice/checker.h"

enum {
    QUIET_US = 100000,  /* of a selected pair, while data comes on another */
    AGAIN_US = 1000000, /* that is no reason to ask more often */
    IDLE_US = 10000000, /* without data */
    MARGIN_US = 100000  /* for timers that are late, and whoever is told */
};

static struct bk_time latest(struct bk_time a, struct bk_time b) {
    if (bk_is_never(a))
        return b;
    return bk_is_never(b) ? a : bk_later(a, b);
}

static struct bk_time last_sign(const struct ice_pair *p) {
    struct bk_time t = latest(p->answered_at, p->heard_at);
    return latest(latest(t, p->data_at), p->valid_since);
}

static bool is_idle(const struct bk_checker *ice, const struct ice_pair *p) {
    return bk_is_never(p->data_at) || bk_elapsed_us(p->data_at, ice->now) >= IDLE_US;
}

static int64_t patience_us(const struct bk_checker *ice, const struct ice_pair *p) {
    int64_t soon = ice->config.doubt_us;
    if (ice->config.silent_us == 0 || !is_idle(ice, p))
        return soon;
    int64_t late = (int64_t)ice->config.silent_us - MARGIN_US - ice_doubt_lasts_us(ice, p);
    return late > soon ? late : soon;
}

/* When the selected pair is to be asked next. */
static struct bk_time ask_at(const struct bk_checker *ice, const struct ice_comp *comp) {
    uint16_t at = ice_checklist_find_id(&ice->list, comp->selected);
    if (ice->config.doubt_us == 0 || ice->config.lite || at == ICE_NONE)
        return BK_NEVER;
    const struct ice_pair *p = &ice->list.pairs[at];
    struct bk_time since = latest(last_sign(p), comp->doubted_at);
    /* Who was asked last asks next, a little earlier than the other side would: in turn, so that
     * both get answers, which are their consent, for half the packets. The controlling side comes
     * in between, or the two would stay in step for ever once they asked at the same time. */
    bool ours = !bk_is_never(p->heard_at) &&
                (bk_is_never(p->answered_at) || bk_before(p->answered_at, p->heard_at));
    int64_t wait = patience_us(ice, p), early = ice->role.controlling ? wait / 16 : 0;
    return bk_after(since, wait - (ours ? wait / 8 : early));
}

struct bk_time ice_doubt_deadline(const struct bk_checker *ice) {
    struct bk_time t = BK_NEVER;
    for (uint16_t i = 0; ice->config.doubt_us != 0 && i < ice->comp_count; i++)
        t = bk_earlier(t, ask_at(ice, &ice->comps[i]));
    return t;
}

static void ask(struct bk_checker *ice, uint16_t index) {
    const struct ice_pair *p = ice_pair_at(ice, index);
    if (ice_pair_is_valid(p) && ice_checks_active(&ice->checks, index, ICE_CHECK_DOUBT) == NULL)
        (void)ice_start_check(ice, index, ICE_CHECK_DOUBT, ice_nomination_again(ice, p));
}

static void ask_all(struct bk_checker *ice, uint16_t comp) {
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id != 0 && p->comp == comp)
            ask(ice, i);
    }
}

void ice_doubt_repeated(struct bk_checker *ice, const struct ice_pair *pair) {
    if (ice_is_selected(ice, pair))
        ask_all(ice, pair->comp);
}

void ice_doubt_turn(struct bk_checker *ice) {
    for (uint16_t i = 0; ice->config.doubt_us != 0 && i < ice->comp_count; i++) {
        if (!bk_due(ask_at(ice, &ice->comps[i]), ice->now))
            continue;
        ice->comps[i].doubted_at = ice->now;
        ask(ice, ice_checklist_find_id(&ice->list, ice->comps[i].selected));
    }
}

/* ---- What came of it ----------------------------------------------------------------------- */

static bool answered_since(const struct ice_pair *p, struct bk_time since) {
    return ice_pair_is_valid(p) && !p->silent && !bk_is_never(p->answered_at) &&
           !bk_before(p->answered_at, since);
}

/* The selected pair is silent and another is not: the silent ones die, and selection moves on. */
static void fail_over(struct bk_checker *ice, uint16_t comp) {
    const struct ice_comp *c = &ice->comps[comp];
    uint16_t selected = ice_checklist_find_id(&ice->list, c->selected);
    /* One that died of this doubt a moment ago still stands there: a silent spare must not follow.
     */
    if (selected == ICE_NONE ||
        (ice_pair_is_valid(ice_pair_at(ice, selected)) && !ice_pair_at(ice, selected)->silent))
        return;
    bool spare = false;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = ice_pair_at(ice, i);
        spare |= p->id != 0 && p->comp == comp && answered_since(p, c->doubted_at);
    }
    for (uint16_t i = ice->list.top; spare && i-- > 0;) {
        const struct ice_pair *p = ice_pair_at(ice, i);
        if (ice_pair_is_valid(p) && p->comp == comp && p->silent)
            ice_fail_pair(ice, i, BK_ICE_FAILURE_PROBE);
    }
}

void ice_doubt_unanswered(struct bk_checker *ice, struct ice_pair *pair) {
    struct bk_time asked = ice->comps[pair->comp].doubted_at;
    struct bk_time heard = latest(pair->heard_at, pair->data_at);
    if (!bk_is_never(heard) && !bk_before(heard, asked))
        return; /* the answers were lost, but something was heard */
    if (!pair->silent && ice_is_selected(ice, pair))
        ice_tell_pair(ice, BK_CHECKER_SILENT, pair);
    pair->silent = true;
    fail_over(ice, pair->comp);
}

void ice_doubt_heard(struct bk_checker *ice, struct ice_pair *pair) {
    if (!pair->silent)
        return;
    pair->silent = false;
    if (ice_is_selected(ice, pair))
        ice_tell_pair(ice, BK_CHECKER_BACK, pair);
}

void ice_doubt_answered(struct bk_checker *ice, struct ice_pair *pair) {
    ice_doubt_heard(ice, pair);
    fail_over(ice, pair->comp);
}

/* The peer's data comes on a spare while the selected pair is quiet: perhaps the peer has moved,
 * and it is the controlled side, which cannot say so by a nomination. */
static void suspect(struct bk_checker *ice, const struct ice_pair *heard) {
    struct ice_comp *c = &ice->comps[heard->comp];
    uint16_t selected = ice_checklist_find_id(&ice->list, c->selected);
    if (ice->config.doubt_us == 0 || selected == ICE_NONE || !ice_pair_is_valid(heard) ||
        heard->id == c->selected)
        return;
    struct bk_time sign = last_sign(ice_pair_at(ice, selected));
    if (bk_elapsed_us(sign, ice->now) < QUIET_US ||
        (!bk_is_never(c->suspected_at) && bk_elapsed_us(c->suspected_at, ice->now) < AGAIN_US))
        return;
    ice_touch(ice, ice->now);
    c->doubted_at = c->suspected_at = ice->now;
    ask_all(ice, heard->comp);
}

void bk_checker_heard(struct bk_checker *ice, const struct bk_addr *local,
                      const struct bk_addr *remote, struct bk_time now) {
    ice->now = bk_later(ice->now, now);
    for (uint16_t i = 0; i < ice->list.top; i++) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id == 0 || !ice_addr_same(&p->to, remote) || !ice_addr_same(&p->base, local))
            continue;
        if (is_idle(ice, p))
            ice_touch(ice, ice->now); /* from now on there is haste */
        p->data_at = ice->now;
        ice_doubt_heard(ice, p);
        suspect(ice, p);
        return;
    }
}
