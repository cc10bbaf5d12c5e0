/* SPDX-License-Identifier: MIT
 * The node's beacons (peer/beacon.h) on the real network: sockets while there is a session to
 * listen for, and only then, so that nobody finds an open port at other times. */
#ifndef NODE_LAN_H
#define NODE_LAN_H

#include "net/interfaces.h"
#include "net/neighbours.h"
#include "peer/endpoint.h"

struct node_lan {
    struct net_loop *loop;
    struct endpoint *endpoint;
    void (*on_heard)(void *ctx); /* the endpoint has news */
    void *ctx;
    struct net_neighbours *neighbours; /* NULL: not listening */
    bool unable;                       /* no sockets to be had: until the interfaces change */
    struct net_interface list[NET_INTERFACES_MAX];
    size_t count;
};

void node_lan_init(struct node_lan *l, struct net_loop *loop, struct endpoint *endpoint,
                   void (*on_heard)(void *ctx), void *ctx);
void node_lan_fini(struct node_lan *l);
/* The interfaces, all of them, and the ports of the UDP sockets; 0: there is no such socket. */
void node_lan_set(struct node_lan *l, const struct net_interface *list, size_t count,
                  uint16_t port4, uint16_t port6);
/* Once per turn: opens, sends, closes. */
void node_lan_round(struct node_lan *l);

#endif
