/* SPDX-License-Identifier: MIT
 * The UDP sockets that an endpoint wants beside the shared ones (endpoint_next_socket()): opened,
 * fed into the endpoint, closed. */
#ifndef NODE_EXTRA_H
#define NODE_EXTRA_H

#include "net/udp.h"
#include "peer/endpoint.h"

struct extra {
    struct net_loop *loop;
    struct endpoint *endpoint;
    struct net_udp_events events; /* of each of them */
    struct net_udp *sockets[ENDPOINT_SOCKETS_MAX];
    uint16_t ports[ENDPOINT_SOCKETS_MAX];
    size_t top; /* sockets[top..] are NULL */
};

void extra_init(struct extra *x, struct net_loop *loop, struct endpoint *endpoint,
                const struct net_udp_events *events);
void extra_fini(struct extra *x);
/* Does what the endpoint asks for; true: there was something. */
bool extra_serve(struct extra *x);
/* The socket with this port, or NULL. */
struct net_udp *extra_find(const struct extra *x, uint16_t port);

#endif
