/* SPDX-License-Identifier: MIT
 * turn_service_route() against turn_service_recv(), which copies: the same bytes to the same
 * address, or nothing, whatever comes. */
#include "ask.h"

#include "turn/service.h"
#include <stdio.h>

enum { CLIENTS = 3, PEERS = 4, DATAGRAMS = 4000, TXID_AT = 8 };

struct world {
    struct asker a;
    struct bk_addr relayed[CLIENTS];
    struct rng_seeded dice;
    uint8_t bytes[2048];
    size_t carried;
};

static struct bk_addr peer_at(unsigned n) {
    return bk_addr(bk_ipv4(8, 8, 8, (uint8_t)(n + 1)), (uint16_t)(7000 + n));
}

/* Client n has channels to peers 0..n, permissions for all but the last one, which nobody may talk
 * to. */
static void world_init(struct world *w) {
    ask_init(&w->a);
    rng_seed(&w->dice, 11);
    w->a.config.dont_fragment = true;
    ask_start(&w->a);
    for (unsigned n = 0; n < CLIENTS; n++) {
        w->relayed[n] = ask_allocate(&w->a, n + 1);
        for (unsigned p = 0; p + 1 < PEERS; p++) {
            const struct bk_addr peer = peer_at(p);
            ask_permission(&w->a, &peer);
            ask_expect(&w->a, 0);
            if (p <= n) {
                ask_bind(&w->a, (uint16_t)(0x4000 + p), &peer);
                ask_expect(&w->a, 0);
            }
        }
    }
}

static uint32_t dice(struct world *w, uint32_t sides) {
    return (uint32_t)(rng_seeded_next(&w->dice) >> 32) % sides;
}

static struct bk_datagram channel_data(struct world *w, struct bk_datagram in) {
    size_t len = dice(w, 300);
    channel_write_header(w->bytes, (uint16_t)(0x4000 + dice(w, PEERS + 1)), len);
    in.len = CHANNEL_HEADER_LEN + len + dice(w, 8);
    if (dice(w, 20) == 0)
        in.len = dice(w, 6); /* cut short */
    return in;
}

static struct bk_datagram send_indication(struct world *w, struct bk_datagram in) {
    static const uint8_t data[400] = {1, 2, 3};
    const uint8_t txid[STUN_TXID_LEN] = {9};
    const struct bk_addr peer = peer_at(dice(w, PEERS + 1));
    struct stun_builder b = stun_start(w->bytes, sizeof w->bytes, STUN_INDICATION, TURN_SEND, txid);
    if (dice(w, 4) == 0)
        stun_put_flag(&b, TURN_DONT_FRAGMENT);
    if (dice(w, 20) != 0)
        stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, &peer);
    stun_put_bytes(&b, TURN_DATA_ATTR, data, dice(w, sizeof data));
    if (dice(w, 20) == 0)
        stun_put_u32(&b, 0x7777, 1); /* comprehension-required */
    assert_int_equal(stun_finish(&b, &in.len), BK_OK);
    return in;
}

/* From a client or a peer, to the server or a relay port, known or not. */
static struct bk_datagram anything(struct world *w) {
    struct bk_datagram in = {
        .local = w->a.server, .remote = ask_client(dice(w, CLIENTS + 1) + 1), .data = w->bytes};
    w->a.rng.fill(w->a.rng.ctx, w->bytes, sizeof w->bytes);
    switch (dice(w, 3)) {
    case 0:
        return channel_data(w, in);
    case 1:
        return send_indication(w, in);
    default:
        in.local = w->relayed[dice(w, CLIENTS)];
        in.remote = peer_at(dice(w, PEERS + 1));
        if (dice(w, 10) == 0)
            in.remote.port++; /* without a channel */
        in.len = dice(w, 1200);
        return in;
    }
}

static size_t gather(const struct turn_route *route, const uint8_t *data, uint8_t *out) {
    memcpy(out, route->head, route->head_len);
    memcpy(out + route->head_len, data + route->skip, route->len);
    memset(out + route->head_len + route->len, 0, route->pad);
    return (size_t)route->head_len + route->len + route->pad;
}

/* A transaction id is drawn anew each time. */
static void forget_txid(const struct turn_route *route, uint8_t *bytes) {
    if (route->head_len > CHANNEL_HEADER_LEN)
        memset(bytes + TXID_AT, 0, STUN_TXID_LEN);
}

