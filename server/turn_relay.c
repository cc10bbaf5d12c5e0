/* SPDX-License-Identifier: MIT */
#include "server/turn_int.h"

#include "net/alloc.h"
#include "server/worker.h"
#include <unistd.h>

enum { RELAY_BUFFER = 1 << 18 };

struct turn_relay {
    struct server_turn *turn;
    struct net_port *port;
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
    net_port_close(r->port);
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

struct net_port *turn_relay_port(struct turn_relay *r) {
    return r->port;
}

static void on_train(void *ctx, const struct bk_datagram *in, struct bk_time now) {
    struct turn_relay *r = ctx;
    struct bk_datagram rest = *in;
    size_t taken;
    rest.segment = in->segment == 0 ? in->len : in->segment;
    do {
        taken = turn_run(r->turn, &rest, false, now);
        rest.data += taken;
        rest.len -= taken;
    } while (taken > 0 && rest.len > 0);
}

static void on_icmp(void *ctx, const struct net_icmp *e, struct bk_time now) {
    struct turn_relay *r = ctx;
    struct server_turn *t = r->turn;
    const struct turn_icmp error = {
        .local = e->local, .peer = e->remote, .type = e->type, .code = e->code, .mtu = e->mtu};
    if (turn_service_icmp(t->service, &error, now) == BK_OK)
        turn_serve(t, now);
}

static void close_socket(int socket) {
    if (socket != 0)
        close(socket);
}

enum bk_err turn_relay_adopt(struct server_turn *t, const struct bk_addr *addr, int socket) {
    const struct bk_alloc *alloc = net_alloc();
    const struct net_port_config config = {.rcvbuf = RELAY_BUFFER, .socket = socket};
    struct turn_relay **place = place_of(t, addr);
    if (place == NULL || *place != NULL) {
        close_socket(socket);
        return BK_ERR_EXISTS;
    }
    struct turn_relay *r = alloc->get(alloc->ctx, sizeof *r);
    if (r == NULL) {
        close_socket(socket);
        return BK_ERR_NO_MEMORY;
    }
    const struct net_port_events events = {on_train, on_icmp, r};
    r->turn = t;
    enum bk_err err = net_port_open(t->worker->plane, addr, &config, &events, &r->port);
    if (err != BK_OK) {
        alloc->put(alloc->ctx, r);
        return err;
    }
    *place = r;
    turn_service_opened(t->service, addr, r);
    return BK_OK;
}

enum bk_err turn_relay_open(struct server_turn *t, const struct bk_addr *addr) {
    return turn_relay_adopt(t, addr, 0);
}

void turn_relay_close(struct server_turn *t, const struct bk_addr *addr) {
    struct turn_relay **place = place_of(t, addr);
    if (place == NULL)
        return;
    relay_free(*place);
    *place = NULL;
}

struct turn_relay *turn_relay_at(struct server_turn *t, const struct bk_addr *local) {
    struct turn_relay **place = place_of(t, local);
    if (place == NULL || *place == NULL)
        return NULL;
    const struct bk_addr at = net_port_local((*place)->port);
    return bk_addr_equal(&at, local) ? *place : NULL;
}

bool turn_relay_send(struct server_turn *t, const struct bk_datagram *out) {
    struct turn_relay *r = turn_relay_at(t, &out->local);
    if (r == NULL)
        return false;
    net_port_send_one(r->port, out);
    return true;
}
