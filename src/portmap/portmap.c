/* SPDX-License-Identifier: MIT
 * The object: what its user calls, and one step of everything after each input. */
#include "portmap/state.h"

#include "base/assert.h"

#include <string.h>

enum { LIFETIME_MIN_S = 120, LIFETIME_MAX_S = 86400, PORT_MIN = 1024 };
#define RACE_MAX_US (10 * BK_US_PER_S)
#define RELEASE_MAX_US (60 * BK_US_PER_S)

const struct bk_portmap_config bk_portmap_config_default = {
    .wants_max = 16,
    .lifetime_s = 7200,
    .race_us = 250 * BK_US_PER_MS,
    .release_us = BK_US_PER_S,
};

const char *bk_portmap_config_check(const struct bk_portmap_config *c) {
    if (c->wants_max < 1 || c->wants_max > BK_PORTMAP_WANTS_MAX)
        return "wants_max";
    if (c->lifetime_s < LIFETIME_MIN_S || c->lifetime_s > LIFETIME_MAX_S)
        return "lifetime_s";
    if (c->race_us < 0 || c->race_us > RACE_MAX_US)
        return "race_us";
    if (c->release_us < 0 || c->release_us > RELEASE_MAX_US)
        return "release_us";
    return NULL;
}

/* --- life --- */

enum bk_err bk_portmap_new(const struct bk_portmap_config *config, const struct bk_alloc *alloc,
                           const struct bk_rng *rng, struct bk_time now, struct bk_portmap **out) {
    if (bk_portmap_config_check(config) != NULL)
        return BK_ERR_ARGUMENT;
    size_t size = sizeof(struct bk_portmap) + config->wants_max * sizeof(struct want);
    struct bk_portmap *pm = alloc->get(alloc->ctx, size);
    if (pm == NULL)
        return BK_ERR_NO_MEMORY;
    pm->config = *config;
    pm->alloc = *alloc;
    pm->rng = *rng;
    pm->now = now;
    pm->stop_by = BK_NEVER;
    *out = pm;
    return BK_OK;
}

void bk_portmap_free(struct bk_portmap *pm) {
    if (pm != NULL)
        pm->alloc.put(pm->alloc.ctx, pm);
}

/* --- one step of everything --- */

static bool is_gone(const struct bk_portmap *pm, const struct want *w) {
    for (size_t router = 0; router < pm->router_count; router++)
        for (unsigned way = 0; way < WAYS; way++)
            if (lease_is_out(&w->at[router].leases[way]))
                return false;
    return true;
}

static void step_want(struct bk_portmap *pm, struct want *w) {
    for (size_t router = 0; router < pm->router_count; router++) {
        for (unsigned way = 0; way < WAYS; way++) {
            struct at at = {w, router, (enum bk_portmap_way)way};
            lease_advance(pm, &at);
        }
        if (w->leaving)
            continue;
        race_tell(pm, w, router);
        race_step(pm, w, router);
        verify_advance(pm, w, router);
    }
    if (w->leaving && is_gone(pm, w))
        memset(w, 0, sizeof *w);
}

static bool is_idle(const struct bk_portmap *pm) {
    for (uint32_t i = 0; i < pm->config.wants_max; i++)
        if (pm->wants[i].used)
            return false;
    return true;
}

void portmap_turn(struct bk_portmap *pm) {
    upnp_advance(pm);
    for (size_t router = 0; router < pm->router_count; router++)
        road_advance(pm, router);
    for (uint32_t i = 0; i < pm->config.wants_max; i++)
        if (pm->wants[i].used)
            step_want(pm, &pm->wants[i]);
    if (pm->stopping && bk_due(pm->stop_by, pm->now))
        for (uint32_t i = 0; i < pm->config.wants_max; i++)
            memset(&pm->wants[i], 0, sizeof pm->wants[i]);
    if (pm->stopping && is_idle(pm))
        pm->stop_by = BK_NEVER;
}

static void set_now(struct bk_portmap *pm, struct bk_time now) {
    pm->now = bk_later(pm->now, now);
}

/* --- surroundings --- */

static bool is_same(const struct bk_portmap_router *a, const struct bk_portmap_router *b) {
    return bk_ip_equal(&a->local, &b->local) && bk_ip_equal(&a->router, &b->router);
}

/* Where the router of the new list was in the old one; ROUTERS: it is new. */
static size_t place_before(const struct bk_portmap_router *before, size_t count,
                           const struct bk_portmap_router *router) {
    size_t i = 0;
    while (i < count && !is_same(&before[i], router))
        i++;
    return i < count ? i : ROUTERS;
}

