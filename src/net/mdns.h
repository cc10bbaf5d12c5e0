/* SPDX-License-Identifier: MIT
 * Names in .local, by multicast DNS (RFC 6762): looks them up, and answers for our own. Made for
 * the random names that stand for addresses in ICE candidates, so it neither probes nor announces
 * (draft-ietf-mmusic-mdns-ice-candidates section 3.1.1: such names are unique by themselves).
 *
 * One object serves any number of agents. It shares port 5353 with the system's own responder;
 * where that lets nobody in, it asks from another port and cannot publish. Which interfaces it uses
 * is the caller's choice: none until net_mdns_set_interfaces(). */
#ifndef NET_MDNS_H
#define NET_MDNS_H

#include "net/interfaces.h"
#include "net/loop.h"
#include <bodkin/addr.h>

enum {
    NET_MDNS_IPS_MAX = 4,      /* addresses of one name */
    NET_MDNS_LOOKUPS_MAX = 256 /* at a time */
};

struct net_mdns;
struct net_mdns_lookup;

/* `names_max`: how many names can be published at a time. BK_ERR_NO_MEMORY, BK_ERR_UNSUPPORTED:
 * there is no socket for it. */
BK_MUST_USE enum bk_err net_mdns_new(struct net_loop *loop, size_t names_max,
                                     struct net_mdns **out);
/* Lookups under way are dropped without a call. NULL is fine. */
void net_mdns_free(struct net_mdns *m);

/* Asks and answers on these interfaces from now on; an interface may be listed once for each of its
 * addresses, as net_interfaces() does. Call it again when they change. */
void net_mdns_set_interfaces(struct net_mdns *m, const struct net_interface *list, size_t count);

/* Looks `name` up: asks at 0, 250 and 1100 ms. `on_done` is called once, from the loop, never from
 * inside this call: BK_OK with count >= 1, or BK_ERR_TIMEOUT after 2.5 s. The lookup is gone then.
 * BK_ERR_ARGUMENT: not a name in .local. BK_ERR_FULL: NET_MDNS_LOOKUPS_MAX. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err net_mdns_resolve(struct net_mdns *m, const char *name,
                                         void (*on_done)(void *ctx, enum bk_err err,
                                                         const struct bk_ip *ips, size_t count),
                                         void *ctx, struct net_mdns_lookup **out);
/* on_done will not be called. Not after on_done. NULL is fine. */
void net_mdns_cancel(struct net_mdns_lookup *lookup);

/* Answers for `name` from now on, on the interface that has `ip`. BK_ERR_ARGUMENT: not a name in
 * .local, or no address. BK_ERR_EXISTS: published already. BK_ERR_FULL: names_max.
 * BK_ERR_UNSUPPORTED: port 5353 is not to be had. */
BK_MUST_USE enum bk_err net_mdns_publish(struct net_mdns *m, const char *name,
                                         const struct bk_ip *ip);
/* No longer. BK_ERR_NOT_FOUND. */
BK_MUST_USE enum bk_err net_mdns_withdraw(struct net_mdns *m, const char *name);

#endif
