/* SPDX-License-Identifier: MIT
 * What goes wrong with boxes: power cuts, new outside addresses, tables that lose entries or are
 * full. */
#include "nat/state.h"

uint32_t nat_evict(struct nat *nat, enum nat_evict which, uint32_t count) {
    uint32_t done = 0, index;
    for (; done < count && nat->mapping_count > 0; done++) {
        if (which == NAT_EVICT_OLDEST) {
            index = nat->sessions[nat->timers.nodes[0].id].mapping;
        } else {
            index = rng_below(&nat->rng, nat->config.mappings_max);
            while (!nat->mappings[index].used)
                index = (index + 1) % nat->config.mappings_max;
        }
        nat_session_end_all(nat, index);
        nat->counters.mappings_evicted++;
    }
    return done;
}

void nat_exhaust(struct nat *nat, bool on) {
    nat->exhausted = on;
}

void nat_limit_rate(struct nat *nat, uint32_t mappings_per_s) {
    nat->config.mappings_per_s = mappings_per_s;
}

void nat_reboot(struct nat *nat) {
    for (uint32_t i = 0; i < nat->config.mappings_max; i++)
        nat_session_end_all(nat, i);
    nat_holds_forget(nat);
    nat_reset_pools(nat);
}

enum bk_err nat_set_external(struct nat *nat, size_t index, const struct bk_ip *ip) {
    if (index >= nat->config.external_count)
        return BK_ERR_ARGUMENT;
    struct bk_ip old = nat->config.external[index];
    if (old.family != ip->family)
        return BK_ERR_ARGUMENT;
    for (uint32_t i = 0; i < nat->config.mappings_max; i++) {
        const struct nat_mapping *m = &nat->mappings[i];
        if (m->used && m->mode == NAT_MODE_TRANSLATE && bk_ip_equal(&m->external.ip, &old))
            nat_session_end_all(nat, i);
    }
    nat->config.external[index] = *ip;
    return BK_OK;
}

void nat_block_udp(struct nat *nat, bool blocked) {
    nat->config.udp_blocked = blocked;
}
