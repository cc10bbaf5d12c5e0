/* SPDX-License-Identifier: MIT
 * Turns. Waking up costs more than a datagram does, so under load a plane that found little to do
 * does not go back to sleep for the next datagram, but until a while has passed since it last woke.
 * A turn that took longer than that has work waiting, and is followed by the next one at once. */
#define _GNU_SOURCE /* NOLINT: clock_nanosleep(), and libuv needs it */
#include "net/plane_private.h"

#include "base/assert.h"
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    RATE_US = 20000, /* the load is measured over so long */
    REST_TURNS = 16, /* a port that gave one datagram when more were asked for */
    LEAST_SLEEP_US = 20
};

const struct net_plane_config net_plane_config_default = {.delay_us = 200, .delay_pps = 5000};

static void list_add(struct net_port *head, struct net_port *port) {
    port->prev = head->prev;
    port->next = head;
    head->prev->next = port;
    head->prev = port;
}

static void list_remove(struct net_port *port) {
    port->prev->next = port->next;
    port->next->prev = port->prev;
}

/* --- turns -------------------------------------------------------------------------------------
 */

static void count_in(struct net_plane *p, const struct bk_datagram *in) {
    p->counters.in += in->segment == 0 ? 1 : (in->len + in->segment - 1) / in->segment;
    p->counters.in_bytes += in->len;
    p->counters.trains_in++;
}

/* How many datagrams to ask for. Where they come one by one, asking for more costs a call into the
 * kernel's depth each time; a port that has something in two turns running may have more. */
static size_t to_ask(struct net_port *port) {
    const struct net_plane *p = port->plane;
    if (port->rest > 0)
        port->rest--;
    else if (port->seen + 1 == p->turn)
        port->want = PLANE_BATCH;
    port->seen = p->turn;
    size_t free_slots = PLANE_SLOTS - p->slot;
    return port->want < free_slots ? port->want : free_slots;
}

static void learn(struct net_port *port, size_t asked, size_t got) {
    if (asked > 1 && got <= 1) {
        port->want = 1;
        port->rest = REST_TURNS;
    }
}

/* One call's worth. Gives whether there may be more. */
static bool receive_some(struct net_port *port) {
    struct net_plane *p = port->plane;
    struct bk_datagram in[PLANE_BATCH];
    bool more = false;
    if (p->slot == PLANE_SLOTS) {
        net_plane_flush(p);
        p->slot = 0;
    }
    size_t asked = to_ask(port);
    size_t got = p->tier->receive(port, asked, in, &more);
    const struct bk_time now = net_now(p->loop);
    learn(port, asked, got);
    for (size_t i = 0; i < got; i++) {
        count_in(p, &in[i]);
        if (!port->closed)
            port->events.on_train(port->events.ctx, &in[i], now);
    }
    return more && !port->closed;
}

static void receive(struct net_port *port) {
    for (int round = 0; round < PLANE_ROUNDS && !port->closed; round++)
        if (!receive_some(port))
            return;
}

static void bury(struct net_plane *p) {
    while (p->dead.next != &p->dead) {
        struct net_port *port = p->dead.next;
        list_remove(port);
        p->alloc.put(p->alloc.ctx, port);
    }
}

void net_plane_turn(struct net_plane *p, int64_t timeout_us) {
    struct net_port *ready[PLANE_READY];
    bool loop_too = false;
    if (loop_has_work(p->loop))
        timeout_us = 0;
    size_t n = p->tier->wait(p, timeout_us, ready, PLANE_READY, &loop_too);
    loop_refresh(p->loop);
    p->woke = net_now(p->loop);
    p->turn++;
    p->counters.turns++;
    p->slot = 0;
    for (size_t i = 0; i < n; i++)
        if (!ready[i]->closed)
            receive(ready[i]);
    net_plane_flush(p);
    if (loop_too || loop_has_work(p->loop)) {
        loop_poll(p->loop);
        net_plane_flush(p);
    }
    bury(p);
}

