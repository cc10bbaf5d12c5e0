/* SPDX-License-Identifier: MIT
 * Permissions, channels, and the data that passes. */
#include "peer.h"

static void start(struct bench *b) {
    bench_init(b);
    bench_start(b);
    bench_allocate(b, 600);
}

static uint16_t bind(struct bench *b, const struct bk_addr *peer) {
    uint16_t number = 0;
    struct bk_addr said;
    assert_int_equal(bk_turn_permit(b->turn, peer, true, b->now), BK_OK);
    bench_expect(b, TURN_CHANNEL_BIND);
    assert_int_equal(stun_get_port(&b->msg, TURN_CHANNEL_NUMBER, &number), BK_OK);
    assert_int_equal(stun_get_addr(&b->msg, TURN_XOR_PEER_ADDRESS, &said), BK_OK);
    assert_true(bk_addr_equal(&said, peer));
    bench_say(b, 0);
    (void)bench_event(b, BK_TURN_PERMITTED);
    return number;
}

static void a_channel_carries_data_both_ways(void **state) {
    struct bench b;
    struct bk_addr peer = bench_addr(1, 9);
    struct bk_datagram out;
    uint8_t in[] = {0, 0, 0, 3, 'a', 'b', 'c', 0};
    (void)state;
    start(&b);
    uint16_t number = bind(&b, &peer);
    assert_in_range(number, CHANNEL_MIN, CHANNEL_MAX);
    assert_int_equal(bk_turn_channel(b.turn, &peer), number);
    assert_int_equal(bk_turn_send(b.turn, &peer, "hello", 5, &out), BK_OK);
    assert_int_equal(out.len, 9); /* UDP: not padded */
    assert_int_equal(out.data[0] << 8 | out.data[1], number);
    assert_int_equal(out.data[3], 5);
    assert_memory_equal(out.data + 4, "hello", 5);
    assert_true(bk_addr_equal(&out.remote, &b.config.server));
    in[0] = (uint8_t)(number >> 8);
    in[1] = (uint8_t)number;
    assert_int_equal(bench_feed(&b, in, sizeof in), BK_OK); /* padded all the same: fine */
    assert_int_equal(b.data.len, 3);
    assert_ptr_equal(b.data.data, in + 4);
    assert_true(bk_addr_equal(&b.data.peer, &peer));
    assert_int_equal(bench_feed(&b, in, 6), BK_ERR_MALFORMED); /* section 12.6: too short */
    in[1] = 0x77;
    assert_int_equal(bench_feed(&b, in, sizeof in), BK_ERR_NOT_OURS); /* not bound */
    assert_null(b.data.data);
    in[3] = 0;
    in[1] = (uint8_t)number;
    assert_int_equal(bench_feed(&b, in, 4), BK_OK); /* empty is valid, section 12.4 */
    assert_non_null(b.data.data);
    assert_int_equal(b.data.len, 0);
    bench_fini(&b);
}

