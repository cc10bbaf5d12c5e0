/* SPDX-License-Identifier: MIT
 * Asks the home server's port 80, and nobody else, whether a captive portal answers in its place:
 * one connection, seldom, and only when the home cannot be reached. */
#ifndef NODE_PORTAL_CHECK_H
#define NODE_PORTAL_CHECK_H

#include "net/loop.h"
#include "net/stream.h"
#include "tunnel/portal.h"

struct portal_check {
    struct net_loop *loop;
    const char *host;
    void (*on_done)(void *ctx); /* a check is over; look at `there` */
    void *ctx;
    struct net_stream *stream;
    struct net_timer timer; /* the check must be over by then */
    struct portal portal;
    struct bk_rng rng;
    struct bk_time again_at; /* not before */
    bool there;              /* the last check met a portal; its URL is portal.url */
    char url[PORTAL_URL_MAX];
};

/* `host` is borrowed for life. */
void portal_check_init(struct portal_check *c, struct net_loop *loop, const char *host,
                       void (*on_done)(void *ctx), void *ctx);
void portal_check_fini(struct portal_check *c);
/* Starts a check unless one runs or was made just now. Returns whether one is running. */
bool portal_check_start(struct portal_check *c);
bool portal_check_is_running(const struct portal_check *c);
/* The home was reached, or the network is another one: there is no portal. */
void portal_check_forget(struct portal_check *c);

#endif
