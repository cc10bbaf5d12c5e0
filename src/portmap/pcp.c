/* SPDX-License-Identifier: MIT
 * RFC 6887, the client. */
#include "portmap/state.h"

#include <string.h>

#define VERSION_AGAIN_US                                                                           \
    (1800 * BK_US_PER_S) /* RFC 6887 section 9: after 30 minutes at the earliest */
enum {
    ERROR_MIN_S = 30,
    ERROR_MAX_S = 1800
}; /* RFC 6887 section 15: errors are believed for 30 minutes */

static uint8_t protocol_number(uint8_t protocol) {
    return protocol == BK_TCP ? PCP_PROTOCOL_TCP : PCP_PROTOCOL_UDP;
}

size_t pcp_probe_build(struct bk_portmap *pm, size_t router) {
    const struct pcp_request q = {.opcode = PCP_ANNOUNCE, .client = pm->routers[router].local};
    return pcp_build_request(&q, pm->out, sizeof pm->out);
}

/* RFC 6887 section 11.2.1: a renewal suggests what was assigned. */
size_t pcp_lease_build(struct bk_portmap *pm, const struct at *at) {
    const struct bk_portmap_want *w = &at->want->want;
    const struct lease *l = lease_of(at);
    bool release = l->state == LEASE_RELEASING;
    struct pcp_request q = {.opcode = PCP_MAP,
                            .lifetime_s = release ? 0 : lease_lifetime(pm, at),
                            .client = pm->routers[at->router].local};
    memcpy(q.map.nonce, l->nonce, sizeof q.map.nonce);
    q.map.protocol = protocol_number(w->protocol);
    q.map.internal_port = w->internal_port;
    q.map.external = l->external;
    q.map.external.port = l->suggested;
    q.prefer_failure = w->exact && !release;
    if (w->peer.ip.family != BK_FAMILY_NONE) {
        q.opcode = PCP_PEER;
        q.map.peer = w->peer;
        q.prefer_failure = false; /* RFC 6887 section 13.2: in MAP only */
    }
    return pcp_build_request(&q, pm->out, sizeof pm->out);
}

/* RFC 6887 sections 11.4 and 12.3: protocol, internal port, nonce, and PEER's peer are those of a
 * request that is out. */
static bool is_answer(const struct at *at, const struct pcp_response *p) {
    const struct bk_portmap_want *w = &at->want->want;
    const struct lease *l = lease_of(at);
    bool peer = w->peer.ip.family != BK_FAMILY_NONE;
    return at->want->used && l->repeat.on && p->opcode == (peer ? PCP_PEER : PCP_MAP) &&
           p->map.protocol == protocol_number(w->protocol) &&
           p->map.internal_port == w->internal_port &&
           memcmp(p->map.nonce, l->nonce, sizeof l->nonce) == 0 &&
           (!peer || bk_addr_equal(&p->map.peer, &w->peer));
}

static bool find(struct bk_portmap *pm, size_t router, const struct pcp_response *p,
                 struct at *at) {
    for (uint32_t i = 0; i < pm->config.wants_max; i++) {
        *at = (struct at){&pm->wants[i], router, BK_PORTMAP_PCP};
        if (is_answer(at, p))
            return true;
    }
    return false;
}

static int64_t error_us(uint32_t lifetime_s) {
    uint32_t s = lifetime_s < ERROR_MIN_S ? ERROR_MIN_S : lifetime_s;
    return (int64_t)(s < ERROR_MAX_S ? s : ERROR_MAX_S) * BK_US_PER_S;
}

static void answered(struct bk_portmap *pm, const struct at *at, const struct pcp_response *p) {
    if (lease_of(at)->state == LEASE_RELEASING)
        lease_released(pm, at); /* or it was gone before: an error says the same */
    else if (p->result == PCP_SUCCESS && at->want->want.exact &&
             p->map.external.port != lease_of(at)->suggested)
        lease_refused(pm, at, BK_ERR_MALFORMED, 0, LATER_US); /* RFC 6887 section 13.2 forbids it */
    else if (p->result == PCP_SUCCESS)
        lease_granted(pm, at, &p->map.external, p->lifetime_s);
    else
        lease_refused(pm, at, BK_ERR_REFUSED, p->result, error_us(p->lifetime_s));
}

