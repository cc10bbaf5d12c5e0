/* SPDX-License-Identifier: MIT
 * UPnP's Internet Gateway Device as jobs for somebody who can speak HTTP and SOAP. */
#include "portmap/state.h"

#include "base/rng.h"

enum {
    CONFLICT = 718, /* ConflictInMappingEntry, WANIPConnection:1 section 2.4.16.2 */
    TRIES_MAX = 4,
    PORT_MIN = 1024
};

static void take(struct bk_portmap *pm, enum bk_portmap_job_kind kind, const struct at *at,
                 struct bk_portmap_job *out) {
    pm->job = (struct job){.out = true,
                           .number = ++pm->job_number,
                           .want = at->want != NULL ? (uint32_t)(at->want - pm->wants) : 0,
                           .router = at->router,
                           .kind = kind,
                           .give_up = bk_after(pm->now, JOB_US)};
    *out = (struct bk_portmap_job){
        .kind = kind, .number = pm->job.number, .router = pm->routers[at->router]};
    if (at->want == NULL)
        return;
    const struct lease *l = lease_of(at);
    out->protocol = at->want->want.protocol;
    out->internal_port = at->want->want.internal_port;
    out->external_port = is_v4(pm, at->router) ? l->suggested : out->internal_port;
    if (l->external.port != 0)
        out->external_port = l->external.port;
    out->lifetime_s = lease_lifetime(pm, at);
    out->exact = at->want->want.exact;
    out->renew = l->state == LEASE_HELD;
    out->pinhole = l->pinhole;
}

static bool next_of_want(struct bk_portmap *pm, struct want *w, struct bk_portmap_job *out) {
    for (size_t router = 0; router < pm->router_count; router++) {
        struct at at = {w, router, BK_PORTMAP_UPNP};
        struct lease *l = lease_of(&at);
        if (!repeat_take_send(pm, &l->repeat))
            continue;
        take(pm, l->state == LEASE_RELEASING ? BK_PORTMAP_CLOSE : BK_PORTMAP_OPEN, &at, out);
        return true;
    }
    return false;
}

bool upnp_next_job(struct bk_portmap *pm, struct bk_portmap_job *out) {
    if (pm->job.out)
        return false;
    for (uint32_t i = 0; i < pm->config.wants_max; i++)
        if (pm->wants[i].used && next_of_want(pm, &pm->wants[i], out))
            return true;
    for (size_t router = 0; router < pm->router_count; router++) {
        struct at at = {NULL, router, BK_PORTMAP_UPNP};
        if (!repeat_take_send(pm, &pm->roads[router][BK_PORTMAP_UPNP].probe))
            continue;
        take(pm, BK_PORTMAP_FIND, &at, out);
        return true;
    }
    return false;
}

static void found(struct bk_portmap *pm, size_t router, const struct bk_portmap_result *result) {
    struct road *road = &pm->roads[router][BK_PORTMAP_UPNP];
    if (!road->probe.on)
        return;
    if (result->err == BK_OK) {
        road_heard(pm, road, &road->probe);
        road->external = result->external.ip;
        road->code = result->code;
    } else {
        road_offer(road, result->err == BK_ERR_REFUSED ? BK_PORTMAP_REFUSED : BK_PORTMAP_SILENT,
                   result->code);
        road->again = bk_after(pm->now, LATER_US);
    }
    repeat_stop(&road->probe);
}

/* Somebody else has the port: another one is as good, unless it is wanted exactly. */
static bool tries_another(struct bk_portmap *pm, const struct at *at,
                          const struct bk_portmap_result *result) {
    struct lease *l = lease_of(at);
    if (result->err != BK_ERR_REFUSED || result->code != CONFLICT || at->want->want.exact ||
        ++l->tries >= TRIES_MAX)
        return false;
    l->suggested = (uint16_t)(PORT_MIN + rng_below(&pm->rng, UINT16_MAX + 1 - PORT_MIN));
    l->external.port = 0;
    repeat_start(pm, &l->repeat, BK_PORTMAP_UPNP);
    return true;
}

static void opened(struct bk_portmap *pm, const struct at *at,
                   const struct bk_portmap_result *result) {
    struct lease *l = lease_of(at);
    if (l->state != LEASE_ASKING && l->state != LEASE_HELD)
        return;
    if (result->err == BK_OK) {
        l->pinhole = result->pinhole;
        lease_granted(pm, at, &result->external, result->lifetime_s);
        return;
    }
    if (l->state == LEASE_ASKING && tries_another(pm, at, result))
        return;
    l->tries = 0;
    lease_refused(pm, at, result->err, result->code, LATER_US);
    if (l->state == LEASE_HELD && bk_is_never(l->renew))
        l->renew = bk_after(pm->now, LATER_US);
}

void upnp_done(struct bk_portmap *pm, const struct bk_portmap_result *result) {
    if (!pm->job.out || result->number != pm->job.number)
        return;
    const struct job job = pm->job;
    struct at at = {&pm->wants[job.want], job.router, BK_PORTMAP_UPNP};
    pm->job.out = false;
    if (job.router >= pm->router_count)
        return; /* it went meanwhile */
    if (job.kind == BK_PORTMAP_FIND) {
        found(pm, job.router, result);
        return;
    }
    struct lease *l = lease_of(&at);
    if (!at.want->used)
        return;
    if (job.kind == BK_PORTMAP_OPEN)
        opened(pm, &at, result);
    else if (l->state == LEASE_RELEASING)
        lease_released(pm, &at);
}

void upnp_advance(struct bk_portmap *pm) {
    if (!pm->job.out || !bk_due(pm->job.give_up, pm->now))
        return;
    const struct bk_portmap_result late = {.number = pm->job.number, .err = BK_ERR_TIMEOUT};
    upnp_done(pm, &late);
}
