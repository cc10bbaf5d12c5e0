/* SPDX-License-Identifier: MIT
 * Mapping behaviour, RFC 4787 section 4.1: which packets from inside share an outside endpoint. */
#include "nat/state.h"

#include "base/assert.h"

#include <string.h>

enum nat_mode nat_mode_of(const struct nat *nat, const struct bk_ip *ip) {
    return ip->family == BK_IPV6 ? nat->config.ipv6 : nat->config.ipv4;
}

/* The part of the remote endpoint that chooses the mapping. A firewall does not translate, so it
 * has one mapping per endpoint whatever the configuration says. */
static struct bk_addr remote_part(const struct nat *nat, const struct nat_flow *flow) {
    struct bk_addr part = {0};
    bool translates = nat_mode_of(nat, &flow->src.ip) == NAT_MODE_TRANSLATE;
    switch (translates ? nat->config.mapping : NAT_EI) {
    case NAT_EI:
        break;
    case NAT_AD:
        part.ip = flow->dst.ip;
        break;
    case NAT_APD:
    case NAT_DEP_CONNECTION:
    case NAT_DEP_TIME:
    case NAT_DEP_HASH:
    case NAT_DEP_AS_UDP:
        part = flow->dst;
        break;
    }
    return part;
}

uint32_t nat_mapping_find(const struct nat *nat, const struct nat_flow *flow) {
    uint8_t key[NAT_KEY_INSIDE];
    struct bk_addr part = remote_part(nat, flow);
    nat_key_flow(key, flow->proto, &flow->src, &part);
    uint32_t index = NAT_NONE;
    return table_get(&nat->by_inside, key, &index) ? index : NAT_NONE;
}

uint32_t nat_mapping_find_external(const struct nat *nat, enum nat_proto proto,
                                   const struct bk_addr *external) {
    uint8_t key[NAT_KEY_OUTSIDE];
    nat_key_outside(key, proto, external);
    uint32_t index = NAT_NONE;
    return table_get(&nat->by_outside, key, &index) ? index : NAT_NONE;
}

/* How many mappings an inside address has, so that one host cannot use up the box: RFC 6888 REQ-4.
 * `delta` is 1 or -1. */
static void count_host(struct nat *nat, const struct bk_ip *ip, int delta) {
    if (nat->config.mappings_per_host_max == 0)
        return;
    uint8_t key[NAT_KEY_IP];
    nat_key_ip(key, ip);
    uint32_t n = 0;
    (void)table_get(&nat->per_host, key, &n);
    n = delta > 0 ? n + 1 : n - 1;
    if (n == 0) {
        (void)table_remove(&nat->per_host, key);
        return;
    }
    enum bk_err e = table_put(&nat->per_host, key, n);
    bk_assert(e == BK_OK); /* as many hosts fit as mappings */
}

static bool host_has_room(const struct nat *nat, const struct bk_ip *ip) {
    if (nat->config.mappings_per_host_max == 0)
        return true;
    uint8_t key[NAT_KEY_IP];
    nat_key_ip(key, ip);
    uint32_t n = 0;
    return !table_get(&nat->per_host, key, &n) || n < nat->config.mappings_per_host_max;
}

static bool pick_external(struct nat *nat, const struct nat_flow *flow, struct bk_addr *out) {
    if (nat_mode_of(nat, &flow->src.ip) == NAT_MODE_FIREWALL) {
        *out = flow->src;
        return true;
    }
    struct bk_addr external = {0};
    if (!nat_pool_pick(nat, &flow->src.ip, &external.ip))
        return false;
    if (!nat_port_pick(nat, flow->proto, flow->src.port, &external))
        return false;
    *out = external;
    return true;
}

static void enter(struct nat *nat, uint32_t index) {
    const struct nat_mapping *m = &nat->mappings[index];
    uint8_t inside[NAT_KEY_INSIDE], outside[NAT_KEY_OUTSIDE];
    nat_key_flow(inside, m->proto, &m->internal, &m->remote);
    nat_key_outside(outside, m->proto, &m->external);
    enum bk_err a = table_put(&nat->by_inside, inside, index);
    enum bk_err b = table_put(&nat->by_outside, outside, index);
    bk_assert(a == BK_OK && b == BK_OK); /* the tables hold as much as the pool */
    count_host(nat, &m->internal.ip, 1);
}

static void show(const struct nat *nat, const struct nat_mapping *m, bool made) {
    if (nat->look == NULL)
        return;
    struct nat_mapping_view view = {.proto = m->proto,
                                    .internal = m->internal,
                                    .external = m->external,
                                    .remote = m->remote,
                                    .sessions = m->sessions,
                                    .expires = nat->now};
    nat->look(nat->look_ctx, &view, made);
}

enum nat_drop nat_mapping_make(struct nat *nat, const struct nat_flow *flow, uint32_t *out) {
    uint32_t index = nat->free_mapping;
    struct bk_addr external;
    if (index == NAT_NONE || nat->exhausted || !host_has_room(nat, &flow->src.ip))
        return NAT_DROP_FULL;
    if (!pick_external(nat, flow, &external))
        return NAT_DROP_FULL;
    struct nat_mapping *m = &nat->mappings[index];
    nat->free_mapping = m->next_free;
    *m = (struct nat_mapping){
        .used = true,
        .proto = flow->proto,
        .mode = nat_mode_of(nat, &flow->src.ip),
        .internal = flow->src,
        .external = external,
        .remote = remote_part(nat, flow),
        .first = NAT_NONE,
        .next_free = NAT_NONE,
    };
    enter(nat, index);
    nat->mapping_count++;
    nat->counters.mappings_made++;
    show(nat, m, true);
    *out = index;
    return NAT_DROP_NONE;
}

void nat_mapping_end(struct nat *nat, uint32_t index) {
    struct nat_mapping *m = &nat->mappings[index];
    bk_assert(m->used && m->sessions == 0);
    show(nat, m, false);
    uint8_t inside[NAT_KEY_INSIDE], outside[NAT_KEY_OUTSIDE];
    nat_key_flow(inside, m->proto, &m->internal, &m->remote);
    nat_key_outside(outside, m->proto, &m->external);
    (void)table_remove(&nat->by_inside, inside);
    (void)table_remove(&nat->by_outside, outside);
    count_host(nat, &m->internal.ip, -1);
    memset(m, 0, sizeof *m);
    m->next_free = nat->free_mapping;
    nat->free_mapping = index;
    nat->mapping_count--;
}
