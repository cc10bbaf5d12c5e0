/* SPDX-License-Identifier: MIT
 * Datagrams to everybody on a link at once, and from them: IPv4 broadcast and multicast, and IPv6
 * multicast, all with a hop limit of 255, which no router lets through unchanged (RFC 5082).
 *
 * For each family there are two sockets: one that hears what is sent to all (its port is shared
 * with other programs of this machine that do the same), and one with a port of its own, from which
 * everything leaves and where answers come. What cannot be sent is lost. */
#ifndef NET_NEIGHBOURS_H
#define NET_NEIGHBOURS_H

#include "net/interfaces.h"
#include "net/loop.h"
#include <bodkin/addr.h>

enum { NET_NEIGHBOURS_MAX = 1200 }; /* longest datagram */

struct net_neighbours;

struct net_neighbours_config {
    uint16_t port;               /* where all hear */
    struct bk_ip group4, group6; /* multicast groups, beside 255.255.255.255 */
    /* A datagram that came on the interface `link`; in->ttl is its hop limit. Must not free the
     * object. */
    void (*on_datagram)(void *ctx, uint32_t link, const struct bk_datagram *in);
    void *ctx;
};

/* BK_ERR_NO_MEMORY; BK_ERR_UNSUPPORTED: no socket of either family, or a system that cannot tell
 * hop limits. */
BK_MUST_USE enum bk_err net_neighbours_new(struct net_loop *loop,
                                           const struct net_neighbours_config *config,
                                           struct net_neighbours **out);
void net_neighbours_free(struct net_neighbours *n); /* NULL is fine */

/* Hears and calls on the interfaces of this list from now on; on all but loopback and
 * point-to-point ones. Call again when they change. */
void net_neighbours_set_interfaces(struct net_neighbours *n, const struct net_interface *list,
                                   size_t count);
/* `to` of family NONE: to everybody on the link. */
void net_neighbours_send(struct net_neighbours *n, uint32_t link, const struct bk_addr *to,
                         const uint8_t *data, size_t len);

#endif