static void indications_carry_data_before_and_without_a_channel(void **state) {
    struct bench b;
    struct bk_addr peer = bench_addr(1, 9), other_port = bench_addr(1, 10), said;
    struct bk_addr stranger = bench_addr(2, 9);
    struct bk_datagram out;
    struct stun_msg m;
    struct wire_span data;
    (void)state;
    start(&b);
    assert_int_equal(bk_turn_send(b.turn, &peer, "x", 1, &out), BK_ERR_NOT_FOUND);
    assert_int_equal(bk_turn_permit(b.turn, &peer, false, b.now), BK_OK);
    assert_int_equal(bk_turn_permit(b.turn, &peer, false, b.now), BK_ERR_EXISTS);
    bench_expect(&b, TURN_CREATE_PERMISSION);
    bench_say(&b, 0);
    struct bk_turn_event e = bench_event(&b, BK_TURN_PERMITTED);
    assert_true(bk_addr_equal(&e.peer, &peer));
    /* a permission is for the address, any port */
    assert_int_equal(bk_turn_send(b.turn, &other_port, "hello", 5, &out), BK_OK);
    assert_int_equal(stun_parse(&m, out.data, out.len), BK_OK);
    assert_int_equal(m.cls, STUN_INDICATION);
    assert_int_equal(m.method, TURN_SEND);
    assert_int_equal(stun_get_addr(&m, TURN_XOR_PEER_ADDRESS, &said), BK_OK);
    assert_true(bk_addr_equal(&said, &other_port));
    assert_int_equal(stun_get_bytes(&m, TURN_DATA_ATTR, &data), BK_OK);
    assert_int_equal(data.len, 5);
    assert_memory_equal(data.data, "hello", 5);

    struct stun_builder d = stun_start(b.reply, sizeof b.reply, STUN_INDICATION, TURN_DATA, m.txid);
    size_t len;
    stun_put_addr(&d, TURN_XOR_PEER_ADDRESS, &other_port);
    stun_put_bytes(&d, TURN_DATA_ATTR, "there", 5);
    assert_int_equal(stun_finish(&d, &len), BK_OK);
    assert_int_equal(bench_feed(&b, b.reply, len), BK_OK);
    assert_int_equal(b.data.len, 5);
    assert_true(bk_addr_equal(&b.data.peer, &other_port));

    d = stun_start(b.reply, sizeof b.reply, STUN_INDICATION, TURN_DATA, m.txid);
    stun_put_addr(&d, TURN_XOR_PEER_ADDRESS, &stranger); /* section 11.4: no permission, discard */
    stun_put_bytes(&d, TURN_DATA_ATTR, "there", 5);
    assert_int_equal(stun_finish(&d, &len), BK_OK);
    assert_int_equal(bench_feed(&b, b.reply, len), BK_ERR_NOT_OURS);
    assert_null(b.data.data);
    bench_fini(&b);
}

static void in_place_is_the_same_without_a_copy(void **state) {
    struct bench b;
    struct bk_addr peers[] = {bench_addr(1, 9), bench_addr6(2, 9)};
    uint8_t room[BK_TURN_HEADROOM + 8 + BK_TURN_TAILROOM];
    struct bk_datagram out;
    struct stun_msg m;
    struct wire_span data;
    (void)state;
    bench_init(&b);
    b.config.both = b.config.dont_fragment = true; /* the longest header */
    bench_start(&b);
    bench_allocate(&b, 600);
    for (size_t i = 0; i < 2; i++) {
        memcpy(room + BK_TURN_HEADROOM, "morning", 7);
        assert_int_equal(bk_turn_permit(b.turn, &peers[i], false, b.now), BK_OK);
        assert_int_equal(bk_turn_send_in_place(b.turn, &peers[i], room + BK_TURN_HEADROOM, 7, &out),
                         BK_OK);
        assert_true(out.data >= room && out.data + out.len <= room + sizeof room);
        assert_int_equal(stun_parse(&m, out.data, out.len), BK_OK);
        assert_true(stun_has(&m, TURN_DONT_FRAGMENT));
        assert_int_equal(stun_get_bytes(&m, TURN_DATA_ATTR, &data), BK_OK);
        assert_ptr_equal(data.data, room + BK_TURN_HEADROOM);
    }
    bench_fini(&b);
}

static void many_peers_share_a_request(void **state) {
    struct bench b;
    size_t requests = 0, peers = 0;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    for (unsigned i = 0; i < 12; i++) { /* before there is an allocation: they wait for it */
        struct bk_addr peer = bench_addr(i + 1, 9);
        assert_int_equal(bk_turn_permit(b.turn, &peer, false, b.now), BK_OK);
    }
    bench_allocate(&b, 600);
    while (bench_request(&b)) {
        struct stun_iter it = stun_attrs(&b.msg);
        struct stun_attr a;
        assert_int_equal(b.msg.method, TURN_CREATE_PERMISSION);
        while (stun_next_attr(&it, &a))
            peers += a.type == TURN_XOR_PEER_ADDRESS;
        requests++;
        bench_say(&b, 0);
    }
    assert_int_equal(requests, 2);
    assert_int_equal(peers, 12);
    for (unsigned i = 0; i < 12; i++)
        (void)bench_event(&b, BK_TURN_PERMITTED);
    bench_quiet(&b);
    bench_fini(&b);
}

