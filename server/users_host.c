/* SPDX-License-Identifier: MIT */
#include "server/users_host.h"

#include <string.h>

#define KEEP_US (60 * BK_US_PER_S)

void users_host_init(struct users_host *h, struct net_loop *loop, void (*known)(void *ctx),
                     void *ctx) {
    *h = (struct users_host){.loop = loop, .known = known, .ctx = ctx};
}

void users_host_fini(struct users_host *h) {
    net_resolve_cancel(h->asking);
    h->asking = NULL;
}

void users_host_set(struct users_host *h, const struct users_url *url) {
    struct bk_addr addr = {.port = url->port};
    users_host_fini(h);
    memcpy(h->name, url->host, sizeof h->name);
    h->port = url->port;
    h->count = 0;
    h->until = BK_NEVER;
    if (url->is_name || bk_ip_parse(url->host, &addr.ip) != BK_OK)
        return;
    h->addrs[0] = addr;
    h->count = 1;
}

static void on_done(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t n) {
    struct users_host *h = ctx;
    h->asking = NULL;
    h->until = bk_after(net_now(h->loop), KEEP_US);
    if (err == BK_OK) {
        h->count = n < USERS_HOST_ADDRS ? n : USERS_HOST_ADDRS;
        memcpy(h->addrs, addrs, h->count * sizeof *addrs);
    }
    h->known(h->ctx);
}

bool users_host_ask(struct users_host *h, enum bk_err *err) {
    bool old = h->count == 0 || bk_due(h->until, net_now(h->loop));
    *err = BK_OK;
    if (old && h->asking == NULL)
        *err = net_resolve(h->loop, h->name, h->port, on_done, h, &h->asking);
    return h->count > 0;
}
