/* SPDX-License-Identifier: MIT */
#include "agent/agent.h"

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
    if (agent_base_find(ice, &base->addr, base->protocol) != AGENT_NONE)
        return BK_ERR_EXISTS;
    uint16_t preference = base->preference != 0 ? base->preference : choose_preference(ice, base);
    uint16_t at = take_slot(ice);
    if (at == AGENT_NONE)
        return BK_ERR_FULL;
    ice->bases[at] = (struct agent_base){.addr = base->addr,
                                         .used = true,
                                         .vpn = base->vpn,
                                         .protocol = (uint8_t)base->protocol,
                                         .stream = base->stream,
                                         .component = base->component == 0 ? 1 : base->component,
                                         .preference = preference};
    (void)agent_see(ice, now);
    if (ice->gathering || ice->gathered)
        agent_gather_base(ice, at);
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
    agent_cands_drop_base(ice, at);
    ice->bases[at].used = false;
    if (bk_checker_remove_local(ice->checker, addr, now) == BK_ERR_NOT_FOUND)
        return BK_OK; /* nothing stood on it */
    agent_turn(ice, now);
    return BK_OK;
}

void bk_ice_network_changed(struct bk_ice *ice, struct bk_time now) {
    (void)agent_see(ice, now);
    (void)bk_checker_probe(ice->checker, ice->now);
    bk_checker_retry(ice->checker, ice->now);
    agent_turn(ice, now);
}
