/* SPDX-License-Identifier: MIT
 * Things that go wrong, on purpose. */
#include "sim/state.h"

#include "base/assert.h"

bool cut_applies(enum world_cut cut, enum nat_proto proto) {
    switch (cut) {
    case WORLD_CUT_NONE:
        return false;
    case WORLD_CUT_UDP:
        return proto == NAT_UDP;
    case WORLD_CUT_ALL:
        return true;
    }
    return false;
}

enum world_cut cut_between(const struct world *w, node_id a, node_id b) {
    if (w->by_host_pair.count == 0)
        return WORLD_CUT_NONE;
    uint8_t key[KEY_NODES];
    uint32_t cut = WORLD_CUT_NONE;
    key_nodes(key, a, b);
    (void)table_get(&w->by_host_pair, key, &cut);
    return (enum world_cut)cut;
}

static bool has_passed(const struct sim_packet *p, node_id node) {
    for (size_t i = 0; i < p->path_len; i++)
        if (p->path[i] == node)
            return true;
    return node == WORLD_CORE;
}

static unsigned protocol_bit(enum nat_proto proto) {
    return proto == NAT_UDP ? WORLD_UDP : proto == NAT_TCP ? WORLD_TCP : WORLD_OTHER;
}

bool cut_on_path(const struct world *w, const struct sim_packet *p) {
    for (size_t i = 0; i < w->path_cut_count; i++) {
        const struct path_cut *c = &w->path_cuts[i];
        if ((c->protocols & protocol_bit(p->header.flow.proto)) != 0 && has_passed(p, c->a) &&
            has_passed(p, c->b))
            return true;
    }
    return false;
}

enum bk_err world_cut_path(struct world *w, node_id a, node_id b, unsigned protocols) {
    if (w->path_cut_count == PATH_CUTS_MAX)
        return BK_ERR_FULL;
    w->path_cuts[w->path_cut_count++] = (struct path_cut){a, b, protocols};
    return BK_OK;
}

void world_restore_path(struct world *w, node_id a, node_id b, unsigned protocols) {
    size_t kept = 0;
    for (size_t i = 0; i < w->path_cut_count; i++) {
        struct path_cut c = w->path_cuts[i];
        bool same = (c.a == a && c.b == b) || (c.a == b && c.b == a);
        if (same || a == WORLD_CORE)
            c.protocols &= ~protocols;
        if (c.protocols != 0)
            w->path_cuts[kept++] = c;
    }
    w->path_cut_count = kept;
}

void world_cut_hosts(struct world *w, node_id a, node_id b, enum world_cut cut) {
    uint8_t key[KEY_NODES];
    key_nodes(key, a, b);
    if (cut == WORLD_CUT_NONE) {
        (void)table_remove(&w->by_host_pair, key);
        return;
    }
    enum bk_err e = table_put(&w->by_host_pair, key, (uint32_t)cut);
    bk_assert(e == BK_OK); /* CUTS_MAX */
}

void world_cut_link(struct world *w, node_id node, enum world_cut cut) {
    bk_assert(node != WORLD_CORE && node < w->node_count);
    w->nodes[node].cut = cut;
}

void world_set_link(struct world *w, node_id node, const struct world_link *up,
                    const struct world_link *down) {
    bk_assert(node != WORLD_CORE && node < w->node_count);
    if (up != NULL)
        w->nodes[node].way[WAY_UP].link = *up;
    if (down != NULL)
        w->nodes[node].way[WAY_DOWN].link = *down;
}

void world_get_link(const struct world *w, node_id node, struct world_link *up,
                    struct world_link *down) {
    bk_assert(node != WORLD_CORE && node < w->node_count);
    *up = w->nodes[node].way[WAY_UP].link;
    *down = w->nodes[node].way[WAY_DOWN].link;
}

void world_reboot_nat(struct world *w, node_id nat) {
    world_note(w, "nat reboots");
    nat_reboot(world_nat(w, nat));
}

void world_readdress_nat(struct world *w, node_id nat, struct bk_ip ip) {
    struct nat *box = world_nat(w, nat);
    const struct nat_config *c = nat_get_config(box);
    world_note(w, "nat changes its address");
    for (size_t i = 0; i < c->external_count; i++) {
        if (c->external[i].family != ip.family)
            continue;
        struct bk_ip old = c->external[i];
        topology_leave(w, nat, &old);
        topology_enter(w, nat, &ip);
        enum bk_err e = nat_set_external(box, i, &ip);
        bk_assert(e == BK_OK);
        return;
    }
    bk_assert(false); /* the box has no address of that family */
}

void world_readdress_host(struct world *w, node_id host, struct bk_ip old, struct bk_ip ip) {
    struct node *n = &w->nodes[host];
    world_note(w, "host changes its address");
    for (size_t i = 0; i < n->address_count; i++) {
        if (!bk_ip_equal(&n->address[i], &old))
            continue;
        topology_leave(w, host, &old);
        topology_enter(w, host, &ip);
        n->address[i] = ip;
        return;
    }
    bk_assert(false); /* the host does not have the old address */
}
