/* SPDX-License-Identifier: MIT */
#include "agent/agent.h"

#include <string.h>

/* RFC 8445 section 14 of the privacy considerations, RFC 8828: what reveals the inside's layout. */
static bool is_inside(const struct bk_ip *ip) {
    return bk_ip_scope(ip) != BK_SCOPE_GLOBAL;
}

bool agent_may_show_host(const struct bk_ice *ice, const struct bk_addr *addr) {
    switch (ice->config.policy) {
    case BK_ICE_ALL:
        return true;
    case BK_ICE_PUBLIC:
        return !is_inside(&addr->ip);
    case BK_ICE_RELAYED_ONLY:
        return false;
    }
    return false;
}

static void remember(struct bk_ice *ice, const struct bk_ice_candidate *c,
                     const struct bk_addr *related, uint16_t base) {
    if (!agent_grow(ice, &ice->cands, &ice->cand_cap, sizeof *ice->cands, ice->config.locals_max) &&
        ice->cand_count == ice->cand_cap)
        return;
    struct agent_cand *mine = &ice->cands[ice->cand_count++];
    *mine = (struct agent_cand){.addr = c->addr,
                                .related = *related,
                                .priority = c->priority,
                                .base = base,
                                .stream = c->stream,
                                .component = c->component == 0 ? 1 : c->component,
                                .kind = (uint8_t)c->kind,
                                .transport = (uint8_t)c->transport,
                                .used = true};
    memcpy(mine->foundation, c->foundation, sizeof mine->foundation - 1);
}

/* Without a NAT the server-reflexive candidate is the host one again (RFC 8445 section 5.1.3). But
 * the peer was told that one by a name, which means nothing outside the link: what the server saw
 * is no secret any more, and has to be said. */
static void unveil(struct bk_ice *ice, const struct bk_ice_candidate *candidate, uint16_t base) {
    enum { LESS = (126 - 100) << 24 }; /* type preferences, RFC 8445 section 5.1.2.2 */
    const struct agent_cand *host = NULL;
    struct bk_ice_candidate shown;
    for (uint16_t i = 0; i < ice->cand_count; i++) {
        const struct agent_cand *c = &ice->cands[i];
        if (c->transport != BK_ICE_UDP || !bk_addr_equal(&c->addr, &candidate->addr))
            continue;
        if (c->kind == BK_ICE_SRFLX)
            return;
        host = c;
    }
    if (host == NULL || host->priority < LESS)
        return;
    agent_cand_export(host, &shown);
    struct text foundation = text_in(shown.foundation, sizeof host->foundation);
    text_char(&foundation, 's');
    text_str(&foundation, host->foundation);
    shown.kind = BK_ICE_SRFLX;
    shown.priority -= LESS;
    struct bk_addr related = host->addr;
    remember(ice, &shown, &related, base);
}

void agent_cand_add_related(struct bk_ice *ice, const struct bk_ice_candidate *candidate,
                            const struct bk_addr *related, uint16_t base) {
    struct bk_ice_candidate signalled;
    enum bk_err err = bk_checker_add_local_candidate(ice->checker, candidate, ice->now, &signalled);
    if (err == BK_ERR_EXISTS && ice->config.mdns && candidate->kind == BK_ICE_SRFLX &&
        candidate->transport == BK_ICE_UDP)
        unveil(ice, candidate, base);
    if (err != BK_OK)
        return; /* redundant, as a relayed one that equals a host one is (RFC 8445 sections 5.1.1.2,
                   5.1.3); or one too many */
    signalled.stream = candidate->stream;
    signalled.component = candidate->component;
    signalled.transport = candidate->transport;
    remember(ice, &signalled, related, base);
}

void agent_cand_add(struct bk_ice *ice, const struct bk_ice_candidate *candidate, uint16_t base) {
    agent_cand_add_related(ice, candidate, &candidate->base, base);
}

void agent_cands_drop_addr(struct bk_ice *ice, const struct bk_addr *addr,
                           enum bk_protocol protocol) {
    uint16_t kept = 0;
    for (uint16_t i = 0; i < ice->cand_count; i++) {
        bool same = (ice->cands[i].transport == BK_ICE_UDP) == (protocol == BK_UDP);
        if (!same || !bk_addr_equal(&ice->cands[i].addr, addr))
            ice->cands[kept++] = ice->cands[i];
    }
    ice->cand_count = kept;
}

bool agent_cand_dials(const struct bk_ice *ice, const struct bk_addr *base) {
    for (uint16_t i = 0; i < ice->cand_count; i++) {
        const struct agent_cand *c = &ice->cands[i];
        if ((c->transport == BK_ICE_TCP_ACTIVE || c->transport == BK_ICE_TCP_SO) &&
            bk_addr_equal(&c->related, base))
            return true;
    }
    return false;
}

void agent_cands_drop_base(struct bk_ice *ice, uint16_t base) {
    uint16_t kept = 0;
    for (uint16_t i = 0; i < ice->cand_count; i++)
        if (ice->cands[i].base != base)
            ice->cands[kept++] = ice->cands[i];
    ice->cand_count = kept;
}

void agent_cand_export(const struct agent_cand *cand, struct bk_ice_candidate *out) {
    *out = (struct bk_ice_candidate){.kind = (enum bk_ice_kind)cand->kind,
                                     .transport = (enum bk_ice_transport)cand->transport,
                                     .stream = cand->stream,
                                     .component = cand->component,
                                     .addr = cand->addr,
                                     .base = cand->related,
                                     .priority = cand->priority};
    memcpy(out->foundation, cand->foundation, sizeof cand->foundation);
}

size_t agent_cand_write(const struct bk_ice *ice, const struct agent_cand *cand, char *out) {
    struct sdp_candidate line;
    memset(&line, 0, sizeof line);
    agent_cand_export(cand, &line.at);
    if (ice->config.mdns && cand->kind == BK_ICE_HOST)
        agent_base_name(&ice->bases[cand->base], line.name);
    bool hide = ice->config.policy != BK_ICE_ALL || ice->config.mdns;
    return sdp_write_candidate(&line, hide, out);
}
