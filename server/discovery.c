/* SPDX-License-Identifier: MIT */
#include "server/discovery.h"

#include "net/interfaces.h"
#include <string.h>

struct pick {
    struct bk_ip ips[2], outside[2];
    size_t count;
};

static void add(struct pick *p, const struct bk_ip *ip, const struct bk_ip *outside,
                uint8_t family) {
    bool twice = p->count > 0 && bk_ip_equal(&p->ips[0], ip);
    if (ip->family != family || bk_ip_is_any(ip) || p->count == 2 || twice)
        return;
    if (outside != NULL)
        p->outside[p->count] = *outside;
    p->ips[p->count++] = *ip;
}

static void add_list(struct pick *p, const struct server_listen *list, uint8_t family) {
    for (size_t i = 0; i < list->count; i++)
        add(p, &list->ips[i], &list->outside[i], family);
}

static void add_own(struct pick *p, const struct net_interface *own, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!own[i].loopback && !own[i].point_to_point &&
            bk_ip_scope(&own[i].ip) == BK_SCOPE_GLOBAL)
            add(p, &own[i].ip, NULL, BK_IPV4);
}

/* Do the sockets carry addresses of that family that nobody named? [::] carries IPv4 as well. */
static bool is_wildcard(const struct server_listen *listen, uint8_t family) {
    for (size_t i = 0; i < listen->count; i++)
        if (bk_ip_is_any(&listen->ips[i]) &&
            (listen->ips[i].family == family || listen->ips[i].family == BK_IPV6))
            return true;
    return listen->count == 0;
}

void discovery_pick(const struct server_listen *named, const struct server_listen *listen,
                    const struct net_interface *own, size_t own_count,
                    struct stun_discovery_config *out) {
    static const uint8_t families[2] = {BK_IPV4, BK_IPV6};
    for (size_t i = 0; i < 2; i++) {
        struct pick p = {.count = 0};
        add_list(&p, named, families[i]);
        if (p.count == 0)
            add_list(&p, listen, families[i]);
        if (p.count == 0 && families[i] == BK_IPV4 && is_wildcard(listen, BK_IPV4))
            add_own(&p, own, own_count);
        memcpy(out->ips[i], p.ips, sizeof p.ips);
        memcpy(out->outside[i], p.outside, sizeof p.outside);
    }
}

const char *discovery_text(enum stun_discovery_reach reach) {
    switch (reach) {
    case STUN_DISCOVERY_FULL:
        return "complete";
    case STUN_DISCOVERY_PORTS:
        return "one address only: clients cannot tell address-dependent mapping";
    case STUN_DISCOVERY_NOTHING:
        break;
    }
    return "one port only: clients cannot tell any NAT's mapping";
}