/* RFC 6887 section 9: the router knows other versions of PCP, or none at all; appendix A: NAT-PMP.
 */
static void absent(struct bk_portmap *pm, size_t router, enum bk_portmap_way way, uint16_t code) {
    struct road *road = &pm->roads[router][way];
    road_offer(road, BK_PORTMAP_ABSENT, code);
    repeat_stop(&road->probe);
    road->again = bk_after(pm->now, VERSION_AGAIN_US);
    for (uint32_t i = 0; i < pm->config.wants_max; i++) {
        struct at at = {&pm->wants[i], router, way};
        if (pm->wants[i].used && lease_of(&at)->state == LEASE_ASKING)
            lease_refused(pm, &at, BK_ERR_UNSUPPORTED, code, VERSION_AGAIN_US);
    }
}

void pcp_is_absent(struct bk_portmap *pm, size_t router) {
    if (pm->roads[router][BK_PORTMAP_PCP].offer != BK_PORTMAP_OFFERED)
        absent(pm, router, BK_PORTMAP_PCP, PCP_UNSUPP_VERSION);
}

static enum bk_err other_version(struct bk_portmap *pm, size_t router,
                                 const struct pcp_response *p) {
    /* Ours is version 2, so this is about NAT-PMP's 0. */
    enum bk_portmap_way way = p->version == PCP_VERSION ? BK_PORTMAP_NATPMP : BK_PORTMAP_PCP;
    const struct road *road = &pm->roads[router][way];
    if (road->offer == BK_PORTMAP_OFFERED || road->offer == BK_PORTMAP_NOT_ASKED)
        return BK_ERR_NOT_OURS; /* it has spoken it before, or was not asked */
    absent(pm, router, way, PCP_UNSUPP_VERSION);
    return BK_OK;
}

static void heard(struct bk_portmap *pm, size_t router, const struct pcp_response *p,
                  const struct repeat *asked, bool announced) {
    struct road *road = &pm->roads[router][BK_PORTMAP_PCP];
    road_heard(pm, road, asked);
    if (!epoch_pcp(&road->epoch, p->epoch_s, pm->now))
        road_lost_state(pm, router, BK_PORTMAP_PCP, announced);
}

/* RFC 6887 section 14.1: the answer to ours, or one that nobody asked for. */
static enum bk_err announced(struct bk_portmap *pm, size_t router, const struct bk_datagram *in,
                             const struct pcp_response *p) {
    struct road *road = &pm->roads[router][BK_PORTMAP_PCP];
    bool asked = road->probe.on;
    if (pm->config.off[BK_PORTMAP_PCP] || (!asked && !is_announcement(in)))
        return BK_ERR_NOT_OURS;
    heard(pm, router, p, &road->probe, is_announcement(in));
    if (asked && p->result != PCP_SUCCESS)
        road->code = p->result; /* UNSUPP_OPCODE is an answer, too */
    repeat_stop(&road->probe);
    return BK_OK;
}

enum bk_err pcp_recv(struct bk_portmap *pm, size_t router, const struct bk_datagram *in) {
    struct pcp_response p;
    struct at at;
    enum bk_err err = pcp_parse_response(in->data, in->len, &p);
    if (err != BK_OK)
        return err;
    if (p.result == PCP_UNSUPP_VERSION)
        return other_version(pm, router, &p);
    if (p.opcode == PCP_ANNOUNCE)
        return announced(pm, router, in, &p);
    if (!p.has_map || !find(pm, router, &p, &at))
        return BK_ERR_NOT_OURS;
    heard(pm, router, &p, &lease_of(&at)->repeat, false);
    answered(pm, &at, &p);
    return BK_OK;
}
