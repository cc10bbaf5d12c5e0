/* SPDX-License-Identifier: MIT
 * The jobs of <bodkin/portmap.h> done by libminiupnpc, one at a time, in a thread: it blocks for
 * seconds when a router hangs, and nobody waits for it. Only the router itself is spoken to,
 * whatever address an answer to the search names. */
#ifndef NODE_UPNP_H
#define NODE_UPNP_H

#include "net/loop.h"

#include <bodkin/portmap.h>

struct upnp;

/* `on_done` is called in the loop's thread. BK_ERR_UNSUPPORTED: this build has no libminiupnpc.
 * BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err upnp_new(struct net_loop *loop,
                                 void (*on_done)(void *ctx, const struct bk_portmap_result *result),
                                 void *ctx, struct upnp **out);
/* A thread that hangs is left to itself; it ends with its last time limit. NULL is fine. */
void upnp_free(struct upnp *u);

/* Starts a job. `by`: the router and our address to reach it at by IPv4; the job's own router for
 * an IPv4 job. BK_ERR_FULL: the one before hangs still. */
BK_MUST_USE enum bk_err upnp_start(struct upnp *u, const struct bk_portmap_job *job,
                                   const struct bk_portmap_router *by);
/* Blocks until the job is done, this long at most. true: it is, and *out, which on_done will not be
 * told any more, says how. */
BK_MUST_USE bool upnp_wait(struct upnp *u, int64_t patience_us, struct bk_portmap_result *out);

#endif
