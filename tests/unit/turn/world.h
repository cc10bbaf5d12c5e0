/* SPDX-License-Identifier: MIT
 * Two clients and the service behind one network that loses, doubles and reorders datagrams, in
 * virtual time, all from one seed. A failure prints it. */
#ifndef TESTS_UNIT_TURN_WORLD_H
#define TESTS_UNIT_TURN_WORLD_H

#include "../test.h"

#include <limits.h>

#include "base/rng.h"
#include "turn/service.h"

#include <bodkin/turn.h>

enum { FLIGHTS = 64, SIDES = 2, DATA_LEN = 32 };

struct flight {
    bool used;
    struct bk_time at;
    struct bk_datagram d;
    uint8_t bytes[700];
};

struct world {
    uint64_t seed_value;
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    unsigned loss, dup; /* percent */
    struct turn_service *service;
    struct turn_service_config config;
    struct turn_one_user user;
    struct turn_range all;
    struct bk_turn_config client_config[SIDES]; /* change it between prepare() and begin() */
    struct bk_turn *turn[SIDES];
    struct bk_addr client[SIDES], relayed[SIDES];
    bool permitted[SIDES];
    unsigned allocated, lost, failed, moved, got[SIDES], open;
    uint64_t reservation;
    struct flight flights[FLIGHTS];
};

static inline void start_service(struct world *w) {
    static const uint8_t zero[32];
    w->config = turn_service_config_default;
    w->user = (struct turn_one_user){"george", "secret", "bodkin"};
    w->config.users = turn_users_one(&w->user);
    w->config.relay[0] = bk_ipv4(192, 0, 2, 1);
    w->config.port_min = 50000;
    w->config.port_max = 50099;
    w->config.allocations_max = 8;
    w->config.nonce_us = 120 * BK_US_PER_S;
    w->config.mobility = true;
    w->all = (struct turn_range){bk_ipv4(0, 0, 0, 0), 0};
    w->config.filter.allow = &w->all;
    w->config.filter.allow_count = 1;
    rng_fill(&w->rng, w->config.secret, sizeof w->config.secret);
    assert_memory_not_equal(w->config.secret, zero, 32);
    assert_int_equal(turn_service_new(&w->config, &test_alloc, &w->rng, w->now, &w->service),
                     BK_OK);
}

static inline void prepare(struct world *w, uint64_t seed, unsigned loss, unsigned dup) {
    memset(w, 0, sizeof *w);
    w->seed_value = seed;
    rng_seed(&w->seed, seed);
    w->rng = rng_from_seeded(&w->seed);
    w->now = test_at_ms(5000);
    w->loss = loss;
    w->dup = dup;
    for (unsigned i = 0; i < SIDES; i++) {
        struct bk_turn_config *c = &w->client_config[i];
        *c = bk_turn_config_default;
        c->user = "george";
        c->password = "secret";
        c->server = bk_addr(bk_ipv4(192, 0, 2, 1), 3478);
        c->local = w->client[i] = bk_addr(bk_ipv4(198, 51, 100, (uint8_t)(i + 1)), 4000);
    }
}

static inline void begin(struct world *w, unsigned i) {
    assert_int_equal(bk_turn_new(&w->client_config[i], &test_alloc, &w->rng, w->now, &w->turn[i]),
                     BK_OK);
}

static inline void start(struct world *w, uint64_t seed, unsigned loss, unsigned dup) {
    prepare(w, seed, loss, dup);
    start_service(w);
    begin(w, 0);
    begin(w, 1);
}

static inline void finish(struct world *w) {
    for (unsigned i = 0; i < SIDES; i++)
        bk_turn_free(w->turn[i]);
    turn_service_free(w->service);
}

static inline void throw_in(struct world *w, const struct bk_datagram *d) {
    unsigned copies = 1 + (rng_below(&w->rng, 100) < w->dup);
    if (rng_below(&w->rng, 100) < w->loss)
        return;
    assert_true(d->len <= sizeof w->flights[0].bytes);
    for (size_t i = 0; copies > 0 && i < FLIGHTS; i++) {
        struct flight *f = &w->flights[i];
        if (f->used)
            continue;
        f->used = true;
        f->at = bk_after(w->now, (int64_t)rng_below(&w->rng, 60000) + 1000); /* overtaking */
        f->d = *d;
        memcpy(f->bytes, d->data, d->len);
        f->d.data = f->bytes;
        copies--;
    }
}

