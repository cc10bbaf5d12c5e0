/* SPDX-License-Identifier: MIT
 * One way at one router: is it spoken there, and has the router restarted? */
#include "portmap/state.h"

#include "base/rng.h"

void road_offer(struct road *road, enum bk_portmap_offer offer, uint16_t code) {
    if (road->offer == offer && road->code == code)
        return;
    road->offer = offer;
    road->code = code;
    road->told = false;
}

void road_heard(struct bk_portmap *pm, struct road *road, const struct repeat *asked) {
    if (road->rtt_us == 0 && asked->on)
        road->rtt_us = bk_elapsed_us(asked->first, pm->now);
    road_offer(road, BK_PORTMAP_OFFERED, 0);
    road->again = BK_NEVER;
}

/* RFC 7723: whoever answers at these addresses speaks PCP. */
static bool is_anycast(const struct bk_ip *router) {
    static const uint8_t v6[16] = {0x20, 0x01, 0x00, 0x01, [15] = 1};
    const struct bk_ip anycast4 = bk_ipv4(192, 0, 0, 9), anycast6 = bk_ipv6(v6);
    return bk_ip_equal(router, &anycast4) || bk_ip_equal(router, &anycast6);
}

bool road_is_there(const struct bk_portmap *pm, size_t router, enum bk_portmap_way way) {
    if (pm->config.off[way] || (way == BK_PORTMAP_NATPMP && !is_v4(pm, router)))
        return false;
    return way == BK_PORTMAP_PCP || !is_anycast(&pm->routers[router].router);
}

void road_start(struct bk_portmap *pm, size_t router) {
    for (unsigned way = 0; way < WAYS; way++) {
        struct road *road = &pm->roads[router][way];
        *road = (struct road){.again = BK_NEVER, .recover = BK_NEVER, .told = true};
        repeat_stop(&road->probe);
        if (!road_is_there(pm, router, (enum bk_portmap_way)way) || !pm->config.probe)
            continue;
        road_offer(road, BK_PORTMAP_ASKING, 0);
        repeat_start(pm, &road->probe, (enum bk_portmap_way)way);
    }
}

static void renew_all(struct bk_portmap *pm, size_t router) {
    for (uint32_t i = 0; i < pm->config.wants_max; i++) {
        for (unsigned way = 0; way < WAYS && pm->wants[i].used; way++) {
            struct at at = {&pm->wants[i], router, (enum bk_portmap_way)way};
            struct lease *l = lease_of(&at);
            if (l->state != LEASE_HELD || race_best(entry_of(&at)) != at.way)
                continue;
            l->expires = bk_earlier(l->expires, bk_after(pm->now, RECOVER_US));
            lease_renew(pm, &at);
        }
    }
}

void road_lost_state(struct bk_portmap *pm, size_t router, enum bk_portmap_way way,
                     bool announced) {
    struct road *road = &pm->roads[router][way];
    if (!announced) {
        renew_all(pm, router);
        return;
    }
    int64_t pause = rng_below(&pm->rng, (uint32_t)ANNOUNCED_MAX_US);
    road->recover = bk_earlier(road->recover, bk_after(pm->now, pause));
}

void road_advance(struct bk_portmap *pm, size_t router) {
    for (unsigned i = 0; i < WAYS; i++) {
        enum bk_portmap_way way = (enum bk_portmap_way)i;
        struct road *road = &pm->roads[router][way];
        bool more = repeat_advance(pm, &road->probe, way);
        bool late = road->probe.on && way != BK_PORTMAP_UPNP &&
                    bk_due(bk_after(road->probe.first, ANSWER_S * BK_US_PER_S), pm->now);
        if (late && road->offer == BK_PORTMAP_ASKING)
            road_offer(road, BK_PORTMAP_SILENT, 0);
        if (!more || (late && way == BK_PORTMAP_PCP)) { /* an ANNOUNCE is asked once and again */
            repeat_stop(&road->probe);
            road->again = bk_after(pm->now, LATER_US);
        }
        if (bk_due(road->recover, pm->now)) {
            road->recover = BK_NEVER;
            renew_all(pm, router);
        }
        if (bk_due(road->again, pm->now)) {
            road->again = BK_NEVER;
            road_offer(road, BK_PORTMAP_NOT_ASKED, 0);
        }
    }
}

struct bk_time road_deadline(const struct bk_portmap *pm, size_t router) {
    struct bk_time t = BK_NEVER;
    for (unsigned i = 0; i < WAYS; i++) {
        const struct road *road = &pm->roads[router][i];
        t = bk_earlier(t, bk_earlier(road->again, road->recover));
        if (!road->probe.on)
            continue;
        t = bk_earlier(t, road->probe.want_send ? BK_NEVER : road->probe.due);
        if (i != BK_PORTMAP_UPNP && road->offer == BK_PORTMAP_ASKING)
            t = bk_earlier(t, bk_after(road->probe.first, ANSWER_S * BK_US_PER_S));
    }
    return t;
}
