/* SPDX-License-Identifier: MIT
 * Which way is asked when. All start together as questions; mappings are asked for in order of
 * preference, so that a router that speaks all three (one daemon, one table) is not given three
 * mappings of one port, of which the first to be released would take the others along. */
#include "portmap/state.h"

bool race_uses(const struct bk_portmap *pm, const struct at *at) {
    bool for_one_peer = at->want->want.peer.ip.family != BK_FAMILY_NONE;
    uint8_t family = at->want->want.family;
    if (!road_is_there(pm, at->router, at->way) ||
        (family != BK_FAMILY_NONE && family != pm->routers[at->router].local.family))
        return false;
    switch (at->way) {
    case BK_PORTMAP_PCP:
        return !for_one_peer ||
               at->want->want.peer.ip.family == pm->routers[at->router].local.family;
    case BK_PORTMAP_NATPMP:
    case BK_PORTMAP_UPNP:
    case BK_PORTMAP_WAYS:
        break;
    }
    return !for_one_peer;
}

enum bk_portmap_way race_best(const struct entry *e) {
    unsigned way = 0;
    while (way < WAYS && e->leases[way].state != LEASE_HELD)
        way++;
    return (enum bk_portmap_way)way;
}

static bool has_passed(const struct bk_portmap *pm, const struct entry *e, int64_t us) {
    return bk_due(bk_after(e->started, us), pm->now);
}

/* Its answer may still come soon. */
static bool is_pending(const struct bk_portmap *pm, const struct at *at) {
    const struct road *road = &pm->roads[at->router][at->way];
    enum lease_state state = lease_of(at)->state;
    if (!race_uses(pm, at) || state == LEASE_REFUSED || state == LEASE_HELD)
        return false;
    if (road->offer == BK_PORTMAP_OFFERED)
        return state == LEASE_ASKING || state == LEASE_NONE;
    if (at->way == BK_PORTMAP_UPNP) /* the job has an end of its own */
        return road->offer == BK_PORTMAP_ASKING || state == LEASE_ASKING;
    return (road->offer == BK_PORTMAP_ASKING || road->offer == BK_PORTMAP_NOT_ASKED) &&
           !has_passed(pm, entry_of(at), ANSWER_S * BK_US_PER_S);
}

static void ask_road(struct bk_portmap *pm, const struct at *at) {
    struct road *road = road_of(pm, at);
    if (road->offer != BK_PORTMAP_NOT_ASKED)
        return;
    road_offer(road, BK_PORTMAP_ASKING, 0);
    repeat_start(pm, &road->probe, at->way);
}

static bool may_ask(struct bk_portmap *pm, const struct at *at) {
    const struct road *road = road_of(pm, at);
    const struct entry *e = entry_of(at);
    struct at pcp = *at, natpmp = *at;
    pcp.way = BK_PORTMAP_PCP;
    natpmp.way = BK_PORTMAP_NATPMP;
    if (at->way == BK_PORTMAP_PCP)
        return road->offer != BK_PORTMAP_ABSENT;
    ask_road(pm, at);
    if (road->offer != BK_PORTMAP_OFFERED)
        return false;
    if (at->way == BK_PORTMAP_NATPMP)
        return !is_pending(pm, &pcp) || has_passed(pm, e, SETTLE_US);
    return (!is_pending(pm, &pcp) && !is_pending(pm, &natpmp)) ||
           has_passed(pm, e, pm->config.race_us);
}

static void settle(struct bk_portmap *pm, struct at *at) {
    struct entry *e = entry_of(at);
    if (e->settled || race_best(e) != BK_PORTMAP_WAYS)
        return;
    for (unsigned way = 0; way < WAYS; way++) {
        at->way = (enum bk_portmap_way)way;
        if (is_pending(pm, at))
            return;
    }
    e->settled = true;
    e->events |= 1U << BK_PORTMAP_FAILED;
}

void race_step(struct bk_portmap *pm, struct want *w, size_t router) {
    struct entry *e = &w->at[router];
    struct at at = {w, router, BK_PORTMAP_PCP};
    if (!e->active) {
        e->active = true;
        e->settled = false;
        e->started = pm->now;
    }
    for (unsigned way = 0; way < WAYS; way++) {
        at.way = (enum bk_portmap_way)way;
        if (race_best(e) <= at.way)
            break;
        if (race_uses(pm, &at) && lease_of(&at)->state == LEASE_NONE && may_ask(pm, &at))
            lease_ask(pm, &at);
        /* PCP's first request is what finds out whether it is spoken. */
        struct road *road = road_of(pm, &at);
        if (way == BK_PORTMAP_PCP && road->offer == BK_PORTMAP_ASKING &&
            has_passed(pm, e, ANSWER_S * BK_US_PER_S))
            road_offer(road, BK_PORTMAP_SILENT, 0);
    }
    settle(pm, &at);
}

/* What is better is there, so nobody needs to know whether this is spoken: the questions end. */
static void end_questions(struct bk_portmap *pm, size_t router, enum bk_portmap_way best) {
    struct road *road = &pm->roads[router][BK_PORTMAP_NATPMP];
    if (best >= BK_PORTMAP_NATPMP || pm->config.probe || !road->probe.on)
        return;
    repeat_stop(&road->probe);
    road_offer(road, BK_PORTMAP_NOT_ASKED, 0);
}

void race_tell(struct bk_portmap *pm, struct want *w, size_t router) {
    struct entry *e = &w->at[router];
    enum bk_portmap_way best = race_best(e);
    if (best == BK_PORTMAP_WAYS) {
        if (!e->has_told)
            return;
        e->has_told = e->settled = false;
        e->started = pm->now; /* from the start */
        e->events = (uint8_t)((e->events & ~(1U << BK_PORTMAP_MAPPED)) | 1U << BK_PORTMAP_LOST);
        verify_stop(&e->verify);
        return;
    }
    const struct lease *l = &e->leases[best];
    if (e->has_told && e->told_way == best && bk_addr_equal(&e->told_external, &l->external))
        return;
    end_questions(pm, router, best);
    e->has_told = true;
    e->told_way = best;
    e->told_external = l->external;
    e->events = (uint8_t)((e->events & ~(1U << BK_PORTMAP_LOST | 1U << BK_PORTMAP_FAILED)) |
                          1U << BK_PORTMAP_MAPPED);
    verify_start(pm, w, router);
}

static struct bk_time if_ahead(const struct bk_portmap *pm, const struct entry *e, int64_t us) {
    struct bk_time t = bk_after(e->started, us);
    return bk_due(t, pm->now) ? BK_NEVER : t;
}

struct bk_time race_deadline(const struct bk_portmap *pm, const struct want *w, size_t router) {
    const struct entry *e = &w->at[router];
    if (!e->active || w->leaving || race_best(e) == BK_PORTMAP_PCP)
        return BK_NEVER;
    struct bk_time t = bk_earlier(if_ahead(pm, e, SETTLE_US), if_ahead(pm, e, pm->config.race_us));
    return bk_earlier(t, if_ahead(pm, e, ANSWER_S * BK_US_PER_S));
}
