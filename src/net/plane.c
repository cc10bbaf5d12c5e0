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
    PROBE = 4,       /* datagrams asked for to see whether there is more than one, ... */
    REST = 16,       /* ... and how many times it is one after there was not */
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
 * kernel's depth each time, so it is tried now and then; where more wait, they make up trains. */
static size_t to_ask(struct net_port *port) {
    if (port->want > 1)
        return port->want;
    if (port->rest > 0) {
        port->rest--;
        return 1;
    }
    return PROBE;
}

static void learn(struct net_port *port, size_t asked, size_t got) {
    if (asked == 1)
        return;
    if (got <= 1) {
        port->want = 1;
        port->rest = REST;
    } else if (got == asked) {
        port->want = asked * 4 < PLANE_BATCH ? (uint8_t)(asked * 4) : PLANE_BATCH;
    }
}

/* Small datagrams are moved together; if all of a call's are, its slots are free again. */
static void move(struct net_plane *p, size_t slot, struct bk_datagram *in, size_t count) {
    bool all = true;
    for (size_t i = 0; i < count; i++) {
        if (in[i].len > PLANE_MOVE_MAX) {
            all = false;
            continue;
        }
        uint8_t *to = p->moved + p->moved_used;
        memcpy(to, in[i].data, in[i].len);
        in[i].data = to;
        p->moved_used += (in[i].len + 7) & ~(size_t)7;
    }
    if (all)
        p->slot = slot;
}

static void make_room(struct net_plane *p, size_t count) {
    if (p->slot + count <= PLANE_SLOTS && p->moved_used + count * PLANE_MOVE_MAX <= PLANE_MOVED)
        return;
    net_plane_flush(p);
    p->slot = p->moved_used = 0;
}

/* One call's worth. Gives whether there may be more. */
static bool receive_some(struct net_port *port) {
    struct net_plane *p = port->plane;
    struct bk_datagram in[PLANE_BATCH];
    bool more = false;
    size_t asked = to_ask(port);
    make_room(p, asked);
    size_t slot = p->slot, got = p->tier->receive(port, asked, in, &more);
    const struct bk_time now = net_now(p->loop);
    learn(port, asked, got);
    move(p, slot, in, got);
    p->left -= got < p->left ? got : p->left;
    for (size_t i = 0; i < got; i++) {
        count_in(p, &in[i]);
        if (!port->closed)
            port->events.on_train(port->events.ctx, &in[i], now);
    }
    return more && !port->closed;
}

static bool has_half(const struct net_plane *p) {
    return p->left > PLANE_TURN / 2;
}

/* Who goes first may use up half of what a turn has; the others get one call each, so that all of
 * them have their share. */
static void receive(struct net_port *port) {
    while (!port->closed && receive_some(port) && port->first && has_half(port->plane))
        continue;
}

static void bury(struct net_plane *p) {
    while (p->dead.next != &p->dead) {
        struct net_port *port = p->dead.next;
        list_remove(port);
        p->alloc.put(p->alloc.ctx, port);
    }
}

/* Waits, unless there are ports that an earlier turn had no time for; then those who go first are
 * asked whether they have something. */
static void find_ready(struct net_plane *p, int64_t timeout_us, bool *loop_too) {
    if (p->ready_at < p->ready_count) {
        *loop_too = true;
        loop_refresh(p->loop);
        for (size_t i = 0; i < p->first_count; i++)
            receive(p->firsts[i]);
        return;
    }
    p->ready_at = p->ready_count = 0;
    p->ready_count = p->tier->wait(p, timeout_us, p->ready, PLANE_READY, loop_too);
    loop_refresh(p->loop);
    for (size_t i = 0; i < p->ready_count; i++) {
        struct net_port *port = p->ready[i];
        if (port == NULL || !port->first)
            continue;
        p->ready[i] = NULL;
        receive(port);
    }
}

void net_plane_turn(struct net_plane *p, int64_t timeout_us) {
    bool loop_too = false;
    p->left = PLANE_TURN;
    p->slot = p->moved_used = 0;
    find_ready(p, loop_has_work(p->loop) ? 0 : timeout_us, &loop_too);
    p->woke = net_now(p->loop);
    p->counters.turns++;
    for (; p->ready_at < p->ready_count && p->left > 0; p->ready_at++)
        if (p->ready[p->ready_at] != NULL)
            receive(p->ready[p->ready_at]);
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
    if (p->tier->settle != NULL)
        p->tier->settle();
    loop_begin(p->loop);
    while (!loop_is_stopped(p->loop)) {
        net_plane_turn(p, -1);
        measure(p);
        if (p->loaded && p->config.delay_us > 0 && p->ready_at == p->ready_count)
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
    p->moved = p->alloc.get(p->alloc.ctx, PLANE_MOVED);
    p->copies = p->alloc.get(p->alloc.ctx, PLANE_COPIES);
    enum bk_err err = p->slots == NULL || p->moved == NULL || p->copies == NULL ? BK_ERR_NO_MEMORY
                                                                                : tier->start(p);
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
    p->alloc.put(p->alloc.ctx, p->moved);
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
    if (port == NULL && config->socket != 0)
        close(config->socket);
    if (port == NULL)
        return BK_ERR_NO_MEMORY;
    port->plane = p;
    port->events = *events;
    port->want = 1;
    port->first = config->first && p->first_count < PLANE_FIRST_MAX;
    enum bk_err err = p->tier->open(port, config, bind);
    if (err != BK_OK) {
        p->alloc.put(p->alloc.ctx, port);
        return err;
    }
    list_add(&p->ports, port);
    p->port_count++;
    if (port->first)
        p->firsts[p->first_count++] = port;
    *out = port;
    return BK_OK;
}

static void forget(struct net_plane *p, const struct net_port *port) {
    for (size_t i = p->ready_at; i < p->ready_count; i++)
        if (p->ready[i] == port)
            p->ready[i] = NULL;
    for (size_t i = 0; i < p->first_count; i++)
        if (p->firsts[i] == port)
            p->firsts[i--] = p->firsts[--p->first_count];
}

void net_port_close(struct net_port *port) {
    if (port == NULL || port->closed)
        return;
    struct net_plane *p = port->plane;
    if (p->train_count > 0)
        net_plane_flush(p);
    forget(p, port);
    p->tier->close(port);
    port->closed = true;
    list_remove(port);
    list_add(&p->dead, port); /* who is serving it now still looks at it */
    p->port_count--;
}

struct bk_addr net_port_local(const struct net_port *port) {
    return port->local;
}

enum bk_err net_port_rest(struct net_port *port, bool rest) {
    struct net_plane *p = port->plane;
    if (port->closed || port->rests == rest)
        return BK_OK;
    enum bk_err err = p->tier->rest(port, rest);
    if (err != BK_OK)
        return err;
    port->rests = rest;
    if (rest)
        forget(p, port);
    else if (port->first)
        p->firsts[p->first_count++] = port;
    return BK_OK;
}

bool net_port_rests(const struct net_port *port) {
    return port->rests;
}

int net_port_socket(const struct net_port *port) {
    return port->fd;
}
