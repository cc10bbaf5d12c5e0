/* SPDX-License-Identifier: MIT
 * Consent freshness, RFC 7675, of the selected pair, which is its keepalive as well (RFC 8445
 * section 11); and the same at a slower pace for the other valid pairs, so that their NAT bindings
 * live and they are there when the selected one dies. Every check is a transaction of its own,
 * never retransmitted (RFC 7675 section 5.1). Only answers to our checks count: a request from the
 * peer shows that it is alive, not that it wants our data. */
#include "ice/checker.h"

#include "base/rng.h"

enum { WARM_LOSSES = 3 }; /* a pair kept warm dies after this many checks without answer */

/* Section 5.1: each interval is 0.8 to 1.2 of the mean, so that agents do not fall into step. */
static struct bk_time next_check(const struct bk_checker *ice, const struct ice_pair *p) {
    uint32_t mean = ice_is_selected(ice, p) ? ice->config.consent_us : ice->config.warm_us;
    if (mean == 0)
        return BK_NEVER;
    uint32_t spread = mean / 5 * 2;
    int64_t gap = (int64_t)(mean - mean / 5) + rng_below(ice->config.rng, spread + 1);
    return bk_after(ice->now, gap);
}

static int64_t patience_us(const struct bk_checker *ice, const struct ice_pair *p) {
    int64_t patience = ice->config.consent_expiry_us;
    int64_t warm = WARM_LOSSES * (int64_t)ice->config.warm_us;
    return ice_is_selected(ice, p) || patience > warm ? patience : warm;
}

/* RFC 7675 section 5.1: who sends no checks learns of consent from those of the peer, which are
 * signed and stop when the peer has gone. Between two lite agents there are none. */
static void refresh_lite(struct bk_checker *ice, struct ice_pair *pair) {
    pair->consent_until = ice->remote_lite || bk_is_never(pair->heard_at)
                              ? BK_NEVER
                              : bk_after(pair->heard_at, ice->config.consent_expiry_us);
}

void ice_consent_refresh(struct bk_checker *ice, struct ice_pair *pair) {
    if (ice->config.lite) {
        refresh_lite(ice, pair);
        return;
    }
    bool checked = ice_is_selected(ice, pair) || ice->config.warm_us != 0;
    pair->consent_until = checked ? bk_after(pair->answered_at, patience_us(ice, pair)) : BK_NEVER;
}

void ice_consent_schedule(struct bk_checker *ice, struct ice_pair *pair) {
    pair->next_check = ice->config.lite ? BK_NEVER : next_check(ice, pair);
    ice_consent_refresh(ice, pair);
    if (ice->config.lite)
        return;
    /* A pair that was kept warm and is now selected may have been quiet for long: it gets two
     * checks before it is judged by the shorter patience. */
    struct bk_time least = bk_after(ice->now, 2 * (int64_t)ice->config.consent_us);
    if (!bk_is_never(pair->consent_until))
        pair->consent_until = bk_later(pair->consent_until, least);
}

/* RFC 7675 section 5.1: any answer renews consent. An agent that asks out of doubt every second or
 * two need not ask for consent besides. */
void ice_consent_postpone(struct bk_checker *ice, struct ice_pair *pair) {
    if (ice_pair_is_valid(pair))
        pair->next_check = next_check(ice, pair);
}

void ice_consent_turn(struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->list.top; i++) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (!ice_pair_is_valid(p))
            continue;
        if (bk_due(p->consent_until, ice->now)) {
            ice_fail_pair(ice, i, BK_ICE_FAILURE_CONSENT);
        } else if (bk_due(p->next_check, ice->now)) {
            p->next_check = next_check(ice, p);
            (void)ice_start_check(ice, i, ICE_CHECK_CONSENT, ice_nomination_again(ice, p));
        }
    }
}

struct bk_time ice_consent_deadline(const struct bk_checker *ice) {
    struct bk_time t = BK_NEVER;
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = &ice->list.pairs[i];
        if (ice_pair_is_valid(p))
            t = bk_earlier(t, bk_earlier(p->next_check, p->consent_until));
    }
    return t;
}
