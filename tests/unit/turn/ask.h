/* SPDX-License-Identifier: MIT
 * What the service's tests share: a service, and requests written attribute by attribute. */
#ifndef TESTS_UNIT_TURN_ASK_H
#define TESTS_UNIT_TURN_ASK_H

#include "../test.h"

#include "base/rng.h"
#include "stun/seal.h"
#include "turn/service.h"
#include "wire/channel.h"

struct asker {
    struct turn_service_config config;
    struct turn_service *service;
    struct turn_one_user user;
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    struct stun_login login;
    struct bk_addr client, server;
    uint8_t protocol; /* what it comes in */
    uint8_t out[1024], in[2048];
    struct stun_builder b;
    size_t len; /* of the last request */
    bool answered;
    struct bk_datagram d; /* the last answer, its bytes in `in` */
    struct stun_msg msg;
    uint16_t code; /* 0: success */
    enum bk_err err;
};

static inline struct bk_addr ask_client(unsigned n) {
    return bk_addr(bk_ipv4(100, 100, 1, (uint8_t)n), (uint16_t)(4000 + n));
}

static inline void ask_init(struct asker *a) {
    memset(a, 0, sizeof *a);
    rng_seed(&a->seed, 3);
    a->rng = rng_from_seeded(&a->seed);
    a->now = test_at_ms(9000);
    a->config = turn_service_config_default;
    a->user = (struct turn_one_user){"george", "secret", "bodkin"};
    a->config.users = turn_users_one(&a->user);
    a->config.relay[0] = bk_ipv4(192, 0, 2, 1);
    a->config.port_min = 50000;
    a->config.port_max = 50009;
    a->config.allocations_max = 4;
    a->client = ask_client(1);
    a->server = bk_addr(bk_ipv4(192, 0, 2, 1), 3478);
    assert_int_equal(stun_login_init(&a->login, "george", "secret"), BK_OK);
}

static inline void ask_start(struct asker *a) {
    assert_null(turn_service_config_check(&a->config));
    assert_int_equal(turn_service_new(&a->config, &test_alloc, &a->rng, a->now, &a->service),
                     BK_OK);
}

static inline void ask_fini(struct asker *a) {
    turn_service_free(a->service);
    stun_login_fini(&a->login);
}

static inline void ask_new(struct asker *a, enum stun_class cls, uint16_t method) {
    uint8_t txid[STUN_TXID_LEN];
    rng_fill(&a->rng, txid, sizeof txid);
    a->b = stun_start(a->out, sizeof a->out, cls, method, txid);
}

/* Hands bytes to the service as if they came from `from` to `to`. */
static inline void ask_bytes(struct asker *a, const struct bk_addr *from, const struct bk_addr *to,
                             const void *bytes, size_t len) {
    const struct bk_datagram in = {
        .local = *to, .remote = *from, .data = bytes, .len = len, .protocol = a->protocol};
    a->err = turn_service_recv(a->service, &in, a->now);
    a->answered = turn_service_next_datagram(a->service, &a->d);
    if (!a->answered)
        return;
    assert_true(a->d.len <= sizeof a->in);
    memcpy(a->in, a->d.data, a->d.len);
    a->d.data = a->in;
    a->code = 0;
    if (stun_parse(&a->msg, a->in, a->d.len) == BK_OK && a->msg.cls == STUN_ERROR)
        assert_int_equal(stun_get_error(&a->msg, &a->code, NULL), BK_OK);
}

static inline void ask_again(struct asker *a) {
    ask_bytes(a, &a->client, &a->server, a->out, a->len);
}

/* Signs (if it can) and sends. */
static inline void ask_send(struct asker *a) {
    stun_login_put(&a->login, &a->b);
    assert_int_equal(stun_finish(&a->b, &a->len), BK_OK);
    ask_again(a);
}

static inline void ask_allocate_start(struct asker *a) {
    ask_new(a, STUN_REQUEST, TURN_ALLOCATE);
    stun_put_u32(&a->b, TURN_REQUESTED_TRANSPORT, 17u << 24);
}

