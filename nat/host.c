/* SPDX-License-Identifier: MIT
 * Inside hosts: how many mappings each has and how fast it makes them, so that one cannot use up
 * the box (RFC 6888 REQ-4). A host is known while it has mappings. Boxes that limit nothing per
 * host keep no records. */
#include "nat/state.h"

#include "base/assert.h"

#include <string.h>

bool nat_hosts_wanted(const struct nat_config *c) {
    return c->mappings_per_host_max > 0 || c->mappings_per_s_host > 0 ||
           c->sessions_per_host_max > 0 || c->port_space == NAT_SPACE_BLOCKS;
}

void nat_hosts_reset(struct nat *nat) {
    uint32_t max = nat_hosts_wanted(&nat->config) ? nat->config.mappings_max : 0;
    for (uint32_t i = 0; i < max; i++)
        nat->hosts[i] =
            (struct nat_host){.next_free = i + 1 < max ? i + 1 : NAT_NONE, .first_block = NAT_NONE};
    nat->free_host = max > 0 ? 0 : NAT_NONE;
}

uint32_t nat_host_find(const struct nat *nat, const struct bk_ip *ip) {
    uint8_t key[NAT_KEY_IP];
    uint32_t index = NAT_NONE;
    nat_key_ip(key, ip);
    return table_get(&nat->per_host, key, &index) ? index : NAT_NONE;
}

/* RFC 6888 REQ-4: limits per subscriber. */
enum nat_drop nat_host_admit(struct nat *nat, const struct bk_ip *ip) {
    const struct nat_config *c = &nat->config;
    if (!nat_hosts_wanted(c))
        return NAT_DROP_NONE;
    uint32_t index = nat_host_find(nat, ip);
    if (index == NAT_NONE)
        return NAT_DROP_NONE;
    struct nat_host *h = &nat->hosts[index];
    if (c->mappings_per_host_max > 0 && h->mappings >= c->mappings_per_host_max)
        return NAT_DROP_FULL;
    return nat_rate_admit(&h->rate, c->mappings_per_s_host, nat->now) ? NAT_DROP_NONE
                                                                      : NAT_DROP_RATE;
}

/* RFC 6888 REQ-5: a host with one mapping can have any number of remotes. */
bool nat_host_session_room(const struct nat *nat, const struct bk_ip *ip) {
    uint32_t max = nat->config.sessions_per_host_max;
    if (max == 0)
        return true;
    uint32_t index = nat_host_find(nat, ip);
    return index == NAT_NONE || nat->hosts[index].sessions < max;
}

void nat_host_count_session(struct nat *nat, const struct nat_mapping *m, int delta) {
    if (nat->config.sessions_per_host_max == 0 || m->local)
        return;
    uint32_t index = nat_host_find(nat, &m->internal.ip);
    bk_assert(index != NAT_NONE); /* it has this mapping */
    nat->hosts[index].sessions += delta > 0 ? 1 : UINT32_MAX;
}

void nat_host_enter(struct nat *nat, const struct bk_ip *ip) {
    if (!nat_hosts_wanted(&nat->config))
        return;
    uint32_t index = nat_host_make(nat, ip);
    nat->hosts[index].mappings++;
}

uint32_t nat_host_make(struct nat *nat, const struct bk_ip *ip) {
    uint32_t index = nat_host_find(nat, ip);
    if (index != NAT_NONE)
        return index;
    index = nat->free_host;
    bk_assert(index != NAT_NONE); /* as many hosts fit as mappings */
    struct nat_host *h = &nat->hosts[index];
    nat->free_host = h->next_free;
    *h = (struct nat_host){.ip = *ip, .first_block = NAT_NONE, .next_free = NAT_NONE};
    h->rate.busy_until = nat->now;
    (void)nat_rate_admit(&h->rate, nat->config.mappings_per_s_host, nat->now);
    uint8_t key[NAT_KEY_IP];
    nat_key_ip(key, ip);
    enum bk_err e = table_put(&nat->per_host, key, index);
    bk_assert(e == BK_OK);
    return index;
}

void nat_host_leave(struct nat *nat, const struct bk_ip *ip) {
    if (!nat_hosts_wanted(&nat->config))
        return;
    uint32_t index = nat_host_find(nat, ip);
    bk_assert(index != NAT_NONE && nat->hosts[index].mappings > 0);
    nat->hosts[index].mappings--;
    nat_host_release(nat, index);
}

void nat_host_release(struct nat *nat, uint32_t index) {
    struct nat_host *h = &nat->hosts[index];
    if (h->mappings > 0 || h->first_block != NAT_NONE)
        return;
    uint8_t key[NAT_KEY_IP];
    nat_key_ip(key, &h->ip);
    (void)table_remove(&nat->per_host, key);
    memset(h, 0, sizeof *h);
    h->next_free = nat->free_host;
    nat->free_host = index;
}