/* Section 10.2: one forbidden address refuses the whole request. The others must not suffer. */
static void one_forbidden_peer_does_not_spoil_the_others(void **state) {
    struct bench b;
    struct bk_turn_event e;
    size_t permitted = 0, refused = 0;
    struct bk_addr bad = bench_addr(3, 9);
    struct bk_datagram out;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    for (unsigned i = 0; i < 5; i++) {
        struct bk_addr peer = bench_addr(i + 1, 9);
        assert_int_equal(bk_turn_permit(b.turn, &peer, false, b.now), BK_OK);
    }
    bench_allocate(&b, 600);
    while (bench_request(&b)) {
        struct stun_iter it = stun_attrs(&b.msg);
        struct stun_attr a;
        struct bk_addr peer;
        uint16_t code = 0;
        while (stun_next_attr(&it, &a))
            if (stun_read_addr(&b.msg, &a, &peer) == BK_OK && bk_addr_equal(&peer, &bad))
                code = 403;
        bench_say(&b, code);
    }
    while (bk_turn_next_event(b.turn, &e)) {
        permitted += e.kind == BK_TURN_PERMITTED;
        if (e.kind != BK_TURN_REFUSED)
            continue;
        refused++;
        assert_true(bk_addr_equal(&e.peer, &bad));
        assert_int_equal(e.code, 403);
    }
    assert_int_equal(permitted, 4);
    assert_int_equal(refused, 1);
    assert_int_equal(bk_turn_send(b.turn, &bad, "x", 1, &out), BK_ERR_NOT_FOUND);
    assert_int_equal(bk_turn_permit(b.turn, &bad, false, b.now), BK_OK); /* may be asked again */
    bench_fini(&b);
}

static void a_refused_channel_leaves_indications(void **state) {
    struct bench b;
    struct bk_addr peer = bench_addr(1, 9);
    struct bk_datagram out;
    (void)state;
    start(&b);
    assert_int_equal(bk_turn_permit(b.turn, &peer, true, b.now), BK_OK);
    bench_expect(&b, TURN_CHANNEL_BIND);
    bench_say(&b, 508);
    bench_expect(&b, TURN_CREATE_PERMISSION);
    bench_say(&b, 0);
    (void)bench_event(&b, BK_TURN_PERMITTED);
    assert_int_equal(bk_turn_send(b.turn, &peer, "x", 1, &out), BK_OK);
    assert_int_equal(out.data[0], 0);
    assert_int_equal(bk_turn_channel(b.turn, &peer), 0);
    bench_fini(&b);

    start(&b);
    assert_int_equal(bk_turn_permit(b.turn, &peer, true, b.now), BK_OK);
    bench_expect(&b, TURN_CHANNEL_BIND);
    bench_say(&b, 403);
    assert_int_equal(bench_event(&b, BK_TURN_REFUSED).code, 403);
    bench_quiet(&b);
    bench_fini(&b);
}

/* Section 9: permissions end after 5 minutes, section 12: channels after 10. For an hour, with
 * every second request lost, neither may ever lapse at the server. */
static void both_are_renewed_in_time(void **state) {
    struct bench b;
    struct bk_addr a = bench_addr(1, 9), c = bench_addr(2, 9);
    int64_t permitted_us[2], bound_us;
    uint16_t number = 0;
    unsigned count = 0;
    (void)state;
    start(&b);
    (void)bind(&b, &c);
    assert_int_equal(bk_turn_permit(b.turn, &a, false, b.now), BK_OK);
    permitted_us[0] = permitted_us[1] = bound_us = b.now.us;
    do {
        while (bench_request(&b)) {
            struct stun_iter it = stun_attrs(&b.msg);
            struct stun_attr at;
            struct bk_addr peer;
            if (++count % 2 == 0)
                continue;
            if (b.auth == 438) {
                bench_challenge(&b, 438);
                continue;
            }
            if (b.msg.method == TURN_REFRESH) {
                bench_say_lifetime(&b, 600);
                continue;
            }
            while (stun_next_attr(&it, &at)) {
                if (stun_read_addr(&b.msg, &at, &peer) != BK_OK)
                    continue;
                unsigned which = peer.ip.bytes[3] - 1u;
                assert_true(b.now.us - permitted_us[which] < 300 * BK_US_PER_S);
                permitted_us[which] = b.now.us;
            }
            if (b.msg.method == TURN_CHANNEL_BIND) {
                assert_int_equal(stun_get_port(&b.msg, TURN_CHANNEL_NUMBER, &number), BK_OK);
                assert_int_equal(number, bk_turn_channel(b.turn, &c));
                assert_true(b.now.us - bound_us < 600 * BK_US_PER_S);
                bound_us = b.now.us;
            }
            bench_say(&b, 0);
        }
    } while (bench_step(&b, test_at_ms(3600 * 1000)));
    assert_true(b.now.us - bound_us < 600 * BK_US_PER_S);
    assert_true(b.now.us - permitted_us[0] < 300 * BK_US_PER_S);
    assert_true(b.now.us - permitted_us[1] < 300 * BK_US_PER_S);
    (void)bench_event(&b, BK_TURN_PERMITTED); /* of `a`, once */
    bench_quiet(&b);
    bench_fini(&b);
}

