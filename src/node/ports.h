/* SPDX-License-Identifier: MIT
 * The node's own UDP ports, mapped at the routers in the background: what comes of it becomes
 * candidates of the endpoint, once it is known to be ours. */
#ifndef NODE_PORTS_H
#define NODE_PORTS_H

#include "net/udp.h"
#include "node/portmap.h"
#include "peer/endpoint.h"

struct node_ports {
    struct net_loop *loop;
    struct endpoint *endpoint;
    struct net_udp *udp[2];       /* IPv4, IPv6; NULL: none */
    bool private_addresses;       /* those between two NATs are not told */
    void (*on_change)(void *ctx); /* the endpoint has something new */
    void *ctx;
    struct mapper *mapper; /* NULL: not started */
    uint32_t wants[2];
    bool wanted[2];
};

/* Starts asking; a second time, or where there is nothing to ask, nothing happens. `stun`: the
 * servers to try mappings with. */
void node_ports_start(struct node_ports *p, const struct bk_addr *stun, size_t count);
/* true: it was an answer of ours. */
bool node_ports_recv(struct node_ports *p, const struct bk_datagram *in);
/* Gives the ports back: half a second at most, and only when a UPnP router is slow. */
void node_ports_fini(struct node_ports *p);

#endif
