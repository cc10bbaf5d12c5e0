/* SPDX-License-Identifier: MIT
 * Two QUIC connections and the link between them, in virtual time: one-way delay, loss, reordering
 * by jitter, silence, and a limit on the packets' size that the test may change at any moment. */
#ifndef TESTS_UNIT_PEER_QUIC_PAIR_H
#define TESTS_UNIT_PEER_QUIC_PAIR_H

#include "../test.h"
#include <base/rng.h>
#include <peer/quic.h>

enum { CLIENT = 0, SERVER = 1, PACKETS_MAX = 65536 };

struct packet {
    struct bk_time at;
    uint64_t order;
    size_t len;
    int to;
    uint8_t data[QUIC_PAYLOAD_MAX];
};

struct pair {
    struct quic *end[2];
    struct identity id[2];
    struct quic_config config[2];
    struct rng_seeded seeded;
    struct bk_rng rng;
    struct bk_time now;
    int64_t delay_us;
    uint32_t loss_permille, jitter_us;
    bool silent;        /* everything sent is lost */
    size_t payload_max; /* told to quic_next_train */
    size_t largest;     /* longest packet seen since the test reset it */
    uint64_t sent, lost;
    struct packet **queue; /* binary heap by (at, order) */
    size_t count;
    uint64_t order;
    uint8_t train[QUIC_TRAIN_MAX];
};

static inline bool packet_before(const struct packet *a, const struct packet *b) {
    return a->at.us != b->at.us ? a->at.us < b->at.us : a->order < b->order;
}

static inline void pair_swap(struct pair *p, size_t i, size_t j) {
    struct packet *t = p->queue[i];
    p->queue[i] = p->queue[j];
    p->queue[j] = t;
}

static inline void pair_push(struct pair *p, struct packet *packet) {
    assert_true(p->count < PACKETS_MAX);
    size_t i = p->count++;
    p->queue[i] = packet;
    for (; i > 0 && packet_before(p->queue[i], p->queue[(i - 1) / 2]); i = (i - 1) / 2)
        pair_swap(p, i, (i - 1) / 2);
}

static inline struct packet *pair_pop(struct pair *p) {
    struct packet *top = p->queue[0];
    p->queue[0] = p->queue[--p->count];
    for (size_t i = 0, child = 1; child < p->count; i = child, child = 2 * i + 1) {
        if (child + 1 < p->count && packet_before(p->queue[child + 1], p->queue[child]))
            child++;
        if (!packet_before(p->queue[child], p->queue[i]))
            break;
        pair_swap(p, i, child);
    }
    return top;
}

/* Configuration is ready after this; quic_new comes with pair_start(). */
static inline void pair_init(struct pair *p, uint64_t seed) {
    memset(p, 0, sizeof *p);
    rng_seed(&p->seeded, seed);
    p->rng = rng_from_seeded(&p->seeded);
    p->now = test_at_ms(1000);
    p->delay_us = 10000;
    p->payload_max = QUIC_PAYLOAD_MAX;
    p->queue = calloc(PACKETS_MAX, sizeof *p->queue);
    for (int i = 0; i < 2; i++)
        identity_make(&p->id[i], &p->rng);
    for (int i = 0; i < 2; i++) {
        struct quic_config *c = &p->config[i];
        *c = quic_config_default;
        c->server = i == SERVER;
        c->identity = &p->id[i];
        c->peer = p->id[!i].key;
        c->rng = p->rng;
        c->alloc = test_alloc;
        c->local_tag = i == SERVER ? 0x5e5e5e01 : 0xc1c1c102;
        c->remote_tag = i == SERVER ? 0xc1c1c102 : 0x5e5e5e01;
        memcpy(c->binding, "sixteen byte key", QUIC_BINDING_LEN);
    }
}

static inline void pair_start(struct pair *p) {
    for (int i = 0; i < 2; i++)
        assert_int_equal(quic_new(&p->config[i], p->now, &p->end[i]), BK_OK);
}

static inline void pair_fini(struct pair *p) {
    while (p->count > 0)
        free(p->queue[--p->count]);
    free(p->queue);
    for (int i = 0; i < 2; i++) {
        quic_free(p->end[i]);
        identity_fini(&p->id[i]);
    }
}

static inline void pair_carry(struct pair *p, int from, const uint8_t *data, size_t len) {
    p->sent++;
    if (len > p->largest)
        p->largest = len;
    assert_true(len <= p->payload_max);
    if (p->silent || rng_below(&p->rng, 1000) < p->loss_permille) {
        p->lost++;
        return;
    }
    struct packet *packet = malloc(sizeof *packet);
    int64_t extra = p->jitter_us == 0 ? 0 : (int64_t)rng_below(&p->rng, p->jitter_us);
    packet->at = bk_after(p->now, p->delay_us + extra);
    packet->order = p->order++;
    packet->to = !from;
    packet->len = len;
    memcpy(packet->data, data, len);
    pair_push(p, packet);
}

static inline void pair_flush(struct pair *p, int from) {
    size_t len = 0, segment = 0;
    while (quic_next_train(p->end[from], p->train, sizeof p->train, p->payload_max, p->now, &len,
                           &segment)) {
        assert_true(segment == 0 || (segment <= p->payload_max && len > segment));
        size_t step = segment == 0 ? len : segment;
        for (size_t at = 0; at < len; at += step)
            pair_carry(p, from, p->train + at, len - at < step ? len - at : step);
    }
}

/* What happens next, and when: false when nothing ever will, or not before `until`. */
static inline bool pair_step(struct pair *p, struct bk_time until) {
    for (int i = 0; i < 2; i++)
        pair_flush(p, i);
    struct bk_time next = bk_earlier(quic_deadline(p->end[0]), quic_deadline(p->end[1]));
    if (p->count > 0)
        next = bk_earlier(next, p->queue[0]->at);
    if (!bk_before(next, until)) {
        p->now = bk_is_never(until) ? p->now : until;
        return false;
    }
    p->now = bk_later(p->now, next);
    while (p->count > 0 && !bk_before(p->now, p->queue[0]->at)) {
        struct packet *packet = pair_pop(p);
        enum bk_err e = quic_recv(p->end[packet->to], packet->data, packet->len, p->now);
        (void)e; /* a packet after the close, for example; the tests look at events */
        free(packet);
    }
    for (int i = 0; i < 2; i++)
        quic_advance(p->end[i], p->now);
    return true;
}

/* Runs until `end` tells an event of `type`, dropping all others; false: not within `ms`. */
static inline bool pair_wait(struct pair *p, int end, enum quic_event_type type, int64_t ms,
                             struct quic_event *out) {
    struct bk_time until = bk_after(p->now, ms * BK_US_PER_MS);
    do
        while (quic_next_event(p->end[end], out))
            if (out->type == type)
                return true;
    while (pair_step(p, until));
    return false;
}

static inline void pair_run(struct pair *p, int64_t ms) {
    struct bk_time until = bk_after(p->now, ms * BK_US_PER_MS);
    while (pair_step(p, until)) {}
}

static inline void pair_connect(struct pair *p) {
    struct quic_event ev;
    pair_start(p);
    assert_true(pair_wait(p, CLIENT, QUIC_HANDSHAKE_DONE, 5000, &ev));
    assert_true(pair_wait(p, SERVER, QUIC_HANDSHAKE_DONE, 5000, &ev));
}

/* The pair of every test, and its setup and teardown for cmocka. */
static struct pair pair;

static int setup(void **state) {
    (void)state;
    pair_init(&pair, 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    pair_fini(&pair);
    return 0;
}

#endif
