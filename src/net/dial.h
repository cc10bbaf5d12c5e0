/* SPDX-License-Identifier: MIT
 * Private to net: from a host name to a connected TCP socket, by racing the name's addresses
 * (RFC 8305, "Happy Eyeballs"). */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/loop.h"
#include <bodkin/addr.h>

struct net_dial;

/* Called once: `fd` is connected and the owner's, or -1 and `err` tells why the last attempt
 * failed. The dial is gone after it. */
struct dial_events {
    void (*on_done)(void *ctx, int fd, const struct bk_addr *remote, enum bk_err err,
                    const char *reason);
    void *ctx;
};

/* Where to: `host` and `port`, or `to` when `host` is NULL. Copied. */
struct dial_target {
    const char *host;
    const struct bk_addr *to;
    uint16_t port;
    struct bk_addr from; /* ours, shared with other sockets; family NONE: the system's choice */
};

/* Never calls back from inside. */
BK_MUST_USE enum bk_err dial_new(struct net_loop *loop, const struct dial_target *target,
                                 const struct dial_events *events, struct net_dial **out);
/* No callback follows. NULL is fine. */
void dial_cancel(struct net_dial *d);

#endif