static void measure(struct net_plane *p) {
    int64_t passed = p->woke.us - p->rate_since.us;
    if (passed < RATE_US)
        return;
    p->loaded = (p->counters.trains_in - p->rate_in) * BK_US_PER_S >=
                (uint64_t)p->config.delay_pps * (uint64_t)passed;
    p->rate_in = p->counters.trains_in;
    p->rate_since = p->woke;
}

static void delay(struct net_plane *p) {
    const struct bk_time until = bk_after(p->woke, p->config.delay_us);
    const struct timespec at = {.tv_sec = (time_t)(until.us / BK_US_PER_S),
                                .tv_nsec = (long)(until.us % BK_US_PER_S * 1000)};
    if (until.us - net_clock().us < LEAST_SLEEP_US)
        return;
    p->counters.delays++;
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

void net_plane_run(struct net_plane *p) {
    loop_begin(p->loop);
    while (!loop_is_stopped(p->loop)) {
        net_plane_turn(p, -1);
        measure(p);
        if (p->loaded && p->config.delay_us > 0)
            delay(p);
    }
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

static const struct plane_tier *choose(enum net_plane_io io) {
    if (io == NET_IO_PORTABLE)
        return &plane_portable;
    return io == NET_IO_AUTO && plane_batch == NULL ? &plane_portable : plane_batch;
}

enum bk_err net_plane_new(struct net_loop *loop, const struct net_plane_config *config,
                          struct net_plane **out) {
    const struct plane_tier *tier = choose(config->io);
    if (tier == NULL)
        return BK_ERR_UNSUPPORTED;
    struct net_plane *p = loop->alloc.get(loop->alloc.ctx, sizeof *p);
    if (p == NULL)
        return BK_ERR_NO_MEMORY;
    p->loop = loop;
    p->tier = tier;
    p->config = *config;
    p->alloc = loop->alloc;
    p->ports.next = p->ports.prev = &p->ports;
    p->dead.next = p->dead.prev = &p->dead;
    p->slots = p->alloc.get(p->alloc.ctx, (size_t)PLANE_SLOTS * PLANE_SLOT);
    p->copies = p->alloc.get(p->alloc.ctx, PLANE_COPIES);
    enum bk_err err = p->slots == NULL || p->copies == NULL ? BK_ERR_NO_MEMORY : tier->start(p);
    if (err != BK_OK) {
        net_plane_free(p);
        return err;
    }
    *out = p;
    return BK_OK;
}

void net_plane_free(struct net_plane *p) {
    if (p == NULL)
        return;
    while (p->ports.next != &p->ports)
        net_port_close(p->ports.next);
    bury(p);
    if (p->own != NULL)
        p->tier->stop(p);
    p->alloc.put(p->alloc.ctx, p->slots);
    p->alloc.put(p->alloc.ctx, p->copies);
    p->alloc.put(p->alloc.ctx, p);
}

const char *net_plane_name(const struct net_plane *p) {
    return p->tier->name;
}

bool net_plane_can_keep_whole(const struct net_plane *p) {
    return p->tier != &plane_portable;
}

const struct net_plane_counters *net_plane_counters(const struct net_plane *p) {
    return &p->counters;
}

enum bk_err net_port_open(struct net_plane *p, const struct bk_addr *bind,
                          const struct net_port_config *config,
                          const struct net_port_events *events, struct net_port **out) {
    struct net_port *port = p->alloc.get(p->alloc.ctx, sizeof *port);
    if (port == NULL)
        return BK_ERR_NO_MEMORY;
    port->plane = p;
    port->events = *events;
    port->want = 1;
    enum bk_err err = p->tier->open(port, config, bind);
    if (err != BK_OK) {
        p->alloc.put(p->alloc.ctx, port);
        return err;
    }
    list_add(&p->ports, port);
    p->port_count++;
    *out = port;
    return BK_OK;
}

void net_port_close(struct net_port *port) {
    if (port == NULL || port->closed)
        return;
    struct net_plane *p = port->plane;
    if (p->train_count > 0)
        net_plane_flush(p);
    p->tier->close(port);
    port->closed = true;
    list_remove(port);
    list_add(&p->dead, port); /* who is serving it now still looks at it */
    p->port_count--;
}

struct bk_addr net_port_local(const struct net_port *port) {
    return port->local;
}