/* Section 12: a number, or an address, MUST wait 5 minutes after its channel ended. */
static void a_forgotten_channel_is_not_reused_early(void **state) {
    struct bench b;
    struct bk_addr one = bench_addr(1, 9), two = bench_addr(2, 9);
    uint16_t again = 0;
    (void)state;
    bench_init(&b);
    b.config.peers_max = 1;
    b.config.lifetime_s = 3600;
    bench_start(&b);
    bench_allocate(&b, 3600);
    uint16_t number = bind(&b, &one);
    struct bk_time bound = b.now;
    assert_int_equal(bk_turn_forget(b.turn, &one), BK_OK);
    assert_int_equal(bk_turn_forget(b.turn, &one), BK_ERR_NOT_FOUND);
    assert_int_equal(bk_turn_permit(b.turn, &two, true, b.now), BK_ERR_FULL);
    /* the same pair may come back at once */
    assert_int_equal(bk_turn_permit(b.turn, &one, true, b.now), BK_OK);
    bench_expect(&b, TURN_CHANNEL_BIND);
    assert_int_equal(stun_get_port(&b.msg, TURN_CHANNEL_NUMBER, &again), BK_OK);
    assert_int_equal(again, number);
    bench_say(&b, 0);
    assert_int_equal(bk_turn_forget(b.turn, &one), BK_OK);
    while (bench_step(&b, bk_after(bound, 899 * BK_US_PER_S)))
        assert_false(bench_request(&b)); /* nothing is renewed any more */
    assert_int_equal(bk_turn_permit(b.turn, &two, true, b.now), BK_ERR_FULL);
    while (bench_step(&b, bk_after(bound, 901 * BK_US_PER_S)))
        ;
    assert_int_equal(bk_turn_permit(b.turn, &two, true, b.now), BK_OK);
    bench_fini(&b);
}

static void icmp_errors_are_told(void **state) {
    struct bench b;
    struct bk_addr peer = bench_addr(1, 9);
    const uint8_t txid[STUN_TXID_LEN] = {0};
    size_t len;
    (void)state;
    start(&b);
    (void)bind(&b, &peer);
    struct stun_builder d = stun_start(b.reply, sizeof b.reply, STUN_INDICATION, TURN_DATA, txid);
    stun_put_addr(&d, TURN_XOR_PEER_ADDRESS, &peer);
    stun_put_u64(&d, TURN_ICMP, (uint64_t)3 << 41 | (uint64_t)4 << 32 | 1280);
    assert_int_equal(stun_finish(&d, &len), BK_OK);
    assert_int_equal(bench_feed(&b, b.reply, len), BK_OK);
    assert_null(b.data.data);
    struct bk_turn_event e = bench_event(&b, BK_TURN_ICMP);
    assert_int_equal(e.icmp_type, 3);
    assert_int_equal(e.icmp_code, 4);
    assert_int_equal(e.icmp_data, 1280);
    assert_true(bk_addr_equal(&e.peer, &peer));
    bench_fini(&b);
}

static void peers_of_the_wrong_kind_are_refused(void **state) {
    struct bench b;
    struct bk_addr v6 = bench_addr6(1, 9), no_port = bench_addr(1, 0);
    (void)state;
    start(&b);
    assert_int_equal(bk_turn_permit(b.turn, &v6, false, b.now), BK_ERR_ARGUMENT);
    assert_int_equal(bk_turn_permit(b.turn, &no_port, true, b.now), BK_ERR_ARGUMENT);
    assert_int_equal(bk_turn_permit(b.turn, &no_port, false, b.now), BK_OK);
    bench_fini(&b);
}

