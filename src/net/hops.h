/* SPDX-License-Identifier: MIT
 * The first routers on the way to somewhere: what shows a carrier's NAT behind one's own. */
#ifndef NET_HOPS_H
#define NET_HOPS_H

#include <bodkin/addr.h>

enum {
    NET_HOPS_MAX = 4,       /* routers that are asked for, one datagram each */
    NET_HOPS_WAIT_MS = 200, /* for all of them */
    NET_HOPS_QUIET_MS = 60  /* ... and after the last one that spoke up */
};

/* Sends NET_HOPS_MAX empty UDP datagrams to `to`, with hop limits of 1, 2 and so on, and *blocks*
 * until the routers have told where each of them died, or NET_HOPS_WAIT_MS. out[0] is the nearest
 * router; family NONE: it said nothing, or the datagram got through. *count is the number up to the
 * last one that spoke. Only IPv4: behind IPv6 there is no NAT to look for. BK_ERR_UNSUPPORTED: this
 * system does not tell. BK_ERR_ARGUMENT: not an IPv4 address with a port. */
BK_MUST_USE enum bk_err net_hops_towards(const struct bk_addr *to, struct bk_ip out[NET_HOPS_MAX],
                                         size_t *count);

#endif
