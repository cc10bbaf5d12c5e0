/* SPDX-License-Identifier: MIT
 * STUN and TURN over UDP through a proxy (server/proxy.h) that a worker's configuration trusts. A
 * datagram with a header says who is behind this address and port of the proxy's; those without one
 * that follow are from the same client. Answers go back to the proxy, bare. */
#ifndef SERVER_UDP_PROXY_H
#define SERVER_UDP_PROXY_H

#include "server/udp.h"

enum { UDP_PROXY_CLIENTS_MAX = 20000 }; /* of one worker */

struct udp_proxy; /* opaque */

BK_MUST_USE enum bk_err udp_proxy_new(struct worker *w, struct udp_proxy **out);
/* Ends the clients' allocations; before TURN. NULL is fine. */
void udp_proxy_free(struct udp_proxy *p);
/* Tells of each client: where its datagrams come from and arrive. */
void udp_proxy_each(const struct udp_proxy *p,
                    void (*each)(void *ctx, const struct bk_datagram *client), void *ctx);
/* One datagram of a trusted proxy. */
void udp_proxy_recv(struct udp_proxy *p, struct udp_door *door, const struct bk_datagram *in,
                    struct bk_time now);

#endif
