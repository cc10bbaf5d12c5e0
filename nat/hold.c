/* SPDX-License-Identifier: MIT
 * Ports that ended mappings leave behind. For `port_hold_us` such a port goes to nobody but the
 * inside endpoint that had it, so that late packets of the old peer reach no stranger: RFC 6888
 * REQ-8. All wait equally long, so a ring is in the order of their ends; when it is full the oldest
 * is let go early. */
#include "nat/state.h"

#include "base/assert.h"

uint32_t nat_holds_max(const struct nat_config *c) {
    return c->port_hold_us > 0 ? c->mappings_max : 1;
}

static void let_go(struct nat *nat) {
    const struct nat_hold *h = &nat->holds[nat->hold_first];
    uint8_t key[NAT_KEY_OUTSIDE];
    nat_key_outside(key, h->proto, &h->external);
    uint32_t index = NAT_NONE;
    if (table_get(&nat->by_hold, key, &index) && index == nat->hold_first)
        (void)table_remove(&nat->by_hold, key); /* otherwise it was held again since */
    nat->hold_first = (nat->hold_first + 1) % nat_holds_max(&nat->config);
    nat->hold_count--;
}

static void let_due_go(struct nat *nat) {
    while (nat->hold_count > 0 && bk_due(nat->holds[nat->hold_first].until, nat->now))
        let_go(nat);
}

void nat_holds_forget(struct nat *nat) {
    while (nat->hold_count > 0)
        let_go(nat);
}

void nat_hold_add(struct nat *nat, const struct nat_mapping *m) {
    uint32_t max = nat_holds_max(&nat->config);
    if (nat->config.port_hold_us == 0 || m->mode != NAT_MODE_TRANSLATE)
        return;
    let_due_go(nat);
    if (nat->hold_count == max)
        let_go(nat);
    uint32_t index = (nat->hold_first + nat->hold_count) % max;
    nat->holds[index] = (struct nat_hold){.proto = m->proto,
                                          .internal = m->internal,
                                          .external = m->external,
                                          .until = bk_after(nat->now, nat->config.port_hold_us)};
    nat->hold_count++;
    uint8_t key[NAT_KEY_OUTSIDE];
    nat_key_outside(key, m->proto, &m->external);
    enum bk_err e = table_put(&nat->by_hold, key, index);
    bk_assert(e == BK_OK); /* the ring holds no more entries than the table */
}

bool nat_hold_keeps(struct nat *nat, const struct nat_flow *flow, const struct bk_addr *external) {
    if (nat->config.port_hold_us == 0)
        return false;
    let_due_go(nat);
    uint8_t key[NAT_KEY_OUTSIDE];
    uint32_t index = NAT_NONE;
    nat_key_outside(key, flow->proto, external);
    if (!table_get(&nat->by_hold, key, &index))
        return false;
    return !bk_addr_equal(&nat->holds[index].internal, &flow->src);
}
