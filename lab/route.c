/* SPDX-License-Identifier: MIT */
#include "lab/route.h"

#include <string.h>

static struct route_key route_key(int segment, const struct bk_ip *ip) {
    struct route_key key;
    memset(&key, 0, sizeof key);
    key.segment = segment;
    key.family = ip->family;
    memcpy(key.bytes, ip->bytes, sizeof key.bytes);
    return key;
}

static bool translates(const struct topology_node *nat, uint8_t family) {
    return (family == BK_IPV4 ? nat->nat.ipv4 : nat->nat.ipv6) == NAT_MODE_TRANSLATE;
}

static enum bk_err add_addresses(struct fabric *f) {
    const struct topology *t = f->topology;
    for (size_t i = 0; i < t->node_count; i++) {
        const struct topology_node *n = &t->nodes[i];
        for (size_t a = 0; a < n->address_count; a++) {
            struct route_key key = route_key(n->parent, &n->address[a].ip);
            enum bk_err err = table_put(&f->routes, &key, (uint32_t)i);
            if (err != BK_OK)
                return err;
        }
    }
    return BK_OK;
}

/* Makes the networks behind `node` findable, if it does not hide them. */
static void chain(struct fabric *f, int node) {
    const struct topology_node *n = &f->topology->nodes[node];
    int *first =
        n->parent == TOPOLOGY_NOWHERE ? &f->first_routed : &f->boxes[n->parent].first_routed;
    bool routed = false;
    for (size_t i = 0; i < n->inside_count; i++)
        routed |= !translates(n, n->inside[i].ip.family);
    if (!routed)
        return;
    f->boxes[node].next_routed = *first;
    *first = node;
}

enum bk_err route_add_all(struct fabric *f) {
    f->first_routed = TOPOLOGY_NOWHERE;
    for (size_t i = 0; i < f->topology->node_count; i++)
        f->boxes[i].first_routed = f->boxes[i].next_routed = TOPOLOGY_NOWHERE;
    for (size_t i = 0; i < f->topology->node_count; i++)
        if (f->topology->nodes[i].kind == TOPOLOGY_NAT)
            chain(f, (int)i);
    return add_addresses(f);
}

int route_find(const struct fabric *f, int segment, const struct bk_ip *ip) {
    struct route_key key = route_key(segment, ip);
    uint32_t node = 0;
    if (table_get(&f->routes, &key, &node))
        return (int)node;
    int box = segment == TOPOLOGY_NOWHERE ? f->first_routed : f->boxes[segment].first_routed;
    for (; box != TOPOLOGY_NOWHERE; box = f->boxes[box].next_routed) {
        const struct topology_node *n = &f->topology->nodes[box];
        for (size_t i = 0; i < n->inside_count && !translates(n, ip->family); i++)
            if (topology_contains(&n->inside[i], ip))
                return box;
    }
    return TOPOLOGY_NOWHERE;
}

enum bk_err route_move(struct fabric *f, int node, const struct bk_ip *old,
                       const struct bk_ip *ip) {
    int segment = f->topology->nodes[node].parent;
    struct route_key from = route_key(segment, old), to = route_key(segment, ip);
    if (table_get(&f->routes, &to, NULL))
        return BK_ERR_EXISTS;
    (void)table_remove(&f->routes, &from);
    return table_put(&f->routes, &to, (uint32_t)node);
}