static void move_entries(struct want *w, const size_t *from, size_t count) {
    struct entry before[ROUTERS];
    bool lost = false;
    memcpy(before, w->at, sizeof before);
    memset(w->at, 0, sizeof w->at);
    for (size_t i = 0; i < ROUTERS; i++) {
        bool stays = false;
        for (size_t k = 0; k < count; k++)
            stays = stays || from[k] == i;
        lost = lost || (!stays && before[i].has_told);
    }
    for (size_t i = 0; i < count; i++)
        if (from[i] < ROUTERS)
            w->at[i] = before[from[i]];
    if (lost)
        w->at[0].events |= 1U << BK_PORTMAP_LOST;
}

static void move_job(struct bk_portmap *pm, const size_t *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (from[i] == pm->job.router) {
            pm->job.router = i;
            return;
        }
    pm->job.router = ROUTERS; /* what comes of it is ignored */
}

void bk_portmap_set_routers(struct bk_portmap *pm, const struct bk_portmap_router *routers,
                            size_t count, struct bk_time now) {
    struct bk_portmap_router before[ROUTERS];
    struct road roads[ROUTERS][WAYS];
    size_t from[ROUTERS], before_count = pm->router_count;
    set_now(pm, now);
    count = count < ROUTERS ? count : ROUTERS;
    memcpy(before, pm->routers, sizeof before);
    memcpy(roads, pm->roads, sizeof roads);
    pm->router_count = count;
    for (size_t i = 0; i < count; i++) {
        from[i] = place_before(before, before_count, &routers[i]);
        pm->routers[i] = routers[i];
        if (from[i] < ROUTERS)
            memcpy(pm->roads[i], roads[from[i]], sizeof roads[0]);
        else
            road_start(pm, i);
    }
    for (uint32_t i = 0; i < pm->config.wants_max; i++)
        if (pm->wants[i].used)
            move_entries(&pm->wants[i], from, count);
    if (pm->job.out)
        move_job(pm, from, count);
    portmap_turn(pm);
}

void bk_portmap_set_stun(struct bk_portmap *pm, const struct bk_addr *stun,
                         const struct bk_addr *stun6, struct bk_time now) {
    set_now(pm, now);
    pm->config.stun = *stun;
    pm->config.stun6 = *stun6;
    for (uint32_t i = 0; i < pm->config.wants_max; i++)
        for (size_t router = 0; router < pm->router_count && pm->wants[i].used; router++) {
            const struct entry *e = &pm->wants[i].at[router];
            if (e->has_told && e->verify.step == VERIFY_IDLE &&
                e->verify.proof != BK_PORTMAP_PROVED)
                verify_start(pm, &pm->wants[i], router);
        }
}

/* --- wants --- */

static bool want_is_sane(const struct bk_portmap_want *w) {
    bool life =
        w->lifetime_s == 0 || (w->lifetime_s >= LIFETIME_MIN_S && w->lifetime_s <= LIFETIME_MAX_S);
    return (w->protocol == BK_UDP || w->protocol == BK_TCP) && w->internal_port != 0 && life &&
           (w->external_port == 0 || w->external_port >= PORT_MIN);
}

enum bk_err bk_portmap_add(struct bk_portmap *pm, const struct bk_portmap_want *want,
                           struct bk_time now, uint32_t *number) {
    uint32_t i = 0;
    if (!want_is_sane(want))
        return BK_ERR_ARGUMENT;
    if (pm->stopping)
        return BK_ERR_STATE;
    while (i < pm->config.wants_max && pm->wants[i].used)
        i++;
    if (i == pm->config.wants_max)
        return BK_ERR_FULL;
    set_now(pm, now);
    memset(&pm->wants[i], 0, sizeof pm->wants[i]);
    pm->wants[i].used = true;
    pm->wants[i].want = *want;
    *number = i;
    portmap_turn(pm);
    return BK_OK;
}

static void leave(struct bk_portmap *pm, struct want *w) {
    w->leaving = true;
    for (size_t router = 0; router < pm->router_count; router++) {
        verify_stop(&w->at[router].verify);
        w->at[router].events = 0;
        for (unsigned way = 0; way < WAYS; way++) {
            struct at at = {w, router, (enum bk_portmap_way)way};
            lease_release(pm, &at);
        }
    }
}

void bk_portmap_remove(struct bk_portmap *pm, uint32_t number, struct bk_time now) {
    set_now(pm, now);
    if (number >= pm->config.wants_max || !pm->wants[number].used || pm->wants[number].leaving)
        return;
    leave(pm, &pm->wants[number]);
    portmap_turn(pm);
}

