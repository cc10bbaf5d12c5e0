/* SPDX-License-Identifier: MIT */
#include "ice/cand.h"

#include "base/text.h"

#include <string.h>

/* RFC 8445 sections 5.1.2.1 and 5.1.2.2: recommended type preferences. */
static const uint8_t type_preference[BK_ICE_KINDS] = {
    [BK_ICE_HOST] = 126, [BK_ICE_SRFLX] = 100, [BK_ICE_PRFLX] = 110, [BK_ICE_RELAYED] = 0};

/* RFC 8445 sections 5.1.2 and 5.1.2.1: the sum is unique as the preference is, and below 2^31 as
 * the kind's is at most 126. */
/* How much less a type is worth over TCP: below every kind of UDP but the relayed one. */
enum { TCP_TYPE_STEP = 27 };

static uint32_t type_preference_of(enum bk_ice_kind kind, enum bk_ice_transport transport) {
    uint32_t own = type_preference[kind];
    if (transport == BK_ICE_UDP)
        return own;
    return own < TCP_TYPE_STEP ? 0 : own - TCP_TYPE_STEP;
}

uint32_t ice_priority(enum bk_ice_kind kind, enum bk_ice_transport transport, uint16_t preference,
                      uint16_t component) {
    return type_preference_of(kind, transport) << 24 | (uint32_t)preference << 8 |
           (256u - component);
}

uint32_t ice_prflx_priority(const struct ice_cand *local) {
    uint32_t own = local->priority & 0xffffff;
    return type_preference_of(BK_ICE_PRFLX, (enum bk_ice_transport)local->transport) << 24 | own;
}

bool ice_addr_same(const struct bk_addr *a, const struct bk_addr *b) {
    bool zones = a->ip.zone == b->ip.zone || a->ip.zone == 0 || b->ip.zone == 0;
    return a->port == b->port && a->ip.family == b->ip.family && zones &&
           memcmp(a->ip.bytes, b->ip.bytes, sizeof a->ip.bytes) == 0;
}

bool ice_addr_is_usable(const struct bk_addr *addr) {
    return (addr->ip.family == BK_IPV4 || addr->ip.family == BK_IPV6) && addr->port != 0 &&
           bk_ip_scope(&addr->ip) != BK_SCOPE_NONE;
}

static bool is_link_local_v6(const struct bk_ip *ip) {
    return ip->family == BK_IPV6 && bk_ip_scope(ip) == BK_SCOPE_LINK;
}

static bool is_loopback(const struct bk_ip *ip) {
    return bk_ip_scope(ip) == BK_SCOPE_LOOPBACK;
}

/* RFC 6544 section 6.2's table. */
static bool transports_fit(const struct ice_cand *local, const struct ice_cand *remote) {
    switch ((enum bk_ice_transport)local->transport) {
    case BK_ICE_UDP:
    case BK_ICE_TCP_SO:
        return remote->transport == local->transport;
    case BK_ICE_TCP_ACTIVE:
        return remote->transport == BK_ICE_TCP_PASSIVE;
    case BK_ICE_TCP_PASSIVE: /* a signalled one has no port one could send to */
        return remote->transport == BK_ICE_TCP_ACTIVE && remote->kind == BK_ICE_PRFLX;
    }
    return false;
}

bool ice_cands_fit(const struct ice_cand *local, const struct ice_cand *remote) {
    const struct bk_ip *a = &local->base.ip, *b = &remote->addr.ip;
    return local->comp == remote->comp && transports_fit(local, remote) && a->family == b->family &&
           is_link_local_v6(a) == is_link_local_v6(b) && is_loopback(a) == is_loopback(b);
}

size_t ice_cands_count(const struct ice_cands *cands, enum bk_ice_kind kind) {
    size_t n = 0;
    for (uint16_t i = 0; i < cands->top; i++)
        n += cands->slots[i].used && cands->slots[i].kind == kind;
    return n;
}

/* RFC 8421 section 4.1: IPv6 a little before IPv4; and unique within a kind, RFC 8445 section
 * 5.1.2.1: two steps down for each one that is there, from whichever server (section 5.1.2.2). */
static uint16_t default_preference(const struct ice_cands *cands, const struct ice_cand *cand) {
    uint32_t before = 0;
    for (uint16_t i = 0; i < cands->top; i++) {
        const struct ice_cand *c = &cands->slots[i];
        before += c->used && c->kind == cand->kind && c->comp == cand->comp &&
                  c->transport == cand->transport && c->addr.ip.family == cand->addr.ip.family;
    }
    uint32_t down = 2 * before + (cand->addr.ip.family == BK_IPV4);
    if (cand->transport != BK_ICE_UDP) /* of the 13 bits that are left, RFC 6544 section 4.2 */
        down *= 8;
    uint16_t own = (uint16_t)(down > 65000 ? 535 : 65535 - down);
    if (cand->transport == BK_ICE_UDP)
        return own;
    return bk_checker_tcp_preference((enum bk_ice_kind)cand->kind,
                                     (enum bk_ice_transport)cand->transport, own);
}

/* RFC 8445 sections 5.1.2.1 and 5.1.2.2: unique within kind and component, whoever chose it and
 * whatever has gone meanwhile. */
