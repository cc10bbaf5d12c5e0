/* SPDX-License-Identifier: MIT
 * The addresses of the host that users are asked for at: looked up beside the work, one lookup at a
 * time, and kept for a minute. When the resolver has no answer any more, the last ones go on. */
#ifndef SERVER_USERS_HOST_H
#define SERVER_USERS_HOST_H

#include "net/loop.h"
#include "net/resolve.h"
#include "server/users_url.h"

enum { USERS_HOST_ADDRS = 4 };

struct users_host {
    struct net_loop *loop;
    struct net_resolve *asking; /* NULL: nobody is asked now */
    char name[USERS_URL_HOST_MAX];
    struct bk_addr addrs[USERS_HOST_ADDRS];
    size_t count;
    uint16_t port;
    struct bk_time until;     /* then they are looked up again */
    void (*known)(void *ctx); /* a lookup has ended; `count` says whether with success */
    void *ctx;
};

void users_host_init(struct users_host *h, struct net_loop *loop, void (*known)(void *ctx),
                     void *ctx);
void users_host_fini(struct users_host *h);
/* Another host, or none (""): what was known is forgotten. */
void users_host_set(struct users_host *h, const struct users_url *url);
/* Are there addresses? If not now, `known` follows, unless *err says why it does not. */
bool users_host_ask(struct users_host *h, enum bk_err *err);

#endif