/* A large table finds its peers by hash: the same behaviour, against a plain list. */
static void large_tables_agree_with_a_list(void **state) {
    enum { PEERS = 300, STEPS = 3000 };
    struct bench b;
    bool there[PEERS] = {false};
    struct bk_turn_event e;
    struct bk_datagram out;
    (void)state;
    bench_init(&b);
    b.config.peers_max = PEERS;
    bench_start(&b);
    bench_allocate(&b, 600);
    for (int i = 0; i < STEPS; i++) {
        unsigned n = rng_below(&b.rng, PEERS);
        struct bk_addr peer = bench_addr(n % 250 + 1, 1000 + n);
        bool drop = rng_below(&b.rng, 3) == 0;
        enum bk_err want = there[n] == drop ? BK_OK : drop ? BK_ERR_NOT_FOUND : BK_ERR_EXISTS;
        enum bk_err err =
            drop ? bk_turn_forget(b.turn, &peer) : bk_turn_permit(b.turn, &peer, true, b.now);
        assert_int_equal(err, want);
        there[n] = !drop;
        while (bench_request(&b))
            bench_say(&b, 0);
        while (bk_turn_next_event(b.turn, &e))
            assert_int_equal(e.kind, BK_TURN_PERMITTED);
        assert_int_equal(bk_turn_channel(b.turn, &peer) != 0, there[n]);
        assert_int_equal(bk_turn_send(b.turn, &peer, "x", 1, &out) == BK_OK && out.data[0] != 0,
                         there[n]);
    }
    bench_fini(&b);
}

/* ---- Streams ------------------------------------------------------------------------------ */

static size_t wrap(struct bench *b, uint8_t *out) {
    size_t len = 0;
    if (b->auth == 0)
        stun_claim_sign(&b->claim, &b->b, &b->key);
    assert_int_equal(stun_finish(&b->b, &len), BK_OK);
    memcpy(out, b->reply, len);
    return len;
}

static void stream_allocate(struct bench *b) {
    struct bk_addr from = b->config.local, relayed = bench_addr(200, 50000);
    struct bk_turn_data data;
    uint8_t bytes[512];
    bench_expect(b, TURN_ALLOCATE);
    bench_answer(b, 401);
    stun_realm_challenge(&b->realm, &b->b, &from, b->now);
    size_t len = wrap(b, bytes);
    for (size_t i = 0; i < len; i++) { /* a byte at a time */
        assert_int_equal(bk_turn_stream_recv(b->turn, bytes + i, 1, b->now), BK_OK);
        assert_false(bk_turn_next_data(b->turn, &data));
    }
    bench_expect(b, TURN_ALLOCATE);
    assert_int_equal(b->out.protocol, BK_TCP);
    bench_answer(b, 0);
    stun_put_addr(&b->b, TURN_XOR_RELAYED_ADDRESS, &relayed);
    stun_put_addr(&b->b, STUN_XOR_MAPPED_ADDRESS, &relayed);
    stun_put_u32(&b->b, TURN_LIFETIME, 600);
    len = wrap(b, bytes);
    assert_int_equal(bk_turn_stream_recv(b->turn, bytes, len, b->now), BK_OK);
    assert_false(bk_turn_next_data(b->turn, &data));
    (void)bench_event(b, BK_TURN_ALLOCATED);
}

static void stream_start(struct bench *b) {
    bench_init(b);
    b->config.stream = true;
    b->config.data_max = 100;
    bench_start(b);
    stream_allocate(b);
}

static size_t frame(uint8_t *out, uint16_t number, size_t len) {
    channel_write_header(out, number, len);
    for (size_t i = 0; i < len; i++)
        out[4 + i] = (uint8_t)i;
    return (4 + len + 3) & ~(size_t)3;
}

