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
    switch (translates ? nat->mapping_of[flow->proto] : NAT_EI) {
    case NAT_EI:
    case NAT_DEP_AS_UDP:
        break;
    case NAT_AD:
        part.ip = flow->dst.ip;
        break;
    case NAT_APD:
    case NAT_DEP_CONNECTION:
        part = flow->dst;
        break;
    case NAT_DEP_TIME: { /* not an address (family 0), but as good a key */
        int64_t epoch = nat->now.us / nat->config.mapping_epoch_us;
        memcpy(part.ip.bytes, &epoch, sizeof epoch);
        break;
    }
    case NAT_DEP_HASH:
        part.ip.bytes[0] = nat_pool_hash(nat, flow);
        break;
    }
    return part;
}

uint32_t nat_mapping_find(const struct nat *nat, const struct nat_flow *flow) {
    uint8_t key[NAT_KEY_INSIDE];
    struct bk_addr part = remote_part(nat, flow);
    nat_key_flow(key, flow->proto, &flow->src, &part);
    uint32_t index = NAT_NONE;
    if (!table_get(&nat->by_inside, key, &index))
        return NAT_NONE;
    return nat_overload_reuse(nat, index, flow);
}

uint32_t nat_mapping_find_external(const struct nat *nat, enum nat_proto proto,
                                   const struct bk_addr *external) {
    uint8_t key[NAT_KEY_OUTSIDE];
    nat_key_outside(key, proto, external);
    uint32_t index = NAT_NONE;
    return table_get(&nat->by_outside, key, &index) ? index : NAT_NONE;
}

static bool pick_external(struct nat *nat, const struct nat_flow *flow, struct bk_addr *out) {
    if (nat_mode_of(nat, &flow->src.ip) == NAT_MODE_FIREWALL) {
        *out = flow->src;
        return true;
    }
    struct bk_addr external = {0};
    if (!nat_pool_pick(nat, flow, &external.ip) || !nat_port_pick(nat, flow, &external))
        return false;
    *out = external;
    return true;
}

static void enter(struct nat *nat, uint32_t index) {
    const struct nat_mapping *m = &nat->mappings[index];
    nat_overload_enter(nat, index);
    if (m->local) {
        nat->local_count++;
        return;
    }
    nat->mapping_count++;
    nat_host_enter(nat, &m->internal.ip);
    nat_block_enter(nat, m);
}

static void leave(struct nat *nat, uint32_t index) {
    const struct nat_mapping *m = &nat->mappings[index];
    nat_overload_leave(nat, index);
    if (m->local) {
        nat->local_count--;
        return;
    }
    nat->mapping_count--;
    nat_block_leave(nat, m);
    nat_host_leave(nat, &m->internal.ip);
    nat_hold_add(nat, m);
}

static void show(const struct nat *nat, const struct nat_mapping *m, bool made) {
    if (nat->look == NULL || m->local)
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
    if (index == NAT_NONE || nat->exhausted)
        return NAT_DROP_FULL;
    enum nat_drop drop = nat_host_admit(nat, &flow->src.ip);
    if (drop != NAT_DROP_NONE)
        return drop;
    if (!nat_rate_admit(&nat->rate, nat->config.mappings_per_s, nat->now))
        return NAT_DROP_RATE;
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
    nat->counters.mappings_made++;
    show(nat, m, true);
    *out = index;
    return NAT_DROP_NONE;
}

uint32_t nat_mapping_make_local(struct nat *nat, enum nat_proto proto, const struct bk_addr *at) {
    uint32_t index = nat->free_mapping;
    if (index == NAT_NONE)
        return NAT_NONE;
    struct nat_mapping *m = &nat->mappings[index];
    nat->free_mapping = m->next_free;
    *m = (struct nat_mapping){
        .used = true,
        .proto = proto,
        .mode = NAT_MODE_TRANSLATE,
        .internal = *at,
        .external = *at,
        .first = NAT_NONE,
        .next_free = NAT_NONE,
        .local = true,
    };
    enter(nat, index);
    return index;
}

void nat_mapping_end(struct nat *nat, uint32_t index) {
    struct nat_mapping *m = &nat->mappings[index];
    bk_assert(m->used && m->sessions == 0);
    show(nat, m, false);
    leave(nat, index);
    memset(m, 0, sizeof *m);
    m->next_free = nat->free_mapping;
    nat->free_mapping = index;
}