void bk_portmap_stop(struct bk_portmap *pm, struct bk_time now) {
    set_now(pm, now);
    if (pm->stopping)
        return;
    pm->stopping = true;
    if (pm->job.kind == BK_PORTMAP_FIND)
        pm->job.out = false; /* nobody waits for it any more */
    pm->stop_by = bk_after(pm->now, pm->config.release_us);
    for (uint32_t i = 0; i < pm->config.wants_max; i++)
        if (pm->wants[i].used)
            leave(pm, &pm->wants[i]);
    for (size_t router = 0; router < pm->router_count; router++)
        for (unsigned way = 0; way < WAYS; way++) {
            repeat_stop(&pm->roads[router][way].probe);
            pm->roads[router][way].again = BK_NEVER;
        }
    portmap_turn(pm);
}

/* --- packets in --- */

bool is_announcement(const struct bk_datagram *in) {
    return in->local.port == PCP_CLIENT_PORT;
}

/* Both protocols: only the router's own address and port, and only to an address of ours that it is
 * asked from (RFC 6887 section 8.3, RFC 6886 section 3.2.1). */
static bool is_from(const struct bk_portmap *pm, size_t router, const struct bk_datagram *in) {
    const struct bk_portmap_router *r = &pm->routers[router];
    struct bk_ip from = in->remote.ip;
    if (r->router.zone == 0)
        from.zone = 0;
    return in->remote.port == PCP_SERVER_PORT && bk_ip_equal(&from, &r->router) &&
           (is_announcement(in) || bk_ip_equal(&in->local.ip, &r->local));
}

static enum bk_err from_router(struct bk_portmap *pm, size_t router, const struct bk_datagram *in) {
    enum bk_err err = pcp_recv(pm, router, in);
    return err == BK_ERR_NOT_OURS ? natpmp_recv(pm, router, in) : err;
}

enum bk_err bk_portmap_recv(struct bk_portmap *pm, const struct bk_datagram *in,
                            struct bk_time now) {
    enum bk_err err = BK_ERR_NOT_OURS;
    set_now(pm, now);
    for (size_t router = 0; router < pm->router_count && err == BK_ERR_NOT_OURS; router++)
        if (is_from(pm, router, in))
            err = from_router(pm, router, in);
    if (err == BK_ERR_NOT_OURS)
        err = verify_recv(pm, in);
    if (err == BK_OK)
        portmap_turn(pm);
    return err;
}

/* --- time --- */

void bk_portmap_advance(struct bk_portmap *pm, struct bk_time now) {
    set_now(pm, now);
    portmap_turn(pm);
}

static struct bk_time want_deadline(const struct bk_portmap *pm, const struct want *w) {
    struct bk_time t = BK_NEVER;
    for (size_t router = 0; router < pm->router_count; router++) {
        const struct entry *e = &w->at[router];
        enum bk_portmap_way best = race_best(e);
        for (unsigned way = 0; way < WAYS; way++) {
            const struct lease *l = &e->leases[way];
            bool spare = l->state == LEASE_HELD && way != (unsigned)best;
            t = bk_earlier(t, spare ? l->expires : lease_deadline(l));
        }
        t = bk_earlier(t, race_deadline(pm, w, router));
        if (e->verify.step != VERIFY_IDLE && !e->verify.repeat.want_send)
            t = bk_earlier(t, e->verify.repeat.due);
    }
    return t;
}

struct bk_time bk_portmap_deadline(const struct bk_portmap *pm) {
    struct bk_time t = pm->stop_by;
    if (pm->job.out)
        t = bk_earlier(t, pm->job.give_up);
    for (size_t router = 0; router < pm->router_count; router++)
        t = bk_earlier(t, road_deadline(pm, router));
    for (uint32_t i = 0; i < pm->config.wants_max; i++)
        if (pm->wants[i].used)
            t = bk_earlier(t, want_deadline(pm, &pm->wants[i]));
    return t;
}

/* --- packets out --- */

static void to_router(struct bk_portmap *pm, size_t router, size_t len, struct bk_datagram *out) {
    bk_assert(len > 0);
    *out = (struct bk_datagram){.data = pm->out, .len = len};
    out->local.ip = pm->routers[router].local;
    out->remote = bk_addr(pm->routers[router].router, PCP_SERVER_PORT);
}

static bool next_probe(struct bk_portmap *pm, size_t router, struct bk_datagram *out) {
    struct road *roads = pm->roads[router];
    size_t len;
    if (repeat_take_send(pm, &roads[BK_PORTMAP_PCP].probe))
        len = pcp_probe_build(pm, router);
    else if (repeat_take_send(pm, &roads[BK_PORTMAP_NATPMP].probe))
        len = natpmp_probe_build(pm);
    else
        return false;
    to_router(pm, router, len, out);
    return true;
}

