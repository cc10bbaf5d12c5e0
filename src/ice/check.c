/* SPDX-License-Identifier: MIT */
#include "ice/check.h"

#include "base/assert.h"
#include "base/rng.h"

#include <string.h>

enum { LISTEN_MAX_US = 10 * 1000 * 1000 }; /* no path answers later; the slot is wanted back */

void ice_checks_init(struct ice_checks *checks, struct ice_check *slots, uint16_t cap) {
    struct ice_checks fresh = {.slots = slots, .cap = cap};
    *checks = fresh;
}

static void set_want(struct ice_checks *checks, struct ice_check *check, bool want) {
    if (want && !check->want_send)
        check->order = checks->next_order++;
    if (want != check->want_send)
        checks->want_count = (uint16_t)(checks->want_count + (want ? 1 : -1));
    check->want_send = want;
}

/* A free slot or, if there is none, the listening one that ends first. */
static struct ice_check *take_slot(struct ice_checks *checks) {
    struct ice_check *oldest = NULL;
    for (uint16_t i = 0; i < checks->cap; i++) {
        struct ice_check *c = &checks->slots[i];
        if (c->state == ICE_CHECK_FREE) {
            if (i >= checks->top)
                checks->top = (uint16_t)(i + 1);
            return c;
        }
        if (c->state == ICE_CHECK_LISTENING &&
            (oldest == NULL || bk_before(c->deadline, oldest->deadline)))
            oldest = c;
    }
    if (oldest != NULL)
        set_want(checks, oldest, false);
    return oldest;
}

static int64_t gap_after(const struct ice_check_plan *plan, unsigned sent) {
    if (sent >= plan->tries)
        return plan->wait_us;
    int64_t gap = (int64_t)plan->rto_us << (sent - 1);
    return plan->gap_max_us != 0 && gap > plan->gap_max_us ? plan->gap_max_us : gap;
}

struct ice_check *ice_checks_start(struct ice_checks *checks, const struct ice_check_plan *plan,
                                   const struct bk_rng *rng, struct bk_time now) {
    bk_assert(plan->tries >= 1 && plan->tries <= 16);
    struct ice_check *c = take_slot(checks);
    if (c == NULL)
        return NULL;
    struct ice_check fresh = {.state = ICE_CHECK_ACTIVE, .plan = *plan, .sent = 1, .started = now};
    rng_fill(rng, fresh.txid, sizeof fresh.txid); /* nobody else's choice, RFC 7675 section 5.1 */
    fresh.deadline = bk_after(now, gap_after(plan, 1));
    *c = fresh;
    set_want(checks, c, true);
    return c;
}

struct ice_check *ice_checks_find(struct ice_checks *checks, const uint8_t *txid) {
    for (uint16_t i = 0; i < checks->top; i++) {
        struct ice_check *c = &checks->slots[i];
        if (c->state != ICE_CHECK_FREE && memcmp(c->txid, txid, STUN_TXID_LEN) == 0)
            return c;
    }
    return NULL;
}

struct ice_check *ice_checks_active(struct ice_checks *checks, uint16_t pair,
                                    enum ice_purpose purpose) {
    for (uint16_t i = 0; i < checks->top; i++) {
        struct ice_check *c = &checks->slots[i];
        if (c->state == ICE_CHECK_ACTIVE && c->plan.pair == pair && c->plan.purpose == purpose)
            return c;
    }
    return NULL;
}

enum ice_check_turn ice_check_advance(struct ice_checks *checks, struct ice_check *check,
                                      struct bk_time now) {
    if (check->state == ICE_CHECK_FREE || !bk_due(check->deadline, now))
        return ICE_CHECK_QUIET;
    if (check->state == ICE_CHECK_LISTENING) {
        ice_check_free(checks, check);
        return ICE_CHECK_QUIET;
    }
    if (check->sent >= check->plan.tries)
        return ICE_CHECK_ENDED;
    check->sent++;
    check->deadline = bk_after(now, gap_after(&check->plan, check->sent));
    if (!check->plan.reliable)
        set_want(checks, check, true);
    return ICE_CHECK_RESENT;
}

void ice_check_cancel(struct ice_checks *checks, struct ice_check *check, struct bk_time now) {
    if (check->state != ICE_CHECK_ACTIVE)
        return;
    check->deadline = bk_after(check->started, LISTEN_MAX_US);
    check->state = ICE_CHECK_LISTENING;
    set_want(checks, check, false);
    if (bk_due(check->deadline, now))
        ice_check_free(checks, check);
}

void ice_check_free(struct ice_checks *checks, struct ice_check *check) {
    set_want(checks, check, false);
    memset(check, 0, sizeof *check);
    while (checks->top > 0 && checks->slots[checks->top - 1].state == ICE_CHECK_FREE)
        checks->top--;
}

void ice_checks_drop_pair(struct ice_checks *checks, uint16_t pair) {
    for (uint16_t i = checks->top; i-- > 0;) {
        struct ice_check *c = &checks->slots[i];
        if (c->state != ICE_CHECK_FREE && c->plan.pair == pair)
            ice_check_free(checks, c);
    }
}

struct bk_time ice_checks_deadline(const struct ice_checks *checks) {
    struct bk_time t = BK_NEVER;
    for (uint16_t i = 0; i < checks->top; i++) {
        if (checks->slots[i].state != ICE_CHECK_FREE)
            t = bk_earlier(t, checks->slots[i].deadline);
    }
    return t;
}

struct ice_check *ice_checks_take_send(struct ice_checks *checks) {
    if (checks->want_count == 0)
        return NULL;
    struct ice_check *first = NULL;
    for (uint16_t i = 0; i < checks->top; i++) {
        struct ice_check *c = &checks->slots[i];
        /* the difference as a signed number, so that the counter may wrap */
        if (c->want_send && (first == NULL || (int32_t)(c->order - first->order) < 0))
            first = c;
    }
    bk_assert(first != NULL);
    set_want(checks, first, false);
    return first;
}

size_t ice_checks_count(const struct ice_checks *checks, enum ice_check_state state) {
    size_t n = 0;
    for (uint16_t i = 0; i < checks->cap; i++)
        n += checks->slots[i].state == state;
    return n;
}

void ice_checks_check(const struct ice_checks *checks) {
    size_t want = 0;
    for (uint16_t i = 0; i < checks->cap; i++) {
        const struct ice_check *c = &checks->slots[i];
        want += c->want_send;
        bk_assert(c->state == ICE_CHECK_FREE || i < checks->top);
        bk_assert(!c->want_send || c->state == ICE_CHECK_ACTIVE);
    }
    bk_assert(want == checks->want_count);
}