static void the_way_is_the_same(struct world *w, const struct bk_datagram *in) {
    struct turn_route route;
    struct bk_datagram out;
    uint8_t by_route[2048 + TURN_HEAD_MAX], by_copy[2048 + TURN_HEAD_MAX];
    enum bk_err found = turn_service_route(w->a.service, in, w->a.now, &route);
    enum bk_err err = turn_service_recv(w->a.service, in, w->a.now);
    bool copied = turn_service_next_datagram(w->a.service, &out);
    assert_int_equal(found == BK_OK, copied);
    assert_int_equal(err == BK_OK, copied);
    if (!copied)
        return;
    size_t len = gather(&route, in->data, by_route);
    assert_int_equal(len, out.len);
    memcpy(by_copy, out.data, out.len);
    forget_txid(&route, by_route);
    forget_txid(&route, by_copy);
    assert_memory_equal(by_route, by_copy, len);
    assert_true(bk_addr_equal(&route.local, &out.local));
    assert_true(bk_addr_equal(&route.remote, &out.remote));
    assert_int_equal(route.protocol, out.protocol);
    w->carried++;
}

static void routes_and_copies_agree_on_anything(void **state) {
    struct world w = {.carried = 0};
    (void)state;
    world_init(&w);
    for (int i = 0; i < DATAGRAMS; i++) {
        const struct bk_datagram in = anything(&w);
        the_way_is_the_same(&w, &in);
    }
    assert_true(w.carried > DATAGRAMS / 4); /* else there was nothing to compare */
    ask_fini(&w.a);
}

static void routes_and_copies_agree_about_the_end(void **state) {
    struct world w = {.carried = 0};
    (void)state;
    world_init(&w);
    w.a.now = bk_after(w.a.now, 301 * BK_US_PER_S); /* permissions are over, channels are not */
    for (int i = 0; i < DATAGRAMS; i++) {
        const struct bk_datagram in = anything(&w);
        the_way_is_the_same(&w, &in);
    }
    w.a.now = bk_after(w.a.now, 300 * BK_US_PER_S);
    turn_service_advance(w.a.service, w.a.now);
    w.carried = 0;
    for (int i = 0; i < DATAGRAMS; i++) {
        const struct bk_datagram in = anything(&w);
        the_way_is_the_same(&w, &in);
    }
    assert_int_equal(w.carried, 0);
    ask_fini(&w.a);
}

/* What lets a train be sent with one look at the service. */
static void one_route_holds_for_all_that_look_alike(void **state) {
    struct world w = {.carried = 0};
    struct turn_route first, second;
    (void)state;
    world_init(&w);
    struct bk_datagram in = {.local = w.a.server, .remote = ask_client(2), .data = w.bytes};
    channel_write_header(w.bytes, 0x4001, 100);
    in.len = 104;
    assert_int_equal(turn_service_route(w.a.service, &in, w.a.now, &first), BK_OK);
    memset(w.bytes + CHANNEL_HEADER_LEN, 0xff, 100);
    assert_int_equal(turn_service_route(w.a.service, &in, w.a.now, &second), BK_OK);
    assert_int_equal(first.skip, second.skip);
    assert_int_equal(first.len, second.len);
    assert_int_equal(first.chan, second.chan);
    assert_true(bk_addr_equal(&first.remote, &second.remote));
    in.local = w.relayed[1];
    in.remote = peer_at(1);
    assert_int_equal(turn_service_route(w.a.service, &in, w.a.now, &first), BK_OK);
    assert_int_not_equal(first.chan, UINT32_MAX);
    assert_int_equal(first.head_len, CHANNEL_HEADER_LEN);
    const uint8_t head[] = {0x40, 0x01, 0, 104};
    assert_memory_equal(first.head, head, sizeof head);
    ask_fini(&w.a);
}

/* RFC 8656 section 11.2. */
static void dont_fragment_reaches_the_socket(void **state) {
    struct world w = {.carried = 0};
    struct turn_route route;
    const uint8_t txid[STUN_TXID_LEN] = {9};
    const struct bk_addr peer = peer_at(0);
    (void)state;
    world_init(&w);
    for (int whole = 0; whole < 2; whole++) {
        struct bk_datagram in = {.local = w.a.server, .remote = ask_client(1), .data = w.bytes};
        struct stun_builder b =
            stun_start(w.bytes, sizeof w.bytes, STUN_INDICATION, TURN_SEND, txid);
        if (whole == 1)
            stun_put_flag(&b, TURN_DONT_FRAGMENT);
        stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, &peer);
        stun_put_bytes(&b, TURN_DATA_ATTR, "x", 1);
        assert_int_equal(stun_finish(&b, &in.len), BK_OK);
        assert_int_equal(turn_service_route(w.a.service, &in, w.a.now, &route), BK_OK);
        assert_int_equal(route.dont_fragment, whole);
    }
    ask_fini(&w.a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_and_copies_agree_on_anything),
        cmocka_unit_test(routes_and_copies_agree_about_the_end),
        cmocka_unit_test(one_route_holds_for_all_that_look_alike),
        cmocka_unit_test(dont_fragment_reaches_the_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
