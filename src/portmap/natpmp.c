/* SPDX-License-Identifier: MIT
 * RFC 6886, the client. */
#include "portmap/state.h"

static enum natpmp_opcode opcode_of(const struct bk_portmap_want *w) {
    return w->protocol == BK_TCP ? NATPMP_MAP_TCP : NATPMP_MAP_UDP;
}

size_t natpmp_probe_build(struct bk_portmap *pm) {
    const struct natpmp_request q = {.opcode = NATPMP_EXTERNAL};
    return natpmp_build_request(&q, pm->out, sizeof pm->out);
}

size_t natpmp_lease_build(struct bk_portmap *pm, const struct at *at) {
    const struct bk_portmap_want *w = &at->want->want;
    const struct lease *l = lease_of(at);
    struct natpmp_request q = {.opcode = opcode_of(w), .internal_port = w->internal_port};
    if (l->state != LEASE_RELEASING) { /* RFC 6886 section 3.4: both zero when it is released */
        q.external_port = l->suggested;
        q.lifetime_s = lease_lifetime(pm, at);
    }
    return natpmp_build_request(&q, pm->out, sizeof pm->out);
}

static void heard(struct bk_portmap *pm, size_t router, const struct natpmp_response *p,
                  const struct repeat *asked, bool announced) {
    struct road *road = &pm->roads[router][BK_PORTMAP_NATPMP];
    road_heard(pm, road, asked);
    if (!epoch_natpmp(&road->epoch, p->epoch_s, pm->now))
        road_lost_state(pm, router, BK_PORTMAP_NATPMP, announced);
}

/* RFC 6886 section 3.2.1: told when it changes, too. */
static enum bk_err external(struct bk_portmap *pm, size_t router, const struct bk_datagram *in,
                            const struct natpmp_response *p) {
    struct road *road = &pm->roads[router][BK_PORTMAP_NATPMP];
    bool announced = is_announcement(in);
    if (!road->probe.on && !announced)
        return BK_ERR_NOT_OURS;
    heard(pm, router, p, &road->probe, announced);
    repeat_stop(&road->probe);
    if (p->result != NATPMP_SUCCESS || bk_ip_is_any(&p->external)) {
        road_offer(road, BK_PORTMAP_REFUSED,
                   p->result != NATPMP_SUCCESS ? p->result : NATPMP_NETWORK_FAILURE);
        road->again = bk_after(pm->now, LATER_US);
        return BK_OK;
    }
    bool moved =
        road->external.family != BK_FAMILY_NONE && !bk_ip_equal(&road->external, &p->external);
    road->external = p->external;
    if (moved)
        road_lost_state(pm, router, BK_PORTMAP_NATPMP, announced);
    return BK_OK;
}

static bool find(struct bk_portmap *pm, size_t router, const struct natpmp_response *p,
                 struct at *at) {
    for (uint32_t i = 0; i < pm->config.wants_max; i++) {
        const struct bk_portmap_want *w = &pm->wants[i].want;
        *at = (struct at){&pm->wants[i], router, BK_PORTMAP_NATPMP};
        if (pm->wants[i].used && lease_of(at)->repeat.on && p->opcode == (uint8_t)opcode_of(w) &&
            p->internal_port == w->internal_port)
            return true;
    }
    return false;
}

static void answered(struct bk_portmap *pm, const struct at *at, const struct natpmp_response *p) {
    const struct bk_portmap_want *w = &at->want->want;
    struct lease *l = lease_of(at);
    struct bk_addr outside = bk_addr(road_of(pm, at)->external, p->external_port);
    if (l->state == LEASE_RELEASING) {
        lease_released(pm, at);
        return;
    }
    if (p->result != NATPMP_SUCCESS) {
        lease_refused(pm, at, BK_ERR_REFUSED, p->result, LATER_US);
        return;
    }
    lease_granted(pm, at, &outside, p->lifetime_s);
    /* NAT-PMP cannot insist on a port, so what is not the right one goes back. */
    if (l->state == LEASE_HELD && w->exact && p->external_port != l->suggested) {
        l->err = BK_ERR_EXISTS;
        lease_release(pm, at);
    }
}

enum bk_err natpmp_recv(struct bk_portmap *pm, size_t router, const struct bk_datagram *in) {
    struct natpmp_response p;
    struct at at;
    enum bk_err err = natpmp_parse_response(in->data, in->len, &p);
    if (err != BK_OK)
        return err;
    if (p.result == NATPMP_UNSUPP_VERSION) { /* only PCP has another version: RFC 6887 appendix A */
        pcp_is_absent(pm, router);
        return BK_OK;
    }
    if (pm->config.off[BK_PORTMAP_NATPMP] || !is_v4(pm, router))
        return BK_ERR_NOT_OURS;
    if (p.opcode == NATPMP_EXTERNAL)
        return external(pm, router, in, &p);
    if (is_announcement(in) || !find(pm, router, &p, &at))
        return BK_ERR_NOT_OURS;
    heard(pm, router, &p, &lease_of(&at)->repeat, false);
    answered(pm, &at, &p);
    return BK_OK;
}