static bool next_lease(struct bk_portmap *pm, struct want *w, size_t router,
                       struct bk_datagram *out) {
    struct at pcp = {w, router, BK_PORTMAP_PCP}, natpmp = {w, router, BK_PORTMAP_NATPMP};
    size_t len;
    if (repeat_take_send(pm, &lease_of(&pcp)->repeat))
        len = pcp_lease_build(pm, &pcp);
    else if (repeat_take_send(pm, &lease_of(&natpmp)->repeat))
        len = natpmp_lease_build(pm, &natpmp);
    else
        return false;
    to_router(pm, router, len, out);
    return true;
}

bool bk_portmap_next_datagram(struct bk_portmap *pm, struct bk_datagram *out) {
    for (size_t router = 0; router < pm->router_count; router++) {
        for (uint32_t i = 0; i < pm->config.wants_max; i++)
            if (pm->wants[i].used && (next_lease(pm, &pm->wants[i], router, out) ||
                                      verify_next(pm, &pm->wants[i], router, out)))
                return true;
        if (next_probe(pm, router, out))
            return true;
    }
    return false;
}

bool bk_portmap_next_job(struct bk_portmap *pm, struct bk_portmap_job *out) {
    return upnp_next_job(pm, out);
}

void bk_portmap_job_done(struct bk_portmap *pm, const struct bk_portmap_result *result,
                         struct bk_time now) {
    set_now(pm, now);
    upnp_done(pm, result);
    portmap_turn(pm);
}

/* --- events and views --- */

static bool next_of_entry(struct entry *e, struct bk_portmap_event *out) {
    static const enum bk_portmap_event_kind kinds[] = {BK_PORTMAP_LOST, BK_PORTMAP_MAPPED,
                                                       BK_PORTMAP_TRIED, BK_PORTMAP_FAILED};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((e->events & 1U << kinds[i]) != 0) {
            e->events = (uint8_t)(e->events & ~(1U << kinds[i]));
            out->kind = kinds[i];
            out->way = e->told_way;
            return true;
        }
    return false;
}

bool bk_portmap_next_event(struct bk_portmap *pm, struct bk_portmap_event *out) {
    *out = (struct bk_portmap_event){.kind = BK_PORTMAP_WAY};
    if (pm->stopped_told)
        return false;
    for (; out->router < pm->router_count; out->router++)
        for (unsigned way = 0; way < WAYS; way++) {
            struct road *road = &pm->roads[out->router][way];
            out->way = (enum bk_portmap_way)way;
            if (!road->told) {
                road->told = true;
                return true;
            }
        }
    for (out->want = 0; out->want < pm->config.wants_max; out->want++)
        for (out->router = 0; out->router < ROUTERS; out->router++)
            if (pm->wants[out->want].used &&
                next_of_entry(&pm->wants[out->want].at[out->router], out))
                return true;
    if (!pm->stopping || pm->stopped_told || !is_idle(pm))
        return false;
    pm->stopped_told = true;
    *out = (struct bk_portmap_event){.kind = BK_PORTMAP_STOPPED};
    return true;
}

enum bk_err bk_portmap_lease(const struct bk_portmap *pm, uint32_t want, size_t router,
                             struct bk_portmap_lease *out) {
    if (want >= pm->config.wants_max || router >= pm->router_count || !pm->wants[want].used)
        return BK_ERR_NOT_FOUND;
    const struct entry *e = &pm->wants[want].at[router];
    enum bk_portmap_way best = race_best(e);
    if (best == BK_PORTMAP_WAYS)
        return BK_ERR_NOT_FOUND;
    const struct lease *l = &e->leases[best];
    *out = (struct bk_portmap_lease){
        .way = best,
        .router = pm->routers[router],
        .protocol = pm->wants[want].want.protocol,
        .internal_port = pm->wants[want].want.internal_port,
        .external = l->external,
        .is_public = bk_ip_scope(&l->external.ip) == BK_SCOPE_GLOBAL,
        .lifetime_s = bk_is_never(l->expires) ? 0 : l->lifetime_s,
        .since = l->since,
        .expires = l->expires,
        .proof = e->verify.proof,
        .seen = e->verify.seen,
    };
    return BK_OK;
}

enum bk_err bk_portmap_view(const struct bk_portmap *pm, size_t router, enum bk_portmap_way way,
                            struct bk_portmap_view *out) {
    if (router >= pm->router_count || way >= BK_PORTMAP_WAYS)
        return BK_ERR_NOT_FOUND;
    const struct road *road = &pm->roads[router][way];
    *out = (struct bk_portmap_view){.router = pm->routers[router],
                                    .offer = road->offer,
                                    .code = road->code,
                                    .external = road->external,
                                    .epoch_s = road->epoch.server_s,
                                    .rtt_us = road->rtt_us};
    return BK_OK;
}
