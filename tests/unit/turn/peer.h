/* SPDX-License-Identifier: MIT
 * What the client's tests share: a client, and the other end of the wire under the test's control:
 * it sees each request, and answers what the test tells it, signed as a real server would. */
#ifndef TESTS_UNIT_TURN_PEER_H
#define TESTS_UNIT_TURN_PEER_H

#include "../test.h"

#include "base/rng.h"
#include "stun/seal.h"
#include "wire/channel.h"

#include <bodkin/turn.h>

#include "stun/auth.h"

struct bench {
    struct bk_turn_config config;
    struct bk_turn *turn;
    struct stun_realm realm;
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    struct bk_datagram out; /* the last one that next_request() took */
    uint8_t request[2048];  /* its bytes, and what they say */
    struct stun_msg msg;
    struct stun_claim claim;
    struct stun_key key;
    uint16_t auth; /* what the credential is worth: 0, 401, 438, 400 */
    uint8_t reply[2048];
    struct stun_builder b;
    struct bk_turn_data data;
};

static inline struct bk_addr bench_addr(unsigned last, unsigned port) {
    return bk_addr(bk_ipv4(198, 51, 100, (uint8_t)last), (uint16_t)port);
}

static inline struct bk_addr bench_addr6(unsigned last, unsigned port) {
    const uint8_t bytes[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)last};
    return bk_addr(bk_ipv6(bytes), (uint16_t)port);
}

static inline void bench_init(struct bench *b) {
    static const uint8_t secret[32] = {1};
    memset(b, 0, sizeof *b);
    b->config = bk_turn_config_default;
    b->config.local = bk_addr(bk_ipv4(10, 0, 0, 2), 5000);
    b->config.server = bk_addr(bk_ipv4(192, 0, 2, 1), 3478);
    b->config.user = "george";
    b->config.password = "secret";
    rng_seed(&b->seed, 7);
    b->rng = rng_from_seeded(&b->seed);
    b->now = test_at_ms(1000);
    assert_int_equal(stun_realm_init(&b->realm, "example.org", secret, 3600 * BK_US_PER_S, false),
                     BK_OK);
}

static inline void bench_start(struct bench *b) {
    assert_int_equal(bk_turn_new(&b->config, &test_alloc, &b->rng, b->now, &b->turn), BK_OK);
}

static inline void bench_fini(struct bench *b) {
    bk_turn_free(b->turn);
}

/* Takes the next request; false: there is none. */
static inline bool bench_request(struct bench *b) {
    struct bk_addr from = b->config.local;
    if (!bk_turn_next_datagram(b->turn, &b->out))
        return false;
    assert_true(bk_addr_equal(&b->out.remote, &b->config.server));
    memcpy(b->request, b->out.data, b->out.len);
    assert_int_equal(stun_parse(&b->msg, b->request, b->out.len), BK_OK);
    assert_int_equal(b->msg.cls, STUN_REQUEST);
    b->auth = stun_realm_claim(&b->realm, &b->msg, &from, b->now, &b->claim);
    if (b->auth == 0) {
        assert_int_equal(
            stun_key_long("george", "example.org", "secret", b->claim.algorithm, &b->key), BK_OK);
        b->auth = stun_claim_verify(&b->claim, &b->msg, &b->key);
    }
    return true;
}

static inline void bench_expect(struct bench *b, uint16_t method) {
    assert_true(bench_request(b));
    assert_int_equal(b->msg.method, method);
}

static inline enum bk_err bench_feed(struct bench *b, const void *bytes, size_t len) {
    const struct bk_datagram in = {
        .local = b->config.local, .remote = b->config.server, .data = bytes, .len = len};
    return bk_turn_recv(b->turn, &in, b->now, &b->data);
}

/* Start of an answer; put attributes, then bench_send(). */
static inline void bench_answer(struct bench *b, uint16_t code) {
    b->b =
        stun_start_reply(b->reply, sizeof b->reply, code == 0 ? STUN_SUCCESS : STUN_ERROR, &b->msg);
    if (code != 0)
        stun_put_error(&b->b, code, "no");
}

static inline enum bk_err bench_send(struct bench *b) {
    size_t len = 0;
    if (b->auth == 0)
        stun_claim_sign(&b->claim, &b->b, &b->key);
    assert_int_equal(stun_finish(&b->b, &len), BK_OK);
    return bench_feed(b, b->reply, len);
}

static inline void bench_challenge(struct bench *b, uint16_t code) {
    struct bk_addr from = b->config.local;
    bench_answer(b, code);
    stun_realm_challenge(&b->realm, &b->b, &from, b->now);
    b->auth = 401;
    assert_int_equal(bench_send(b), BK_OK);
}

/* Answers the request at hand with a code, or success (0) and nothing else. */
static inline void bench_say(struct bench *b, uint16_t code) {
    assert_int_equal(b->auth, 0);
    bench_answer(b, code);
    assert_int_equal(bench_send(b), BK_OK);
}

static inline void bench_say_allocated(struct bench *b, uint32_t lifetime_s) {
    struct bk_addr relayed = bk_addr(bk_ipv4(192, 0, 2, 1), 50000);
    struct bk_addr mapped = bk_addr(bk_ipv4(203, 0, 113, 9), 1234);
    assert_int_equal(b->auth, 0);
    bench_answer(b, 0);
    stun_put_addr(&b->b, TURN_XOR_RELAYED_ADDRESS, &relayed);
    stun_put_addr(&b->b, STUN_XOR_MAPPED_ADDRESS, &mapped);
    stun_put_u32(&b->b, TURN_LIFETIME, lifetime_s);
    assert_int_equal(bench_send(b), BK_OK);
}

static inline void bench_say_lifetime(struct bench *b, uint32_t lifetime_s) {
    bench_answer(b, 0);
    stun_put_u32(&b->b, TURN_LIFETIME, lifetime_s);
    assert_int_equal(bench_send(b), BK_OK);
}

static inline struct bk_turn_event bench_event(struct bench *b, enum bk_turn_event_kind kind) {
    struct bk_turn_event e;
    assert_true(bk_turn_next_event(b->turn, &e));
    assert_int_equal(e.kind, kind);
    return e;
}

static inline void bench_quiet(struct bench *b) {
    struct bk_turn_event e;
    struct bk_datagram d;
    assert_false(bk_turn_next_event(b->turn, &e));
    assert_false(bk_turn_next_datagram(b->turn, &d));
}

static inline void bench_allocate(struct bench *b, uint32_t lifetime_s) {
    bench_expect(b, TURN_ALLOCATE);
    if (b->auth == 401) {
        bench_challenge(b, 401);
        bench_expect(b, TURN_ALLOCATE);
    }
    bench_say_allocated(b, lifetime_s);
    (void)bench_event(b, BK_TURN_ALLOCATED);
}

/* To the client's next deadline; false: it has none before `until`. */
static inline bool bench_step(struct bench *b, struct bk_time until) {
    struct bk_time at = bk_turn_deadline(b->turn);
    if (bk_before(until, at)) {
        b->now = until;
        return false;
    }
    b->now = bk_later(b->now, at);
    bk_turn_advance(b->turn, b->now);
    return true;
}

#endif