/* Frames of all lengths, one too long to be kept, cut at random places. */
static void streams_are_put_together(void **state) {
    static uint8_t wire[20000];
    struct bench b;
    struct bk_addr peer = bench_addr(1, 9);
    struct bk_turn_data data;
    size_t total = 0, got = 0, sent = 0;
    (void)state;
    stream_start(&b);
    assert_int_equal(bk_turn_stream_recv(b.turn, wire, 0, b.now), BK_OK);
    assert_int_equal(bk_turn_permit(b.turn, &peer, true, b.now), BK_OK);
    for (size_t len = 0; len <= 100; len++) {
        total += frame(wire + total, CHANNEL_MIN, len);
        if (len == 50)
            total += frame(wire + total, CHANNEL_MIN, 5000);
    }
    while (sent < total) {
        size_t n = 1 + rng_below(&b.rng, 300);
        n = n < total - sent ? n : total - sent;
        uint8_t *copy = malloc(n);
        memcpy(copy, wire + sent, n);
        assert_int_equal(bk_turn_stream_recv(b.turn, copy, n, b.now), BK_OK);
        while (bk_turn_next_data(b.turn, &data)) {
            if (data.len > 100) /* it may come whole when the read had all of it */
                continue;
            assert_int_equal(data.len, got);
            for (size_t i = 0; i < data.len; i++)
                assert_int_equal(data.data[i], i);
            got++;
        }
        free(copy);
        sent += n;
    }
    assert_int_equal(got, 101);
    bench_fini(&b);
}

static void streams_are_padded(void **state) {
    struct bench b;
    struct bk_addr peer = bench_addr(1, 9);
    struct bk_datagram out;
    struct bk_turn_data data;
    uint8_t bytes[512];
    (void)state;
    stream_start(&b);
    assert_int_equal(bk_turn_permit(b.turn, &peer, true, b.now), BK_OK);
    bench_expect(&b, TURN_CHANNEL_BIND);
    bench_answer(&b, 0);
    size_t len = wrap(&b, bytes);
    assert_int_equal(bk_turn_stream_recv(b.turn, bytes, len, b.now), BK_OK);
    assert_false(bk_turn_next_data(b.turn, &data));
    assert_int_equal(bk_turn_send(b.turn, &peer, "hello", 5, &out), BK_OK);
    assert_int_equal(out.len, 12); /* section 12.5: MUST */
    assert_int_equal(out.data[3], 5);
    assert_int_equal(out.protocol, BK_TCP);
    bench_fini(&b);
}

static void a_stream_that_lost_its_framing_is_done(void **state) {
    static const uint8_t junk[] = "GET / HTTP/1.1\r\n\r\n";
    struct bench b;
    struct bk_turn_data data;
    (void)state;
    stream_start(&b);
    const uint8_t bad[] = {0x99, 0, 0, 0};
    assert_int_equal(bk_turn_stream_recv(b.turn, bad, 4, b.now), BK_ERR_MALFORMED);
    assert_int_equal(bench_event(&b, BK_TURN_FAILED).err, BK_ERR_MALFORMED);
    assert_int_equal(bk_turn_stream_recv(b.turn, junk, 4, b.now), BK_ERR_MALFORMED);
    assert_false(bk_turn_next_data(b.turn, &data));
    bench_quiet(&b);
    bench_fini(&b);
}

/* A request on a stream is sent once, RFC 8489 section 6.2.2. */
static void streams_do_not_retransmit(void **state) {
    struct bench b;
    int requests = 0;
    (void)state;
    bench_init(&b);
    b.config.stream = true;
    bench_start(&b);
    do
        while (bench_request(&b))
            requests++;
    while (bench_step(&b, test_at_ms(100000)));
    assert_int_equal(requests, 1);
    assert_int_equal(bench_event(&b, BK_TURN_FAILED).err, BK_ERR_TIMEOUT);
    bench_fini(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_channel_carries_data_both_ways),
        cmocka_unit_test(indications_carry_data_before_and_without_a_channel),
        cmocka_unit_test(in_place_is_the_same_without_a_copy),
        cmocka_unit_test(many_peers_share_a_request),
        cmocka_unit_test(one_forbidden_peer_does_not_spoil_the_others),
        cmocka_unit_test(a_refused_channel_leaves_indications),
        cmocka_unit_test(both_are_renewed_in_time),
        cmocka_unit_test(a_forgotten_channel_is_not_reused_early),
        cmocka_unit_test(icmp_errors_are_told),
        cmocka_unit_test(peers_of_the_wrong_kind_are_refused),
        cmocka_unit_test(large_tables_agree_with_a_list),
        cmocka_unit_test(streams_are_put_together),
        cmocka_unit_test(streams_are_padded),
        cmocka_unit_test(a_stream_that_lost_its_framing_is_done),
        cmocka_unit_test(streams_do_not_retransmit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