/* Learns realm and nonce; nonces are bound to the address, so once for each. */
static inline void ask_learn(struct asker *a) {
    stun_login_fini(&a->login);
    assert_int_equal(stun_login_init(&a->login, a->user.name, a->user.password), BK_OK);
    ask_allocate_start(a);
    ask_send(a);
    assert_true(a->answered);
    assert_int_equal(a->code, 401);
    assert_int_equal(stun_login_check(&a->login, &a->msg), STUN_LOGIN_RETRY);
}

/* The answer must be ours: signed by the right key. */
static inline void ask_expect(struct asker *a, uint16_t code) {
    assert_true(a->answered);
    assert_int_equal(a->code, code);
    assert_int_equal(stun_login_check(&a->login, &a->msg), STUN_LOGIN_ACCEPT);
    assert_true(bk_addr_equal(&a->d.remote, &a->client));
    assert_true(bk_addr_equal(&a->d.local, &a->server));
}

/* A whole allocation from client `n`; its relayed address. */
static inline struct bk_addr ask_allocate(struct asker *a, unsigned n) {
    struct bk_addr relayed = {.port = 0};
    a->client = ask_client(n);
    ask_learn(a);
    ask_allocate_start(a);
    ask_send(a);
    ask_expect(a, 0);
    assert_int_equal(stun_get_addr(&a->msg, TURN_XOR_RELAYED_ADDRESS, &relayed), BK_OK);
    return relayed;
}

static inline void ask_permission(struct asker *a, const struct bk_addr *peer) {
    ask_new(a, STUN_REQUEST, TURN_CREATE_PERMISSION);
    stun_put_addr(&a->b, TURN_XOR_PEER_ADDRESS, peer);
    ask_send(a);
}

static inline void ask_bind(struct asker *a, uint16_t number, const struct bk_addr *peer) {
    ask_new(a, STUN_REQUEST, TURN_CHANNEL_BIND);
    stun_put_port(&a->b, TURN_CHANNEL_NUMBER, number);
    stun_put_addr(&a->b, TURN_XOR_PEER_ADDRESS, peer);
    ask_send(a);
}

static inline void ask_refresh(struct asker *a, uint32_t lifetime_s) {
    ask_new(a, STUN_REQUEST, TURN_REFRESH);
    stun_put_u32(&a->b, TURN_LIFETIME, lifetime_s);
    ask_send(a);
}

static inline void ask_indicate(struct asker *a, const struct bk_addr *peer, const char *text) {
    ask_new(a, STUN_INDICATION, TURN_SEND);
    stun_put_addr(&a->b, TURN_XOR_PEER_ADDRESS, peer);
    stun_put_bytes(&a->b, TURN_DATA_ATTR, text, strlen(text));
    assert_int_equal(stun_finish(&a->b, &a->len), BK_OK);
    ask_again(a);
}

static inline void ask_channel(struct asker *a, uint16_t number, const char *text) {
    channel_write_header(a->out, number, strlen(text));
    memcpy(a->out + CHANNEL_HEADER_LEN, text, strlen(text));
    a->len = CHANNEL_HEADER_LEN + strlen(text);
    ask_again(a);
}

/* The next action is of this kind. */
static inline struct turn_action ask_action(struct asker *a, enum turn_action_kind kind) {
    struct turn_action action;
    assert_true(turn_service_next_action(a->service, &action));
    assert_int_equal(action.kind, kind);
    return action;
}

static inline void ask_no_action(struct asker *a) {
    struct turn_action action;
    assert_false(turn_service_next_action(a->service, &action));
}

static inline void ask_wait(struct asker *a, int64_t s) {
    a->now = bk_after(a->now, s * BK_US_PER_S);
    turn_service_advance(a->service, a->now);
}

static inline struct turn_service_info ask_info(const struct asker *a) {
    struct turn_service_info info;
    turn_service_info(a->service, &info);
    return info;
}

#endif
