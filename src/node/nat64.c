/* SPDX-License-Identifier: MIT */
#include "node/nat64.h"

void node_nat64_init(struct node_nat64 *n, struct net_loop *loop, struct endpoint *endpoint,
                     const struct home *home, void (*on_stun)(void *ctx), void *ctx) {
    *n = (struct node_nat64){
        .loop = loop, .endpoint = endpoint, .home = home, .on_stun = on_stun, .ctx = ctx};
}

static void stop(struct node_nat64 *n) {
    net_resolve_cancel(n->resolve);
    n->resolve = NULL;
}

void node_nat64_fini(struct node_nat64 *n) {
    stop(n);
}

static void set_stun(struct node_nat64 *n, const struct bk_addr *addr) {
    if (bk_addr_equal(&n->stun, addr))
        return;
    n->stun = *addr;
    n->on_stun(n->ctx);
}

static void on_stun(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t count) {
    struct node_nat64 *n = ctx;
    struct bk_addr through = {.port = n->home->stun_port};
    n->resolve = NULL;
    for (size_t i = 0; err == BK_OK && i < count; i++)
        if (nat64_embed(&n->prefix, &addrs[i].ip, &through.ip)) {
            set_stun(n, &through);
            return;
        }
}

static void on_prefix(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t count) {
    struct node_nat64 *n = ctx;
    struct nat64_prefix found = {.len = 0};
    n->resolve = NULL;
    for (size_t i = 0; err == BK_OK && i < count && found.len == 0; i++)
        (void)nat64_find(&addrs[i].ip, &found);
    n->prefix = found;
    endpoint_set_nat64(n->endpoint, &found, net_now(n->loop));
    if (found.len == 0 || n->home->stun_port == 0)
        return;
    if (net_resolve_family(n->loop, BK_IPV4, n->home->host, on_stun, n, &n->resolve) != BK_OK)
        n->resolve = NULL;
}

static void forget(struct node_nat64 *n) {
    const struct bk_addr none = {.port = 0};
    n->prefix = (struct nat64_prefix){.len = 0};
    endpoint_set_nat64(n->endpoint, &n->prefix, net_now(n->loop));
    if (n->stun.ip.family != BK_FAMILY_NONE)
        set_stun(n, &none);
}

void node_nat64_look(struct node_nat64 *n, const struct bk_addr *bases, size_t count) {
    bool ipv4 = count == 0;
    for (size_t i = 0; i < count; i++)
        ipv4 = ipv4 || bases[i].ip.family == BK_IPV4;
    stop(n);
    if (ipv4)
        forget(n);
    else if (net_resolve_family(n->loop, BK_IPV6, NAT64_NAME, on_prefix, n, &n->resolve) != BK_OK)
        n->resolve = NULL;
}
