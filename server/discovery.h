/* SPDX-License-Identifier: MIT
 * Which two addresses of this host make the RFC 5780 service, and what to say when there are not
 * two. */
#ifndef SERVER_DISCOVERY_H
#define SERVER_DISCOVERY_H

#include "server/options.h"
#include "stun/discovery.h"

struct net_interface;

/* Fills out->ips and out->outside from the first of these that has an address of the family:
 * `named`
 * (--stun-address); `listen` (--listen), wildcards aside; for IPv4 the host's own global addresses
 * `own`, unless all of `listen` is named. Own IPv6 addresses are not taken unasked: hosts make
 * temporary ones (RFC 8981), and an answer that should leave from one that is gone would be
 * mistaken for one that a NAT filtered. */
void discovery_pick(const struct server_listen *named, const struct server_listen *listen,
                    const struct net_interface *own, size_t own_count,
                    struct stun_discovery_config *out);
/* What that family has, for the log: "complete", or why not. Static text. */
const char *discovery_text(enum stun_discovery_reach reach);

#endif
