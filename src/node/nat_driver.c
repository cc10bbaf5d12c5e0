/* SPDX-License-Identifier: MIT
 * One round per turn of the loop: whatever came in was handed to the check at once; then its
 * actions, datagrams and events are taken until there are no more, and the timer is set. */
#define _GNU_SOURCE
#include "node/nat_driver.h"

#include "box/box.h"
#include "net/alloc.h"
#include "net/gateway.h"
#include "net/hops.h"
#include "net/interfaces.h"
#include "net/stream.h"
#include "net/udp.h"

enum {
    QUEUE_MAX = 65536,         /* bytes a socket may queue: it sends a few hundred in its life */
    TCP_PATIENCE_US = 5000000, /* the check hangs up earlier */
    ROUNDS_MAX = 64            /* actions that lead to actions, in one turn */
};

struct slot { /* one index of the check's */
    struct nat_driver *driver;
    uint32_t index;
    struct net_udp *udp;
    struct net_stream *tcp;
    bool connected; /* tcp is */
};

struct nat_driver {
    struct net_loop *loop;
    struct bk_natcheck *check;
    struct nat_driver_events events;
    struct net_timer timer;
    struct net_deferred round;
    struct slot slots[BK_NATCHECK_SOCKETS_MAX];
    bool done;
};

/* --- what the system knows --- */

static void add_local(struct bk_natcheck_config *c, const struct bk_ip *ip) {
    for (size_t i = 0; i < c->local_count; i++)
        if (bk_ip_equal(&c->locals[i], ip))
            return;
    if (c->local_count < BK_NATCHECK_LOCALS_MAX)
        c->locals[c->local_count++] = *ip;
}

_Static_assert((int)NET_HOPS_MAX <= (int)BK_NATCHECK_HOPS_MAX, "all hops fit");

void nat_driver_look_around(struct bk_natcheck_config *config) {
    struct net_interface list[NET_INTERFACES_MAX];
    struct bk_ip ip;
    size_t count = 0;
    config->local_count = 0;
    if (config->server.port != 0 && net_source_for(&config->server, &ip) == BK_OK)
        add_local(config, &ip);
    if (config->server6.port != 0 && net_source_for(&config->server6, &ip) == BK_OK)
        add_local(config, &ip);
    if (net_interfaces(list, NET_INTERFACES_MAX, &count) != BK_OK)
        count = 0;
    for (size_t i = 0; i < count; i++)
        if (!list[i].loopback)
            add_local(config, &list[i].ip);
    if (config->server.port != 0 && net_gateway_for(&config->server.ip, &ip) == BK_OK &&
        ip.family == BK_IPV4)
        config->gateway = ip;
    if (config->server.port != 0 &&
        net_hops_towards(&config->server, config->hops, &config->hop_count) != BK_OK)
        config->hop_count = 0;
}

/* --- sockets --- */

static void wake(struct nat_driver *d) {
    net_defer(&d->round);
}

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    struct slot *s = ctx;
    for (size_t i = 0; i < n; i++) {
        enum bk_err err = bk_natcheck_recv(s->driver->check, s->index, &in[i], now);
        (void)err; /* strangers' packets and broken ones are dropped: nothing else to do */
    }
    wake(s->driver);
}

static void on_tcp_open(void *ctx) {
    struct slot *s = ctx;
    struct bk_addr local = net_stream_local(s->tcp);
    s->connected = true;
    bk_natcheck_opened(s->driver->check, s->index, BK_OK, &local, net_now(s->driver->loop));
    wake(s->driver);
}

static void on_tcp_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct slot *s = ctx;
    const struct bk_datagram in = {.local = net_stream_local(s->tcp),
                                   .remote = net_stream_remote(s->tcp),
                                   .data = data,
                                   .len = len};
    enum bk_err err = bk_natcheck_recv(s->driver->check, s->index, &in, net_now(s->driver->loop));
    (void)err; /* as above */
    wake(s->driver);
}

static void on_tcp_close(void *ctx, enum bk_err err, const char *reason) {
    struct slot *s = ctx;
    struct nat_driver *d = s->driver;
    (void)reason;
    s->tcp = NULL;
    if (s->connected)
        bk_natcheck_closed(d->check, s->index, net_now(d->loop));
    else
        bk_natcheck_opened(d->check, s->index, err == BK_OK ? BK_ERR_CLOSED : err, NULL,
                           net_now(d->loop));
    wake(d);
}

static void open_udp(struct nat_driver *d, struct slot *s, const struct bk_addr *local) {
    struct net_udp_config config = net_udp_config_default;
    const struct net_udp_events events = {on_batch, s};
    config.v6only = true;
    config.queue_max = QUEUE_MAX;
    enum bk_err err = net_udp_open(d->loop, local, &config, &events, &s->udp);
    struct bk_addr bound = err == BK_OK ? net_udp_local(s->udp) : *local;
    bk_natcheck_opened(d->check, s->index, err, &bound, net_now(d->loop));
}

