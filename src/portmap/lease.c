/* SPDX-License-Identifier: MIT
 * One port, by one way, at one router: asked for, held, renewed, released. */
#include "portmap/state.h"

#include "base/assert.h"
#include "base/rng.h"

enum {
    PORT_MIN = 1024,
    LIFETIME_MAX_S = 86400, /* RFC 6887 section 15: answers are not believed beyond a day */
    RENEW_GAP_S = 4         /* RFC 6887 section 11.2.1 */
};

/* May a lease go from [row] to [column]? */
static const bool lease_may[LEASE_STATES][LEASE_STATES] = {
    [LEASE_NONE] = {[LEASE_ASKING] = true},
    [LEASE_ASKING] = {[LEASE_NONE] = true,
                      [LEASE_HELD] = true,
                      [LEASE_REFUSED] = true,
                      [LEASE_RELEASING] = true},
    [LEASE_HELD] = {[LEASE_NONE] = true,
                    [LEASE_HELD] = true,
                    [LEASE_REFUSED] = true,
                    [LEASE_RELEASING] = true},
    [LEASE_REFUSED] = {[LEASE_NONE] = true},
    [LEASE_RELEASING] = {[LEASE_NONE] = true, [LEASE_REFUSED] = true},
};

static void become(struct lease *l, enum lease_state state) {
    bk_assert(lease_may[l->state][state]);
    l->state = state;
}

uint32_t lease_lifetime(const struct bk_portmap *pm, const struct at *at) {
    uint32_t s = at->want->want.lifetime_s;
    return s != 0 ? s : pm->config.lifetime_s;
}

bool lease_is_out(const struct lease *l) {
    return l->state == LEASE_ASKING || l->state == LEASE_HELD || l->state == LEASE_RELEASING;
}

/* Ports below 1024 are never asked for: they are where services of the router's own live. */
static uint16_t first_suggestion(struct bk_portmap *pm, const struct bk_portmap_want *w) {
    if (w->external_port != 0)
        return w->external_port;
    if (w->internal_port >= PORT_MIN)
        return w->internal_port;
    return (uint16_t)(PORT_MIN + rng_below(&pm->rng, UINT16_MAX + 1 - PORT_MIN));
}

void lease_ask(struct bk_portmap *pm, const struct at *at) {
    struct lease *l = lease_of(at);
    become(l, LEASE_ASKING);
    if (l->suggested == 0)
        l->suggested = first_suggestion(pm, &at->want->want);
    if (!l->has_nonce)
        rng_fill(&pm->rng, l->nonce, sizeof l->nonce); /* RFC 6887 section 11.2: random */
    l->has_nonce = true;
    l->err = BK_OK;
    l->code = 0;
    repeat_start(pm, &l->repeat, at->way);
    struct road *road = road_of(pm, at);
    if (road->offer == BK_PORTMAP_NOT_ASKED)
        road_offer(road, BK_PORTMAP_ASKING, 0);
}

/* RFC 6887 section 11.2.1: at 1/2 to 5/8 of the lifetime, then at 3/4 to 13/16 and so on: always
 * half of what is left and up to an eighth more. */
static struct bk_time renew_at(struct bk_portmap *pm, const struct lease *l, uint32_t asked_s) {
    int64_t left = (int64_t)asked_s * BK_US_PER_S;
    if (!bk_is_never(l->expires))
        left = bk_elapsed_us(pm->now, l->expires);
    int64_t wait = left / 2 + (int64_t)rng_below(&pm->rng, 1001) * (left / 8) / 1000;
    if (wait < RENEW_GAP_S * BK_US_PER_S)
        wait = RENEW_GAP_S * BK_US_PER_S;
    return bk_after(pm->now, wait);
}

/* PCP sends one request at each time of its schedule, NAT-PMP repeats. */
void lease_renew(struct bk_portmap *pm, const struct at *at) {
    struct lease *l = lease_of(at);
    bk_assert(l->state == LEASE_HELD);
    l->suggested = l->external.port;
    repeat_start(pm, &l->repeat, at->way);
    l->renew = renew_at(pm, l, lease_lifetime(pm, at));
    if (at->way == BK_PORTMAP_PCP)
        l->repeat.wait_us = 0;
    if (at->way == BK_PORTMAP_UPNP && bk_is_never(l->expires))
        l->renew = BK_NEVER; /* set again when the job is done */
}

static bool is_sane(const struct at *at, const struct bk_addr *external, uint32_t lifetime_s) {
    bool v6 = external->ip.family == BK_IPV6;
    return external->port != 0 && external->ip.family != BK_FAMILY_NONE &&
           !bk_ip_is_any(&external->ip) && bk_ip_scope(&external->ip) != BK_SCOPE_NONE &&
           bk_ip_scope(&external->ip) != BK_SCOPE_LOOPBACK &&
           (lifetime_s > 0 || (at->way == BK_PORTMAP_UPNP && !v6));
}

