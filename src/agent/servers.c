/* SPDX-License-Identifier: MIT
 * Where the servers of the configuration are. */
#include "agent/agent.h"

#include <string.h>

bool agent_server_address(const struct agent_server *server, const struct agent_base *base,
                          uint8_t from, uint8_t *at) {
    bool inside = bk_ip_scope(&base->addr.ip) == BK_SCOPE_LOOPBACK;
    for (uint8_t i = from; i < server->ip_count; i++) {
        const struct bk_ip *ip = &server->ips[i];
        if (ip->family != base->addr.ip.family || (bk_ip_scope(ip) == BK_SCOPE_LOOPBACK) != inside)
            continue;
        *at = i;
        return true;
    }
    return false;
}

static void start(struct bk_ice *ice, uint16_t i) {
    struct agent_server *s = &ice->gather->servers[i];
    memset(s, 0, sizeof *s);
    s->give_up = bk_after(ice->now, ice->config.gather_us);
    s->answered_at = BK_NEVER;
    if (uri_read(ice->config.servers[i].uri, &s->uri) != BK_OK) {
        s->state = SERVER_OVER; /* not after bk_ice_config_check() */
    } else if (s->uri.ip.family == BK_FAMILY_NONE) {
        s->state = SERVER_LOOKING;
        s->lookup = ++ice->last_id;
    } else {
        s->ips[s->ip_count++] = s->uri.ip;
        s->state = SERVER_READY;
        agent_gather_server(ice, i);
    }
}

void agent_servers_start(struct bk_ice *ice) {
    for (uint16_t i = 0; i < agent_servers(ice); i++)
        start(ice, i);
}

bool agent_server_resolved(struct bk_ice *ice, uint32_t id, const struct bk_ip *ips, size_t count) {
    for (uint16_t i = 0; ice->gather != NULL && i < agent_servers(ice); i++) {
        struct agent_server *s = &ice->gather->servers[i];
        if (s->lookup != id || s->state != SERVER_LOOKING)
            continue;
        for (size_t k = 0; k < count && s->ip_count < AGENT_IPS_MAX; k++)
            s->ips[s->ip_count++] = ips[k];
        ice->facts[i].unresolved = s->ip_count == 0;
        s->state = s->ip_count == 0 ? SERVER_OVER : SERVER_READY;
        if (s->state == SERVER_READY)
            agent_gather_server(ice, i);
        return true;
    }
    return false;
}