static void dial(struct nat_driver *d, struct slot *s, const struct bk_natcheck_action *a) {
    static const struct net_stream_events events = {
        .on_open = on_tcp_open, .on_bytes = on_tcp_bytes, .on_close = on_tcp_close};
    struct net_stream_config config = net_stream_config_default;
    config.open_timeout_us = TCP_PATIENCE_US;
    config.from = a->local;
    s->connected = false;
    enum bk_err err = net_stream_connect_addr(d->loop, &a->remote, &config, &events, s, &s->tcp);
    if (err == BK_OK)
        return; /* on_tcp_open or on_tcp_close answers */
    s->tcp = NULL;
    bk_natcheck_opened(d->check, s->index, err, NULL, net_now(d->loop));
}

static void close_slot(struct slot *s) {
    net_udp_close(s->udp);
    net_stream_close(s->tcp);
    s->udp = NULL;
    s->tcp = NULL;
}

static void act(struct nat_driver *d, const struct bk_natcheck_action *a) {
    struct slot *s = &d->slots[a->socket % BK_NATCHECK_SOCKETS_MAX];
    switch (a->kind) {
    case BK_NATCHECK_OPEN:
        close_slot(s);
        open_udp(d, s, &a->local);
        return;
    case BK_NATCHECK_DIAL:
        close_slot(s);
        dial(d, s, a);
        return;
    case BK_NATCHECK_CLOSE:
    case BK_NATCHECK_HANG_UP:
        close_slot(s);
        return;
    }
}

/* A packet that cannot be queued is a packet lost, which the check is made for. */
static void send_one(struct nat_driver *d, uint32_t socket, const struct bk_datagram *out) {
    struct slot *s = &d->slots[socket % BK_NATCHECK_SOCKETS_MAX];
    enum bk_err err = BK_OK;
    if (s->udp != NULL)
        err = net_udp_send(s->udp, out);
    else if (s->tcp != NULL)
        err = net_stream_write(s->tcp, out->data, out->len);
    (void)err;
}

/* --- rounds --- */

static void close_all(struct nat_driver *d) {
    for (size_t i = 0; i < BK_NATCHECK_SOCKETS_MAX; i++)
        close_slot(&d->slots[i]);
}

/* false: everything was told. */
static bool tell(struct nat_driver *d) {
    struct bk_natcheck_event event;
    while (bk_natcheck_next_event(d->check, &event)) {
        if (event.kind == BK_NATCHECK_FOUND) {
            d->events.on_found(d->events.ctx, event.attr);
            continue;
        }
        if (!d->done) {
            d->done = true;
            close_all(d);
            net_timer_set(&d->timer, BK_NEVER);
            d->events.on_done(d->events.ctx);
        }
        return false;
    }
    return true;
}

static void on_round(void *ctx) {
    struct nat_driver *d = ctx;
    struct bk_natcheck_action action;
    struct bk_datagram out;
    uint32_t socket;
    bool more = true;
    for (int i = 0; i < ROUNDS_MAX && more; i++) {
        more = false;
        while (bk_natcheck_next_action(d->check, &action)) {
            act(d, &action);
            more = true;
        }
        while (bk_natcheck_next_datagram(d->check, &socket, &out)) {
            send_one(d, socket, &out);
            more = true;
        }
    }
    if (more)
        wake(d); /* the loop's other work comes first */
    if (tell(d) && !d->done)
        net_timer_set(&d->timer, bk_natcheck_deadline(d->check));
}

static void on_due(void *ctx, struct bk_time now) {
    struct nat_driver *d = ctx;
    bk_natcheck_advance(d->check, now);
    wake(d);
}

/* --- life --- */

enum bk_err nat_driver_new(struct net_loop *loop, const struct bk_natcheck_config *config,
                           const struct nat_driver_events *events, struct nat_driver **out) {
    const struct bk_alloc *alloc = net_alloc();
    const struct bk_rng rng = box_rng();
    struct nat_driver *d = alloc->get(alloc->ctx, sizeof *d);
    if (d == NULL)
        return BK_ERR_NO_MEMORY;
    d->loop = loop;
    d->events = *events;
    for (uint32_t i = 0; i < BK_NATCHECK_SOCKETS_MAX; i++)
        d->slots[i] = (struct slot){.driver = d, .index = i};
    /* Not net_now(): looking around takes a while, which is no part of the run. */
    enum bk_err err = bk_natcheck_new(config, alloc, &rng, net_clock(), &d->check);
    if (err != BK_OK) {
        alloc->put(alloc->ctx, d);
        return err;
    }
    net_timer_init(&d->timer, loop, on_due, d);
    net_deferred_init(&d->round, loop, on_round, d);
    net_timer_set(&d->timer, net_now(loop));
    *out = d;
    return BK_OK;
}

void nat_driver_stop(struct nat_driver *d) {
    bk_natcheck_stop(d->check, net_now(d->loop));
    wake(d);
}

const struct bk_nat_record *nat_driver_record(const struct nat_driver *d) {
    return bk_natcheck_record(d->check);
}

void nat_driver_free(struct nat_driver *d) {
    const struct bk_alloc *alloc = net_alloc();
    if (d == NULL)
        return;
    net_timer_set(&d->timer, BK_NEVER);
    net_defer_cancel(&d->round);
    close_all(d);
    bk_natcheck_free(d->check);
    alloc->put(alloc->ctx, d);
}
