/* SPDX-License-Identifier: MIT
 * What routers say to everybody on the link about port mappings: that they have restarted, or have
 * another address. To 224.0.0.1:5350 (RFC 6886 section 3.2.1) and [ff02::1]:5350 (RFC 6887 section
 * 14.1). The port is shared with other programs that share it; where it is not to be had, nothing
 * is heard, which costs time and nothing else. */
#ifndef NET_ANNOUNCE_H
#define NET_ANNOUNCE_H

#include "net/interfaces.h"
#include "net/loop.h"

struct net_announce;

/* `in->local` is the group with its port. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err net_announce_new(struct net_loop *loop,
                                         void (*on_datagram)(void *ctx,
                                                             const struct bk_datagram *in),
                                         void *ctx, struct net_announce **out);
/* Hears these interfaces from now on; one may be listed once for each of its addresses. Call it
 * again when they change. */
void net_announce_set_interfaces(struct net_announce *a, const struct net_interface *list,
                                 size_t count);
/* NULL is fine. */
void net_announce_free(struct net_announce *a);

#endif
