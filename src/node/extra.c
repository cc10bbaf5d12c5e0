/* SPDX-License-Identifier: MIT */
#include "node/extra.h"

void extra_init(struct extra *x, struct net_loop *loop, struct endpoint *endpoint,
                const struct net_udp_events *events) {
    *x = (struct extra){.loop = loop, .endpoint = endpoint, .events = *events};
}

static void close_one(struct extra *x, uint16_t id) {
    net_udp_close(x->sockets[id]);
    x->sockets[id] = NULL;
    while (x->top > 0 && x->sockets[x->top - 1] == NULL)
        x->top--;
}

void extra_fini(struct extra *x) {
    while (x->top > 0)
        close_one(x, (uint16_t)(x->top - 1));
}

/* BULK: the path that is found may run through it. */
static enum bk_err open_at(struct extra *x, uint16_t id, uint16_t port) {
    enum { BULK = 4 * 1024 * 1024 };
    const struct bk_addr any = {.ip = {.family = BK_IPV4}, .port = port};
    struct net_udp_config config = net_udp_config_default;
    config.gro = true;
    config.sndbuf = BULK;
    config.rcvbuf = BULK;
    return net_udp_open(x->loop, &any, &config, &x->events, &x->sockets[id]);
}

static void open_one(struct extra *x, uint16_t id, uint16_t wanted) {
    x->ports[id] = 0;
    if (open_at(x, id, wanted) == BK_OK || open_at(x, id, 0) == BK_OK) {
        x->ports[id] = net_udp_local(x->sockets[id]).port;
        x->top = x->top > id ? x->top : (size_t)id + 1;
    }
    endpoint_opened(x->endpoint, id, x->ports[id], net_now(x->loop));
}

bool extra_serve(struct extra *x) {
    struct endpoint_socket action;
    bool any = false;
    while (endpoint_next_socket(x->endpoint, net_now(x->loop), &action)) {
        any = true;
        if (action.open)
            open_one(x, action.id, action.port);
        else
            close_one(x, action.id);
    }
    return any;
}

struct net_udp *extra_find(const struct extra *x, uint16_t port) {
    for (size_t i = 0; i < x->top; i++)
        if (x->sockets[i] != NULL && x->ports[i] == port)
            return x->sockets[i];
    return NULL;
}
