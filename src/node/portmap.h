/* SPDX-License-Identifier: MIT
 * <bodkin/portmap.h> joined to a real network: finds the routers of this machine's interfaces and
 * follows their changes, opens the sockets, hears announcements, has UPnP's jobs done. */
#ifndef NODE_PORTMAP_H
#define NODE_PORTMAP_H

#include "net/loop.h"

#include <bodkin/portmap.h>

struct mapper;

struct mapper_config {
    struct bk_portmap_config portmap;
    bool no_ipv4, no_ipv6; /* leave the routers of that family alone */
};

struct mapper_events {
    void (*on_event)(void *ctx, const struct bk_portmap_event *event);
    /* Something to be sent from a wanted port (out->local); may be NULL. Answers go to
     * mapper_recv(). */
    void (*send)(void *ctx, const struct bk_datagram *out);
    /* The list of routers was read and is empty, or is no longer; may be NULL. */
    void (*on_routers)(void *ctx, size_t count);
    void *ctx;
};

/* Errors: of bk_portmap_new(); BK_ERR_IO. Without libminiupnpc UPnP is left out. */
BK_MUST_USE enum bk_err mapper_new(struct net_loop *loop, const struct mapper_config *config,
                                   const struct mapper_events *events, struct mapper **out);
/* At once; what was mapped ends with its lifetime unless bk_portmap_stop() was waited for. NULL is
 * fine. */
void mapper_free(struct mapper *m);
/* For a program that ends now: releases everything without waiting for answers, and half a second
 * at most for UPnP. */
void mapper_give_back(struct mapper *m);

/* The object, for whatever is to be asked of it. mapper_touch() after anything that takes `now`. */
struct bk_portmap *mapper_portmap(struct mapper *m);
void mapper_touch(struct mapper *m);
/* Hands in what came in on a wanted port. true: it was the mapper's. */
bool mapper_recv(struct mapper *m, const struct bk_datagram *in);
/* How many routers there are, and whether UPnP is in this build. */
size_t mapper_routers(const struct mapper *m);
bool mapper_has_upnp(const struct mapper *m);

#endif
