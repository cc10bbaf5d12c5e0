/* SPDX-License-Identifier: MIT
 * Builds without libminiupnpc. */
#ifndef BODKIN_UPNP
#include "node/upnp.h"

enum bk_err upnp_new(struct net_loop *loop,
                     void (*on_done)(void *ctx, const struct bk_portmap_result *result), void *ctx,
                     struct upnp **out) {
    (void)loop;
    (void)on_done;
    (void)ctx;
    (void)out;
    return BK_ERR_UNSUPPORTED;
}

void upnp_free(struct upnp *u) {
    (void)u;
}

enum bk_err upnp_start(struct upnp *u, const struct bk_portmap_job *job,
                       const struct bk_portmap_router *by) {
    (void)u;
    (void)job;
    (void)by;
    return BK_ERR_UNSUPPORTED;
}
bool upnp_wait(struct upnp *u, int64_t patience_us, struct bk_portmap_result *out) {
    (void)u;
    (void)patience_us;
    (void)out;
    return false;
}

#else
typedef int upnp_none_is_empty; /* ISO C wants a declaration in every file */
#endif
