/* SPDX-License-Identifier: MIT */
#include "server/turn_int.h"

#include "net/alloc.h"
#include "server/worker.h"

struct turn_relay {
    struct server_turn *turn;
    struct net_udp *udp;
};

enum bk_err turn_relays_init(struct server_turn *t, const struct turn_service_config *config) {
    const struct bk_alloc *alloc = net_alloc();
    for (size_t i = 0; i < 2; i++) {
        struct turn_relays *r = &t->relays[i];
        if (config->relay[i].family == BK_FAMILY_NONE)
            continue;
        r->first = config->port_min;
        r->count = (uint32_t)config->port_max - config->port_min + 1;
        r->by_port = alloc->get(alloc->ctx, r->count * sizeof(struct turn_relay *));
        if (r->by_port == NULL)
            return BK_ERR_NO_MEMORY;
    }
    return BK_OK;
}

static struct turn_relay **place_of(struct server_turn *t, const struct bk_addr *addr) {
    struct turn_relays *r = &t->relays[addr->ip.family == BK_IPV6];
    uint32_t i = (uint32_t)addr->port - r->first; /* wraps around below the first */
    return i < r->count ? &r->by_port[i] : NULL;
}

static void relay_free(struct turn_relay *r) {
    const struct bk_alloc *alloc = net_alloc();
    if (r == NULL)
        return;
    net_udp_close(r->udp);
    alloc->put(alloc->ctx, r);
}

void turn_relays_fini(struct server_turn *t) {
    const struct bk_alloc *alloc = net_alloc();
    for (size_t i = 0; i < 2; i++) {
        struct turn_relays *r = &t->relays[i];
        for (uint32_t k = 0; r->by_port != NULL && k < r->count; k++)
            relay_free(r->by_port[k]);
        alloc->put(alloc->ctx, r->by_port);
    }
}

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    struct turn_relay *r = ctx;
    struct server_turn *t = r->turn;
    for (size_t i = 0; i < n; i++) {
        if (turn_service_recv(t->service, &in[i], now) == BK_OK)
            turn_serve(t, NULL, now);
    }
}

enum bk_err turn_relay_open(struct server_turn *t, const struct bk_addr *addr) {
    const struct bk_alloc *alloc = net_alloc();
    struct turn_relay **place = place_of(t, addr);
    struct net_udp_config config = net_udp_config_default;
    config.dont_fragment = false;
    if (place == NULL || *place != NULL)
        return BK_ERR_EXISTS;
    struct turn_relay *r = alloc->get(alloc->ctx, sizeof *r);
    if (r == NULL)
        return BK_ERR_NO_MEMORY;
    const struct net_udp_events events = {on_batch, r};
    r->turn = t;
    enum bk_err err = net_udp_open(t->worker->loop, addr, &config, &events, &r->udp);
    if (err != BK_OK) {
        alloc->put(alloc->ctx, r);
        return err;
    }
    *place = r;
    return BK_OK;
}

void turn_relay_close(struct server_turn *t, const struct bk_addr *addr) {
    struct turn_relay **place = place_of(t, addr);
    if (place == NULL)
        return;
    relay_free(*place);
    *place = NULL;
}

bool turn_relay_send(struct server_turn *t, const struct bk_datagram *out) {
    struct turn_relay **place = place_of(t, &out->local);
    if (place == NULL || *place == NULL)
        return false;
    const struct bk_addr at = net_udp_local((*place)->udp);
    if (!bk_addr_equal(&at, &out->local))
        return false;
    (void)!net_udp_send((*place)->udp, out); /* counted there */
    return true;
}
