/* SPDX-License-Identifier: MIT
 * A machine without IPv4 on a network with a NAT64: finds its prefix (RFC 7050), so that peers that
 * have nothing else can be reached, and asks the home's STUN server through it what we look like to
 * them. */
#ifndef NODE_NAT64_H
#define NODE_NAT64_H

#include "net/resolve.h"
#include "peer/endpoint.h"
#include "peer/home_url.h"
#include "wire/nat64.h"

struct node_nat64 {
    struct net_loop *loop;
    struct endpoint *endpoint;
    const struct home *home;
    void (*on_stun)(void *ctx); /* `stun` is known, or no longer */
    void *ctx;
    struct net_resolve *resolve;
    struct nat64_prefix prefix;
    struct bk_addr stun; /* the STUN server by way of the NAT64; family NONE: not known */
};

/* `home` is kept. */
void node_nat64_init(struct node_nat64 *n, struct net_loop *loop, struct endpoint *endpoint,
                     const struct home *home, void (*on_stun)(void *ctx), void *ctx);
void node_nat64_fini(struct node_nat64 *n);
/* The addresses of this machine are these: looks for a prefix if there is no IPv4 among them. */
void node_nat64_look(struct node_nat64 *n, const struct bk_addr *bases, size_t count);

#endif