static inline void drain_service(struct world *w) {
    struct turn_action action;
    struct bk_datagram d;
    while (turn_service_next_action(w->service, &action))
        w->open += action.kind == TURN_OPEN ? 1u : UINT_MAX;
    if (turn_service_next_datagram(w->service, &d))
        throw_in(w, &d);
}

static inline void drain_client(struct world *w, unsigned i) {
    struct bk_datagram d;
    struct bk_turn_event e;
    if (w->turn[i] == NULL)
        return;
    while (bk_turn_next_datagram(w->turn[i], &d))
        throw_in(w, &d);
    while (bk_turn_next_event(w->turn[i], &e)) {
        w->allocated += e.kind == BK_TURN_ALLOCATED;
        w->lost += e.kind == BK_TURN_LOST;
        w->failed += e.kind == BK_TURN_FAILED || e.kind == BK_TURN_REFUSED;
        w->moved += e.kind == BK_TURN_MOVED;
        if (e.kind == BK_TURN_ALLOCATED)
            w->relayed[i] = e.relayed;
        if (e.kind == BK_TURN_ALLOCATED && e.reservation != 0)
            w->reservation = e.reservation;
        if (e.kind == BK_TURN_PERMITTED)
            w->permitted[i] = true;
    }
}

/* What reaches the address `local`: a client, the server, or a relay port, which is the server too.
 */
static inline void deliver(struct world *w, struct flight *f) {
    struct bk_datagram in = f->d;
    struct bk_turn_data data;
    in.local = f->d.remote;
    in.remote = f->d.local;
    if (bk_ip_equal(&in.local.ip, &w->config.relay[0])) {
        (void)!turn_service_recv(w->service, &in, w->now);
        drain_service(w);
        return;
    }
    unsigned i = in.local.ip.bytes[3] - 1u;
    assert_true(i < SIDES);
    if (w->turn[i] == NULL || !bk_addr_equal(&in.local, &w->client[i]))
        return; /* it is no longer there */
    if (bk_turn_recv(w->turn[i], &in, w->now, &data) == BK_OK && data.data != NULL) {
        assert_true(bk_addr_equal(&data.peer, &w->relayed[1 - i]));
        assert_int_equal(data.len, DATA_LEN);
        w->got[i]++;
    }
    drain_client(w, i);
}

static inline struct bk_time next_time(const struct world *w) {
    struct bk_time at = turn_service_deadline(w->service);
    for (unsigned i = 0; i < SIDES; i++)
        if (w->turn[i] != NULL)
            at = bk_earlier(at, bk_turn_deadline(w->turn[i]));
    for (size_t i = 0; i < FLIGHTS; i++)
        if (w->flights[i].used)
            at = bk_earlier(at, w->flights[i].at);
    return at;
}

static inline void run(struct world *w, int64_t us) {
    struct bk_time end = bk_after(w->now, us);
    for (unsigned i = 0; i < SIDES; i++)
        drain_client(w, i);
    while (!bk_before(end, next_time(w))) {
        w->now = bk_later(w->now, next_time(w));
        for (size_t i = 0; i < FLIGHTS; i++) {
            struct flight f = w->flights[i];
            if (!f.used || !bk_due(f.at, w->now))
                continue;
            f.d.data = f.bytes;
            w->flights[i].used = false;
            deliver(w, &f);
        }
        turn_service_advance(w->service, w->now);
        drain_service(w);
        for (unsigned i = 0; i < SIDES; i++) {
            if (w->turn[i] != NULL)
                bk_turn_advance(w->turn[i], w->now);
            drain_client(w, i);
        }
    }
    w->now = end;
}

static inline void permit(struct world *w, bool channel) {
    for (unsigned i = 0; i < SIDES; i++) {
        w->permitted[i] = false;
        enum bk_err err = bk_turn_permit(w->turn[i], &w->relayed[1 - i], channel, w->now);
        assert_true(err == BK_OK || err == BK_ERR_EXISTS);
        drain_client(w, i);
    }
}

static inline void talk(struct world *w, unsigned count) {
    uint8_t data[DATA_LEN] = {0};
    struct bk_datagram d;
    w->got[0] = w->got[1] = 0;
    for (unsigned n = 0; n < count; n++) {
        for (unsigned i = 0; i < SIDES; i++)
            if (bk_turn_send(w->turn[i], &w->relayed[1 - i], data, sizeof data, &d) == BK_OK)
                throw_in(w, &d);
        run(w, 100 * BK_US_PER_MS);
    }
    run(w, BK_US_PER_S);
}

static inline void check(const struct world *w, bool ok, const char *what) {
    if (!ok)
        fail_msg("seed %u: %s", (unsigned)w->seed_value, what);
}

#endif
