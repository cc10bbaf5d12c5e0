/* SPDX-License-Identifier: MIT
 * Runs a bk_natcheck on real sockets: opens what it asks for, carries its datagrams and its TCP
 * bytes, wakes it when it wants to be woken. */
#ifndef NODE_NAT_DRIVER_H
#define NODE_NAT_DRIVER_H

#include "net/loop.h"
#include <bodkin/natcheck.h>

struct nat_driver;

/* From the loop, never from inside a call of the owner's. */
struct nat_driver_events {
    void (*on_found)(void *ctx, enum bk_nat_attr attr);
    void (*on_done)(void *ctx); /* the record is complete, all sockets are closed */
    void *ctx;
};

/* Fills in what the system knows: our addresses, the best ones first, the router towards
 * config->server, and the first routers on the way, which takes up to NET_HOPS_WAIT_MS. What cannot
 * be found out stays empty. */
void nat_driver_look_around(struct bk_natcheck_config *config);
/* Starts. Errors as bk_natcheck_new(). */
BK_MUST_USE enum bk_err nat_driver_new(struct net_loop *loop,
                                       const struct bk_natcheck_config *config,
                                       const struct nat_driver_events *events,
                                       struct nat_driver **out);
/* Ends early: on_done follows, with what is known by now. */
void nat_driver_stop(struct nat_driver *d);
/* Valid until nat_driver_free(). */
const struct bk_nat_record *nat_driver_record(const struct nat_driver *d);
/* No callback follows. Not from inside one. NULL is fine. */
void nat_driver_free(struct nat_driver *d);

#endif
