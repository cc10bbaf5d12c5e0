/* SPDX-License-Identifier: MIT */
#include "agent/agent.h"

#include "base/rng.h"

#include <string.h>

uint16_t agent_base_find(const struct bk_ice *ice, const struct bk_addr *addr,
                         enum bk_protocol protocol) {
    for (uint16_t i = 0; i < ice->base_count; i++)
        if (ice->bases[i].used && ice->bases[i].protocol == protocol &&
            bk_addr_equal(&ice->bases[i].addr, addr))
            return i;
    return AGENT_NONE;
}

/* RFC 8421 section 4.1: the families take turns, IPv6 first; tunnels come after real links, and
 * addresses of small scope last. Unique per family, RFC 8445 section 5.1.2.1. */
static uint16_t choose_preference(const struct bk_ice *ice, const struct bk_ice_base *base) {
    uint32_t before = 0;
    for (uint16_t i = 0; i < ice->base_count; i++)
        before += ice->bases[i].used && ice->bases[i].addr.ip.family == base->addr.ip.family;
    uint32_t down = 2 * before + (base->addr.ip.family == BK_IPV4) + (base->vpn ? 16384u : 0);
    enum bk_scope scope = bk_ip_scope(&base->addr.ip);
    if (scope == BK_SCOPE_LINK)
        down += 4096;
    if (scope == BK_SCOPE_LOOPBACK)
        down += 8192;
    return (uint16_t)(65535 - down);
}

static bool is_sane(const struct bk_ice *ice, const struct bk_ice_base *base) {
    uint8_t family = base->addr.ip.family;
    return base->size == sizeof *base && base->addr.port != 0 &&
           (family == BK_IPV4 || family == BK_IPV6) &&
           bk_ip_scope(&base->addr.ip) != BK_SCOPE_NONE && base->stream < ice->config.streams &&
           base->component <= ice->config.components &&
           (base->protocol == BK_UDP || base->protocol == BK_TCP);
}

static bool is_switched_on(const struct bk_ice *ice, const struct bk_ice_base *base) {
    bool family = base->addr.ip.family == BK_IPV6 ? ice->config.ipv6 : ice->config.ipv4;
    return family && (base->protocol == BK_UDP || ice->config.tcp);
}

/* draft-ietf-mmusic-mdns-ice-candidates section 3.1.1: a version 4 UUID (RFC 9562 section 5.4), one
 * for each IP address. */
static void name_base(struct bk_ice *ice, struct agent_base *base) {
    for (uint16_t i = 0; i < ice->base_count; i++) {
        const struct agent_base *b = &ice->bases[i];
        if (!b->used || b == base || !bk_ip_equal(&b->addr.ip, &base->addr.ip))
            continue;
        memcpy(base->uuid, b->uuid, sizeof base->uuid);
        return;
    }
    rng_fill(ice->config.rng, base->uuid, sizeof base->uuid);
    base->uuid[6] = (uint8_t)((base->uuid[6] & 0x0f) | 0x40);
    base->uuid[8] = (uint8_t)((base->uuid[8] & 0x3f) | 0x80);
    base->publish = AGENT_PUBLISH_WANTED;
}

void agent_base_name(const struct agent_base *base, char *out) {
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    const uint8_t *at = base->uuid;
    struct text t = text_in(out, SDP_NAME_MAX);
    for (size_t i = 0; i < sizeof groups; i++) {
        if (i > 0)
            text_char(&t, '-');
        text_hex(&t, at, groups[i]);
        at += groups[i];
    }
    text_str(&t, ".local");
}

static uint16_t take_slot(struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->base_count; i++)
        if (!ice->bases[i].used)
            return i;
    if (ice->base_count == ice->base_cap &&
        !agent_grow(ice, &ice->bases, &ice->base_cap, sizeof *ice->bases, ice->config.locals_max))
        return AGENT_NONE;
    return ice->base_count++;
}

enum bk_err bk_ice_add_base(struct bk_ice *ice, const struct bk_ice_base *base,
                            struct bk_time now) {
    if (!is_sane(ice, base))
        return BK_ERR_ARGUMENT;
    if (!is_switched_on(ice, base))
        return BK_ERR_UNSUPPORTED;
    if (agent_base_find(ice, &base->addr, base->protocol) != AGENT_NONE)
        return BK_ERR_EXISTS;
    uint16_t preference = base->preference != 0 ? base->preference : choose_preference(ice, base);
    uint16_t at = take_slot(ice);
    if (at == AGENT_NONE)
        return BK_ERR_FULL;
    ice->bases[at] = (struct agent_base){.addr = base->addr,
                                         .used = true,
                                         .vpn = base->vpn,
                                         .so = base->simultaneous,
                                         .protocol = (uint8_t)base->protocol,
                                         .stream = base->stream,
                                         .component = base->component == 0 ? 1 : base->component,
                                         .preference = preference,
                                         .alive_at = BK_NEVER};
    if (ice->config.mdns && agent_may_show_host(ice, &base->addr))
        name_base(ice, &ice->bases[at]);
    (void)agent_see(ice, now);
    if (ice->gathering || ice->gathered) {
        agent_gather_base(ice, at);
        agent_changed(ice);
    }
    agent_turn(ice, now);
    return BK_OK;
}

enum bk_err bk_ice_remove_base(struct bk_ice *ice, const struct bk_addr *addr,
                               enum bk_protocol protocol, struct bk_time now) {
    uint16_t at = agent_base_find(ice, addr, protocol);
    if (at == AGENT_NONE)
        return BK_ERR_NOT_FOUND;
    (void)agent_see(ice, now);
    agent_gather_drop_base(ice, at);
    agent_relays_drop_base(ice, at);
    if (protocol == BK_TCP)
        agent_conns_drop_base(ice, addr);
    agent_cands_drop_base(ice, at);
    ice->bases[at].used = false;
    enum bk_err err = bk_checker_remove_base(ice->checker, addr, protocol, now);
    (void)err; /* nothing may stand on it */
    if (ice->gathering || ice->gathered)
        agent_changed(ice);
    agent_turn(ice, now);
    return BK_OK;
}

void bk_ice_network_changed(struct bk_ice *ice, struct bk_time now) {
    (void)agent_see(ice, now);
    agent_changed(ice);
    agent_turn(ice, now);
}
