/* SPDX-License-Identifier: MIT
 * TCP allocations (RFC 6062), the client's side, against our own service: Connect, ConnectionBind,
 * ConnectionAttempt. */
#include "../test.h"

#include "base/rng.h"
#include "turn/service.h"
#include "wire/writer.h"

#include <bodkin/turn.h>
#include <string.h>

static const struct bk_addr peer = {{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 80};

struct stage {
    struct turn_service_config service_config;
    struct turn_service *service;
    struct turn_one_user user;
    struct bk_turn_config config;
    struct bk_turn *turn;
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    struct turn_action action;  /* the last one */
    struct bk_turn_event event; /* the last one */
    uint8_t data[2048];         /* that came on another connection than the first */
    size_t data_len;
    unsigned events;
};

/* Everything there is to say is said; whole messages, in order, as a connection brings them. */
static void pump(struct stage *s);

static void to_service(struct stage *s, const struct bk_datagram *d, const struct bk_addr *from) {
    const struct bk_datagram in = {.local = s->config.server,
                                   .remote = *from,
                                   .data = d->data,
                                   .len = d->len,
                                   .protocol = BK_TCP};
    (void)!turn_service_recv(s->service, &in, s->now);
}

static void from_service(struct stage *s) {
    struct bk_datagram d;
    while (turn_service_next_datagram(s->service, &d)) {
        if (bk_addr_equal(&d.remote, &s->config.local)) {
            assert_int_equal(bk_turn_stream_recv(s->turn, d.data, d.len, s->now), BK_OK);
            continue;
        }
        assert_true(s->data_len + d.len <= sizeof s->data);
        memcpy(s->data + s->data_len, d.data, d.len);
        s->data_len += d.len;
    }
    struct turn_action a;
    while (turn_service_next_action(s->service, &a))
        s->action = a;
}

static void pump(struct stage *s) {
    struct bk_datagram d;
    from_service(s);
    while (bk_turn_next_datagram(s->turn, &d)) {
        to_service(s, &d, &s->config.local);
        from_service(s);
    }
    while (bk_turn_next_event(s->turn, &s->event))
        s->events++;
}

static void start(struct stage *s) {
    memset(s, 0, sizeof *s);
    rng_seed(&s->seed, 4);
    s->rng = rng_from_seeded(&s->seed);
    s->now = test_at_ms(9000);
    s->service_config = turn_service_config_default;
    s->user = (struct turn_one_user){"george", "secret", "bodkin"};
    s->service_config.users = turn_users_one(&s->user);
    s->service_config.relay[0] = bk_ipv4(192, 0, 2, 1);
    s->service_config.port_min = 50000;
    s->service_config.port_max = 50009;
    s->service_config.allocations_max = 4;
    s->service_config.tcp = true;
    assert_int_equal(
        turn_service_new(&s->service_config, &test_alloc, &s->rng, s->now, &s->service), BK_OK);
    s->config = bk_turn_config_default;
    s->config.user = "george";
    s->config.password = "secret";
    s->config.local = bk_addr(bk_ipv4(100, 100, 1, 1), 4001);
    s->config.server = bk_addr(bk_ipv4(192, 0, 2, 1), 3478);
    s->config.stream = s->config.tcp = true;
    s->config.links_max = 2;
    assert_int_equal(bk_turn_new(&s->config, &test_alloc, &s->rng, s->now, &s->turn), BK_OK);
    pump(s);
    assert_int_equal(s->event.kind, BK_TURN_ALLOCATED);
    assert_int_equal(s->action.kind, TURN_OPEN);
    assert_int_equal(s->action.protocol, BK_TCP);
}

static void finish(struct stage *s) {
    bk_turn_free(s->turn);
    turn_service_free(s->service);
}

static uint32_t connect_to(struct stage *s, const struct bk_addr *to) {
    assert_int_equal(bk_turn_connect(s->turn, to, s->now), BK_OK);
    pump(s);
    assert_int_equal(s->action.kind, TURN_CONNECT);
    assert_true(bk_addr_equal(&s->action.peer, to));
    turn_service_connected(s->service, s->action.connection, BK_OK, s->now);
    pump(s);
    assert_int_equal(s->event.kind, BK_TURN_CONNECTION);
    assert_true(bk_addr_equal(&s->event.peer, to));
    return s->event.connection;
}

/* What bk_turn_bind_recv() says in the end, when `piece` bytes come at a time and the peer's first
 * words follow at once. */
static enum bk_err bind(struct stage *s, uint32_t number, uint16_t port, size_t piece) {
    const struct bk_addr from = bk_addr(bk_ipv4(100, 100, 1, 1), port);
    struct bk_datagram d;
    size_t taken = 0;
    enum bk_err err = bk_turn_bind(s->turn, number, s->now);
    if (err != BK_OK)
        return err;
    err = BK_ERR_SHORT;
    for (int round = 0; err == BK_ERR_SHORT && round < 4; round++) {
        s->data_len = 0;
        while (bk_turn_next_bind(s->turn, number, &d)) {
            assert_true(bk_addr_equal(&d.remote, &s->config.server));
            to_service(s, &d, &from);
        }
        from_service(s);
        memcpy(s->data + s->data_len, "hello", 5); /* after an error nobody reads it */
        size_t len = s->data_len + (s->action.kind == TURN_JOIN ? 5 : 0);
        for (size_t at = 0; err == BK_ERR_SHORT && at < len; at += piece) {
            uint8_t copy[2048]; /* each piece in a place of its own */
            size_t n = len - at < piece ? len - at : piece;
            memcpy(copy, s->data + at, n);
            err = bk_turn_bind_recv(s->turn, number, copy, n, s->now, &taken);
            if (err == BK_OK)
                assert_int_equal(at + taken, s->data_len); /* the rest is the peer's */
        }
    }
    return err;
}

static void a_peer_is_connected_to(void **state) {
    struct stage s;
    (void)state;
    for (size_t piece = 1; piece < 400; piece += 37) {
        start(&s);
        uint32_t number = connect_to(&s, &peer);
        assert_int_equal(number, s.action.connection);
        assert_false(s.event.incoming);
        assert_int_equal(bind(&s, number, 5000, piece), BK_OK);
        assert_int_equal(s.action.kind, TURN_JOIN);
        assert_int_equal(s.action.connection, number);
        assert_int_equal(bind(&s, number, 5001, piece), BK_ERR_NOT_FOUND); /* is forgotten */
        finish(&s);
    }
}

static void what_fails_is_told(void **state) {
    struct stage s;
    struct bk_addr inside = bk_addr(bk_ipv4(10, 0, 0, 1), 22), other = peer;
    (void)state;
    start(&s);
    assert_int_equal(bk_turn_connect(s.turn, &inside, s.now), BK_OK);
    pump(&s);
    assert_int_equal(s.event.kind, BK_TURN_NO_CONNECTION);
    assert_int_equal(s.event.code, 403);
    assert_true(bk_addr_equal(&s.event.peer, &inside));
    assert_int_equal(bk_turn_connect(s.turn, &peer, s.now), BK_OK);
    assert_int_equal(bk_turn_connect(s.turn, &peer, s.now), BK_ERR_EXISTS);
    pump(&s);
    turn_service_connected(s.service, s.action.connection, BK_ERR_TIMEOUT, s.now);
    pump(&s);
    assert_int_equal(s.event.kind, BK_TURN_NO_CONNECTION);
    assert_int_equal(s.event.code, 447);
    (void)connect_to(&s, &peer); /* may be tried again */
    assert_int_equal(bk_turn_connect(s.turn, &peer, s.now), BK_OK);
    pump(&s);
    assert_int_equal(s.event.code, 446);
    other.port = 0;
    assert_int_equal(bk_turn_connect(s.turn, &other, s.now), BK_ERR_ARGUMENT);
    other.ip.family = BK_IPV6;
    other.port = 1;
    assert_int_equal(bk_turn_connect(s.turn, &other, s.now), BK_ERR_ARGUMENT);
    finish(&s);
}

static void silence_is_told_as_well(void **state) {
    struct stage s;
    (void)state;
    start(&s);
    assert_int_equal(bk_turn_connect(s.turn, &peer, s.now), BK_OK);
    pump(&s);
    s.now = bk_after(s.now, 45 * BK_US_PER_S);
    bk_turn_advance(s.turn, s.now);
    pump(&s);
    assert_int_equal(s.event.kind, BK_TURN_NO_CONNECTION);
    assert_int_equal(s.event.err, BK_ERR_TIMEOUT);
    finish(&s);
}

/* Section 4.4: only from peers that may. */
static void a_peer_connects_to_us(void **state) {
    struct stage s;
    uint32_t number;
    (void)state;
    start(&s);
    struct bk_addr relay = s.action.addr;
    assert_int_equal(bk_turn_permit(s.turn, &peer, true, s.now), BK_ERR_ARGUMENT); /* no channels */
    assert_int_equal(bk_turn_permit(s.turn, &peer, false, s.now), BK_OK);
    pump(&s);
    assert_int_equal(s.event.kind, BK_TURN_PERMITTED);
    assert_int_equal(turn_service_accepted(s.service, &relay, &peer, s.now, &number), BK_OK);
    pump(&s);
    assert_int_equal(s.event.kind, BK_TURN_CONNECTION);
    assert_true(s.event.incoming);
    assert_int_equal(s.event.connection, number);
    assert_true(bk_addr_equal(&s.event.peer, &peer));
    assert_int_equal(bind(&s, number, 5000, 1000), BK_OK);
    assert_int_equal(s.action.kind, TURN_JOIN);
    finish(&s);
}

/* More than can be held, and those that nobody fetches. */
static void the_table_is_bounded_and_empties_itself(void **state) {
    struct stage s;
    uint32_t number;
    (void)state;
    start(&s);
    struct bk_addr relay = s.action.addr, from = peer;
    assert_int_equal(bk_turn_permit(s.turn, &peer, false, s.now), BK_OK);
    pump(&s);
    s.events = 0;
    for (int i = 0; i < 5; i++) {
        from.port++;
        assert_int_equal(turn_service_accepted(s.service, &relay, &from, s.now, &number), BK_OK);
        pump(&s);
    }
    assert_int_equal(s.events, 2);
    assert_int_equal(bk_turn_connect(s.turn, &peer, s.now), BK_ERR_FULL);
    number = s.event.connection;
    s.now = bk_after(s.now, 30 * BK_US_PER_S);
    assert_false(bk_before(s.now, bk_turn_deadline(s.turn)));
    bk_turn_advance(s.turn, s.now);
    assert_int_equal(bk_turn_bind(s.turn, number, s.now), BK_ERR_NOT_FOUND);
    assert_int_equal(bk_turn_connect(s.turn, &peer, s.now), BK_OK);
    finish(&s);
}

/* Forged, cut or foreign answers on a data connection close it. */
static void a_bad_answer_ends_it(void **state) {
    static const char *const what[] = {"GET / HTTP/1.0\r\n\r\n", "\x40\x00\x00\x00", "flipped",
                                       "unsigned"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct stage s;
        struct bk_datagram d;
        size_t taken, len = strlen(what[i]);
        uint8_t bytes[256];
        start(&s);
        uint32_t number = connect_to(&s, &peer);
        assert_int_equal(bk_turn_bind(s.turn, number, s.now), BK_OK);
        assert_true(bk_turn_next_bind(s.turn, number, &d));
        assert_false(bk_turn_next_bind(s.turn, number, &(struct bk_datagram){.len = 0}));
        memcpy(bytes, what[i], len);
        if (i == 1)
            len = 4;
        if (i >= 2) { /* a success with the right transaction id, and no proof */
            struct stun_msg m;
            assert_int_equal(stun_parse(&m, d.data, d.len), BK_OK);
            struct stun_builder b = stun_start_reply(bytes, sizeof bytes, STUN_SUCCESS, &m);
            assert_int_equal(stun_finish(&b, &len), BK_OK);
            bytes[19] ^= i == 2;
        }
        enum bk_err err = bk_turn_bind_recv(s.turn, number, bytes, len, s.now, &taken);
        assert_int_equal(err, i == 3 ? BK_ERR_AUTH : BK_ERR_MALFORMED);
        assert_int_equal(bk_turn_bind_recv(s.turn, number, bytes, len, s.now, &taken),
                         BK_ERR_NOT_FOUND);
        finish(&s);
    }
}

static void no_data_goes_by_datagram(void **state) {
    struct stage s;
    struct bk_datagram d;
    (void)state;
    start(&s);
    assert_int_equal(bk_turn_permit(s.turn, &peer, false, s.now), BK_OK);
    pump(&s);
    assert_int_equal(bk_turn_send(s.turn, &peer, "x", 1, &d), BK_ERR_STATE);
    uint32_t number = connect_to(&s, &peer);
    assert_int_equal(bk_turn_bind(s.turn, number, s.now), BK_OK);
    bk_turn_unbind(s.turn, number);
    assert_false(bk_turn_next_bind(s.turn, number, &d));
    bk_turn_close(s.turn, s.now);
    pump(&s);
    assert_int_equal(s.event.kind, BK_TURN_CLOSED);
    assert_int_equal(bk_turn_connect(s.turn, &peer, s.now), BK_ERR_STATE);
    finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_is_connected_to),
        cmocka_unit_test(what_fails_is_told),
        cmocka_unit_test(silence_is_told_as_well),
        cmocka_unit_test(a_peer_connects_to_us),
        cmocka_unit_test(the_table_is_bounded_and_empties_itself),
        cmocka_unit_test(a_bad_answer_ends_it),
        cmocka_unit_test(no_data_goes_by_datagram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