static bool is_taken(const struct ice_cands *cands, const struct ice_cand *cand) {
    for (uint16_t i = 0; i < cands->top; i++) {
        const struct ice_cand *c = &cands->slots[i];
        if (c->used && c->kind == cand->kind && c->comp == cand->comp &&
            c->preference == cand->preference)
            return true;
    }
    return false;
}

/* RFC 8445 section 5.1.1.3: same kind, same base address, same server, same transport protocol. */
static bool same_foundation(const struct ice_cand *a, const struct ice_cand *b) {
    return a->kind == b->kind && a->transport == b->transport &&
           bk_ip_equal(&a->base.ip, &b->base.ip) && a->server == b->server;
}

static void make_foundation(struct ice_cands *cands, struct ice_cand *cand) {
    for (uint16_t i = 0; i < cands->top; i++) {
        const struct ice_cand *c = &cands->slots[i];
        if (c != cand && c->used && same_foundation(c, cand)) {
            memcpy(cand->foundation, c->foundation, sizeof cand->foundation);
            return;
        }
    }
    struct text t = text_in(cand->foundation, sizeof cand->foundation);
    text_u64(&t, ++cands->next_foundation);
}

/* FNV-1a. A collision would make two servers' candidates one foundation, and only delay checks. */
static uint32_t hash_of(const struct bk_ip *ip) {
    uint32_t hash = UINT32_C(0x811c9dc5);
    for (size_t i = 0; i < sizeof ip->bytes; i++)
        hash = (hash ^ ip->bytes[i]) * UINT32_C(0x01000193);
    return hash ^ ip->family;
}

static uint16_t take_slot(struct ice_cands *cands) {
    for (uint16_t i = 0; i < cands->cap; i++) {
        if (cands->slots[i].used)
            continue;
        if (i >= cands->top)
            cands->top = (uint16_t)(i + 1);
        return i;
    }
    return ICE_NONE;
}

uint16_t ice_cands_add(struct ice_cands *cands, const struct bk_ice_candidate *from,
                       uint16_t comp) {
    struct ice_cand c = {.kind = (uint8_t)from->kind,
                         .transport = (uint8_t)from->transport,
                         .comp = comp,
                         .stream = from->stream,
                         .component = from->component == 0 ? 1 : from->component,
                         .preference = from->preference,
                         .priority = from->priority,
                         .addr = from->addr,
                         .base = from->base.ip.family == BK_FAMILY_NONE ? from->addr : from->base,
                         .server = hash_of(&from->server.ip)};
    memcpy(c.foundation, from->foundation, BK_ICE_FOUNDATION_MAX);
    if (c.preference == 0)
        c.preference = default_preference(cands, &c);
    while (c.priority == 0 && is_taken(cands, &c)) /* at most once for each of them */
        c.preference = (uint16_t)(c.preference - 2);
    if (c.priority == 0)
        c.priority = ice_priority(from->kind, from->transport, c.preference, c.component);
    uint16_t at = take_slot(cands);
    if (at == ICE_NONE)
        return at;
    if (c.foundation[0] == '\0')
        make_foundation(cands, &c);
    c.used = true;
    cands->slots[at] = c;
    return at;
}

void ice_cands_remove(struct ice_cands *cands, uint16_t index) {
    memset(&cands->slots[index], 0, sizeof cands->slots[index]);
    while (cands->top > 0 && !cands->slots[cands->top - 1].used)
        cands->top--;
}

uint16_t ice_cands_find(const struct ice_cands *cands, const struct ice_cand_key *key) {
    for (uint16_t i = 0; i < cands->top; i++) {
        const struct ice_cand *c = &cands->slots[i];
        if (c->used && !c->old && c->comp == key->comp && ice_cand_is_tcp(c) == key->tcp &&
            ice_addr_same(&c->addr, key->addr) &&
            (key->base == NULL || ice_addr_same(&c->base, key->base)))
            return i;
    }
    return ICE_NONE;
}

static bool leaves_from(const struct ice_cand *cand, const struct bk_addr *local) {
    if (!bk_ip_is_any(&local->ip))
        return ice_addr_same(&cand->base, local);
    return cand->base.ip.family == local->ip.family && cand->base.port == local->port;
}

uint16_t ice_cands_find_base(const struct ice_cands *cands, const struct bk_addr *local, bool tcp) {
    uint16_t best = ICE_NONE;
    for (uint16_t i = 0; i < cands->top; i++) {
        const struct ice_cand *c = &cands->slots[i];
        if (!c->used || c->kind == BK_ICE_PRFLX || ice_cand_is_tcp(c) != tcp ||
            !leaves_from(c, local))
            continue;
        if (best == ICE_NONE || c->priority > cands->slots[best].priority)
            best = i;
    }
    return best;
}

void ice_cand_export(const struct ice_cand *cand, struct bk_ice_candidate *out) {
    memset(out, 0, sizeof *out);
    out->kind = (enum bk_ice_kind)cand->kind;
    out->transport = (enum bk_ice_transport)cand->transport;
    out->stream = cand->stream;
    out->component = cand->component;
    out->addr = cand->addr;
    out->base = cand->base;
    out->priority = cand->priority;
    out->preference = cand->preference;
    memcpy(out->foundation, cand->foundation, sizeof out->foundation);
}