void lease_granted(struct bk_portmap *pm, const struct at *at, const struct bk_addr *external,
                   uint32_t lifetime_s) {
    struct lease *l = lease_of(at);
    if (!is_sane(at, external, lifetime_s)) {
        lease_refused(pm, at, BK_ERR_MALFORMED, 0, LATER_US);
        return;
    }
    if (l->state != LEASE_HELD)
        l->since = pm->now;
    become(l, LEASE_HELD);
    repeat_stop(&l->repeat);
    l->external = *external;
    l->lifetime_s = lifetime_s < LIFETIME_MAX_S ? lifetime_s : LIFETIME_MAX_S;
    l->expires =
        lifetime_s == 0 ? BK_NEVER : bk_after(pm->now, (int64_t)l->lifetime_s * BK_US_PER_S);
    l->renew = renew_at(pm, l, lease_lifetime(pm, at));
    l->tries = 0;
}

/* A lease that is held stays until it ends by itself: what it said once, the router keeps. */
void lease_refused(struct bk_portmap *pm, const struct at *at, enum bk_err err, uint16_t code,
                   int64_t again_us) {
    struct lease *l = lease_of(at);
    repeat_stop(&l->repeat);
    l->err = err;
    l->code = code;
    if (l->state == LEASE_HELD)
        return;
    become(l, LEASE_REFUSED);
    l->again = bk_after(pm->now, again_us);
}

/* RFC 6887 section 15, RFC 6886 section 3.4: a lifetime of zero. */
void lease_release(struct bk_portmap *pm, const struct at *at) {
    struct lease *l = lease_of(at);
    if (l->state == LEASE_REFUSED)
        become(l, LEASE_NONE);
    if (l->state == LEASE_ASKING && l->repeat.sends == 0) {
        repeat_stop(&l->repeat); /* nobody has heard of it */
        become(l, LEASE_NONE);
    }
    if (l->state != LEASE_ASKING && l->state != LEASE_HELD)
        return;
    become(l, LEASE_RELEASING);
    /* Time is short here, so PCP repeats as fast as NAT-PMP: departs from RFC 6887 section 8.1.1,
     * whose first repetition would come after the program's end. */
    repeat_start(pm, &l->repeat, at->way == BK_PORTMAP_UPNP ? BK_PORTMAP_UPNP : BK_PORTMAP_NATPMP);
    l->give_up = bk_after(pm->now, pm->config.release_us);
}

void lease_released(struct bk_portmap *pm, const struct at *at) {
    struct lease *l = lease_of(at);
    repeat_stop(&l->repeat);
    l->external.port = l->suggested = 0;
    if (l->err == BK_OK || at->want->leaving) {
        become(l, LEASE_NONE);
        return;
    }
    become(l, LEASE_REFUSED); /* it went back because it was not what was wanted */
    l->again = bk_after(pm->now, LATER_US);
}

static void advance_held(struct bk_portmap *pm, const struct at *at) {
    struct lease *l = lease_of(at);
    if (bk_due(l->expires, pm->now)) {
        repeat_stop(&l->repeat);
        become(l, LEASE_NONE);
        return;
    }
    if (race_best(entry_of(at)) != at->way)
        return; /* a better one is held: this one is left to end */
    if (bk_due(l->renew, pm->now))
        lease_renew(pm, at);
    else if (at->way == BK_PORTMAP_NATPMP && !repeat_advance(pm, &l->repeat, at->way))
        repeat_stop(&l->repeat);
}

void lease_advance(struct bk_portmap *pm, const struct at *at) {
    struct lease *l = lease_of(at);
    switch (l->state) {
    case LEASE_NONE:
    case LEASE_STATES:
        return;
    case LEASE_ASKING:
        if (!repeat_advance(pm, &l->repeat, at->way))
            lease_refused(pm, at, BK_ERR_TIMEOUT, 0, LATER_US);
        return;
    case LEASE_HELD:
        advance_held(pm, at);
        return;
    case LEASE_REFUSED:
        if (bk_due(l->again, pm->now))
            become(l, LEASE_NONE);
        return;
    case LEASE_RELEASING:
        if (bk_due(l->give_up, pm->now) || !repeat_advance(pm, &l->repeat, BK_PORTMAP_NATPMP))
            lease_released(pm, at);
        return;
    }
}

struct bk_time lease_deadline(const struct lease *l) {
    struct bk_time t = l->repeat.on && !l->repeat.want_send ? l->repeat.due : BK_NEVER;
    switch (l->state) {
    case LEASE_NONE:
    case LEASE_STATES:
        return BK_NEVER;
    case LEASE_ASKING:
        return t;
    case LEASE_HELD:
        return bk_earlier(t, bk_earlier(l->expires, l->renew));
    case LEASE_REFUSED:
        return l->again;
    case LEASE_RELEASING:
        return bk_earlier(t, l->give_up);
    }
    return t;
}
