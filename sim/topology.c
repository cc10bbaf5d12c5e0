/* SPDX-License-Identifier: MIT
 * Nodes, and which of them answers to which address in which address space. */
#include "sim/state.h"

#include "base/assert.h"
#include "base/text.h"

#include <string.h>

bool topology_child(const struct world *w, node_id parent, const struct bk_ip *ip, node_id *out) {
    uint8_t key[KEY_NODE_IP];
    key_node_ip(key, parent, ip);
    return table_get(&w->by_address, key, out);
}

static bool translates(const struct node *box, uint8_t family) {
    const struct nat_config *c = nat_get_config(box->nat);
    return (family == BK_IPV6 ? c->ipv6 : c->ipv4) == NAT_MODE_TRANSLATE;
}

/* An address is known one level up, and further up as long as the boxes in between do not hide it.
 * `node` there is the box on the way to it. */
void topology_enter(struct world *w, node_id node, const struct bk_ip *ip) {
    for (;;) {
        node_id parent = w->nodes[node].parent;
        uint8_t key[KEY_NODE_IP];
        key_node_ip(key, parent, ip);
        bk_assert(!table_get(&w->by_address, key, NULL)); /* two nodes with one address */
        enum bk_err e = table_put(&w->by_address, key, node);
        bk_assert(e == BK_OK);
        if (parent == WORLD_CORE || translates(&w->nodes[parent], ip->family))
            return;
        node = parent;
    }
}

void topology_leave(struct world *w, node_id node, const struct bk_ip *ip) {
    for (;;) {
        node_id parent = w->nodes[node].parent;
        uint8_t key[KEY_NODE_IP];
        key_node_ip(key, parent, ip);
        (void)table_remove(&w->by_address, key);
        if (parent == WORLD_CORE || translates(&w->nodes[parent], ip->family))
            return;
        node = parent;
    }
}

bool world_address_is_free(const struct world *w, node_id parent, const struct bk_ip *ip) {
    for (;;) {
        uint8_t key[KEY_NODE_IP];
        key_node_ip(key, parent, ip);
        if (table_get(&w->by_address, key, NULL))
            return false;
        if (parent == WORLD_CORE || translates(&w->nodes[parent], ip->family))
            return true;
        parent = w->nodes[parent].parent;
    }
}

static node_id add_node(struct world *w, enum node_kind kind, const char *name, node_id parent,
                        const struct world_link *link) {
    bk_assert(w->node_count < w->config.nodes_max);
    bk_assert(parent < w->node_count && w->nodes[parent].kind != NODE_HOST);
    node_id id = w->node_count++;
    struct node *n = &w->nodes[id];
    n->kind = kind;
    n->parent = parent;
    n->next_port = FIRST_FREE_PORT;
    struct text t = text_in(n->name, sizeof n->name);
    text_str(&t, name);
    if (link != NULL)
        n->way[WAY_UP].link = n->way[WAY_DOWN].link = *link;
    return id;
}

node_id world_add_host(struct world *w, const char *name, node_id parent, struct bk_ip ip,
                       const struct world_link *link) {
    node_id id = add_node(w, NODE_HOST, name, parent, link);
    world_add_address(w, id, ip);
    return id;
}

void world_add_address(struct world *w, node_id host, struct bk_ip ip) {
    struct node *n = &w->nodes[host];
    bk_assert(n->kind == NODE_HOST && n->address_count < ADDRESSES_MAX);
    n->address[n->address_count++] = ip;
    topology_enter(w, host, &ip);
}

node_id world_add_nat(struct world *w, const char *name, node_id parent,
                      const struct nat_config *config, const struct world_link *link) {
    node_id id = add_node(w, NODE_NAT, name, parent, link);
    struct node *n = &w->nodes[id];
    rng_seed(&n->rng, rng_u64(&w->rng));
    struct bk_rng rng = rng_from_seeded(&n->rng);
    enum bk_err e = nat_new(config, &rng, &w->alloc, &n->nat);
    bk_assert(e == BK_OK); /* a wrong config is the test's mistake */
    for (size_t i = 0; i < config->external_count; i++)
        topology_enter(w, id, &config->external[i]);
    return id;
}

actor_id world_add_actor(struct world *w, node_id host, const struct world_actor *actor) {
    bk_assert(w->actor_count < w->config.actors_max);
    bk_assert(w->nodes[host].kind == NODE_HOST);
    actor_id id = w->actor_count++;
    w->actors[id].calls = *actor;
    w->actors[id].host = host;
    return id;
}

struct nat *world_nat(struct world *w, node_id nat) {
    bk_assert(w->nodes[nat].kind == NODE_NAT);
    return w->nodes[nat].nat;
}

node_id world_find(const struct world *w, const char *name) {
    for (node_id i = 0; i < w->node_count; i++) {
        if (strcmp(w->nodes[i].name, name) == 0)
            return i;
    }
    bk_assert(false);
    return 0;
}

const char *world_name(const struct world *w, node_id node) {
    return w->nodes[node].name;
}

node_id world_parent(const struct world *w, node_id node) {
    return w->nodes[node].parent;
}

bool world_address(const struct world *w, node_id host, size_t index, struct bk_ip *out) {
    const struct node *n = &w->nodes[host];
    if (index >= n->address_count)
        return false;
    *out = n->address[index];
    return true;
}

bool topology_host_has(const struct world *w, node_id host, const struct bk_ip *ip) {
    const struct node *n = &w->nodes[host];
    for (size_t i = 0; i < n->address_count; i++) {
        if (bk_ip_equal(&n->address[i], ip))
            return true;
    }
    return false;
}

bool topology_host_address(const struct world *w, node_id host, uint8_t family, struct bk_ip *out) {
    const struct node *n = &w->nodes[host];
    for (size_t i = 0; i < n->address_count; i++) {
        if (n->address[i].family == family) {
            *out = n->address[i];
            return true;
        }
    }
    return false;
}
