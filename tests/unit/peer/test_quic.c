/* SPDX-License-Identifier: MIT
 * Handshake, refusal of wrong keys, closing, datagrams, silence. Streams: test_quic_stream.c. */
#include "quic_pair.h"

static void handshake_takes_one_round_trip(void **state) {
    (void)state;
    struct quic_event ev;
    pair_start(&pair);
    struct bk_time begin = pair.now;
    assert_true(pair_wait(&pair, CLIENT, QUIC_HANDSHAKE_DONE, 5000, &ev));
    assert_int_equal(bk_elapsed_us(begin, pair.now), 2 * pair.delay_us);
    assert_true(quic_is_established(pair.end[CLIENT]));
    assert_true(pair_wait(&pair, SERVER, QUIC_HANDSHAKE_DONE, 5000, &ev));
    assert_int_equal(bk_elapsed_us(begin, pair.now), 3 * pair.delay_us);
}

static void handshake_survives_loss(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct quic_event ev;
        pair_fini(&pair);
        pair_init(&pair, seed);
        pair.loss_permille = 300;
        pair_start(&pair);
        assert_true(pair_wait(&pair, SERVER, QUIC_HANDSHAKE_DONE, 25000, &ev));
        assert_true(quic_is_established(pair.end[CLIENT]));
    }
}

/* RFC 9443: a cleared bit 0x40 would send packets to the STUN or DTLS parser. */
static void quic_bit_is_always_set(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        pair_fini(&pair);
        pair_init(&pair, seed);
        pair_connect(&pair);
        int64_t id = -1;
        assert_int_equal(quic_stream_open(pair.end[CLIENT], &id), BK_OK);
        for (int round = 0; round < 20; round++) {
            assert_int_equal(quic_stream_write(pair.end[CLIENT], id, "hello", 5), 5);
            pair_flush(&pair, CLIENT);
            for (size_t i = 0; i < pair.count; i++) {
                uint32_t tag = 0;
                assert_true(quic_tag(pair.queue[i]->data, pair.queue[i]->len, &tag));
                assert_int_equal(tag, pair.config[pair.queue[i]->to].local_tag);
            }
            pair_run(&pair, 50);
        }
    }
}

static void wrong_key_is_refused(int wrong) {
    struct identity stranger;
    struct quic_event ev;
    identity_make(&stranger, &pair.rng);
    pair.config[wrong].peer = stranger.key; /* `wrong` expects somebody else */
    pair_start(&pair);
    assert_true(pair_wait(&pair, wrong, QUIC_CLOSED, 5000, &ev));
    assert_int_equal(ev.cause, BK_ERR_AUTH);
    assert_false(ev.remote);
    assert_true(pair_wait(&pair, !wrong, QUIC_CLOSED, 5000, &ev));
    assert_int_equal(ev.cause, BK_ERR_REFUSED);
    assert_true(ev.remote);
    assert_false(quic_is_established(pair.end[wrong]));
    identity_fini(&stranger);
}

static void client_refuses_wrong_server(void **state) {
    (void)state;
    wrong_key_is_refused(CLIENT);
}

static void server_refuses_wrong_client(void **state) {
    (void)state;
    wrong_key_is_refused(SERVER);
}

static void first_packet_without_binding_is_ignored(void **state) {
    (void)state;
    struct quic_event ev;
    struct quic_stats stats;
    pair.config[CLIENT].binding[0] ^= 1;
    pair.config[CLIENT].handshake_timeout_ms = 3000;
    pair_start(&pair);
    assert_true(pair_wait(&pair, CLIENT, QUIC_CLOSED, 5000, &ev));
    assert_int_equal(ev.cause, BK_ERR_TIMEOUT);
    quic_stats(pair.end[SERVER], &stats);
    assert_int_equal(stats.packets_received, 0);
    assert_true(stats.packets_dropped > 0);
    assert_int_equal(stats.packets_sent, 0);
}

static void close_carries_code_and_reason(void **state) {
    (void)state;
    struct quic_event ev;
    for (int closer = 0; closer < 2; closer++) {
        pair_fini(&pair);
        pair_init(&pair, 3);
        pair_connect(&pair);
        quic_close(pair.end[closer], 77, "had enough", pair.now);
        assert_true(pair_wait(&pair, closer, QUIC_CLOSED, 10, &ev));
        assert_false(ev.remote);
        assert_true(pair_wait(&pair, !closer, QUIC_CLOSED, 1000, &ev));
        assert_true(ev.remote);
        assert_int_equal(ev.cause, BK_OK);
        assert_int_equal(ev.code, 77);
        assert_string_equal(ev.reason, "had enough");
        pair_run(&pair, 5000);
        assert_true(quic_is_finished(pair.end[0]) && quic_is_finished(pair.end[1]));
        assert_true(bk_is_never(quic_deadline(pair.end[0])));
    }
}

static void close_in_the_turn_of_the_handshake_is_understood(void **state) {
    (void)state;
    struct quic_event ev;
    pair_start(&pair);
    assert_true(pair_wait(&pair, CLIENT, QUIC_HANDSHAKE_DONE, 1000, &ev));
    quic_close(pair.end[CLIENT], 9, "wrong number", pair.now);
    assert_true(pair_wait(&pair, SERVER, QUIC_CLOSED, 1000, &ev));
    assert_int_equal(ev.cause, BK_OK);
    assert_int_equal(ev.code, 9);
    assert_string_equal(ev.reason, "wrong number");
}

/* However long nothing of the client's last flight arrives, the server must not take the close for
 * a failed handshake. */
static void close_in_the_turn_of_the_handshake_survives_loss(void **state) {
    (void)state;
    struct quic_event ev;
    for (int silent_ms = 1; silent_ms <= 500; silent_ms += 7) {
        pair_fini(&pair);
        pair_init(&pair, 1);
        pair_start(&pair);
        assert_true(pair_wait(&pair, CLIENT, QUIC_HANDSHAKE_DONE, 1000, &ev));
        quic_close(pair.end[CLIENT], 9, "wrong number", pair.now);
        pair.silent = true;
        pair_run(&pair, silent_ms);
        pair.silent = false;
        assert_true(pair_wait(&pair, SERVER, QUIC_CLOSED, 5000, &ev));
        assert_int_equal(ev.cause, BK_OK);
        assert_int_equal(ev.code, 9);
        pair_run(&pair, 5000);
        assert_true(quic_is_finished(pair.end[CLIENT]));
    }
}

static void lost_close_is_repeated(void **state) {
    (void)state;
    struct quic_event ev;
    pair_connect(&pair);
    pair_run(&pair, 200);
    quic_close(pair.end[CLIENT], 5, NULL, pair.now);
    pair.silent = true;
    pair_flush(&pair, CLIENT);
    pair.silent = false;
    int64_t id = -1;
    assert_int_equal(quic_stream_open(pair.end[SERVER], &id), BK_OK);
    assert_int_equal(quic_stream_write(pair.end[SERVER], id, "x", 1), 1);
    assert_true(pair_wait(&pair, SERVER, QUIC_CLOSED, 100, &ev));
    assert_int_equal(ev.code, 5);
}

static void close_before_anything_arrived(void **state) {
    (void)state;
    struct quic_event ev;
    pair_start(&pair);
    quic_close(pair.end[SERVER], 1, "never mind", pair.now);
    assert_true(quic_is_finished(pair.end[SERVER]));
    assert_true(pair_wait(&pair, SERVER, QUIC_CLOSED, 1, &ev));
    quic_close(pair.end[CLIENT], 1, "never mind", pair.now);
    pair_run(&pair, 10000);
    assert_true(quic_is_finished(pair.end[CLIENT]));
}

static void silence_ends_in_timeout(void **state) {
    (void)state;
    struct quic_event ev;
    pair.config[CLIENT].idle_timeout_ms = 2000;
    pair_connect(&pair);
    pair.silent = true;
    assert_true(pair_wait(&pair, CLIENT, QUIC_CLOSED, 5000, &ev));
    assert_int_equal(ev.cause, BK_ERR_TIMEOUT);
    assert_true(pair_wait(&pair, SERVER, QUIC_CLOSED, 10000, &ev));
    assert_int_equal(ev.cause, BK_ERR_TIMEOUT); /* the smaller timeout holds for both */
}

static void keep_alive_prevents_it(void **state) {
    (void)state;
    pair.config[CLIENT].idle_timeout_ms = 2000;
    pair.config[CLIENT].keep_alive_ms = 500;
    pair_connect(&pair);
    pair_run(&pair, 20000);
    assert_true(quic_is_established(pair.end[CLIENT]));
    assert_true(quic_is_established(pair.end[SERVER]));
}

static void datagrams_cross_both_ways(void **state) {
    (void)state;
    uint8_t sent[1400];
    const uint8_t *got = NULL;
    size_t len = 0;
    struct quic_event ev;
    pair_connect(&pair);
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 7);
    for (int from = 0; from < 2; from++) {
        assert_int_equal(quic_datagram_send(pair.end[from], sent, 1), BK_OK);
        assert_int_equal(quic_datagram_send(pair.end[from], sent, 0), BK_OK);
        assert_int_equal(quic_datagram_send(pair.end[from], sent, sizeof sent), BK_OK);
        assert_int_equal(quic_datagram_send(pair.end[from], sent, 1421), BK_ERR_TOO_LONG);
        static const size_t lens[] = {1, 0, sizeof sent};
        assert_true(pair_wait(&pair, !from, QUIC_DATAGRAM, 100, &ev));
        for (size_t i = 0; i < 3; i++) {
            if (!quic_datagram_peek(pair.end[!from], &got, &len))
                assert_true(pair_wait(&pair, !from, QUIC_DATAGRAM, 100, &ev));
            assert_true(quic_datagram_peek(pair.end[!from], &got, &len));
            assert_int_equal(len, lens[i]);
            assert_memory_equal(got, sent, len);
            quic_datagram_drop(pair.end[!from]);
        }
        assert_false(quic_datagram_peek(pair.end[!from], &got, &len));
    }
}

static void datagram_queues_are_bounded(void **state) {
    (void)state;
    uint8_t sent[1200] = {0};
    struct quic_stats stats;
    pair_connect(&pair);
    int taken = 0;
    while (quic_datagram_send(pair.end[CLIENT], sent, sizeof sent) == BK_OK)
        assert_true(++taken < 1000);
    assert_int_equal(taken, (256 << 10) / 1202);
    pair_run(&pair, 2000);
    assert_int_equal(quic_datagram_send(pair.end[CLIENT], sent, sizeof sent), BK_OK);
    for (int i = 0; i < 100; i++) { /* nobody reads: the server's queue fills and then drops */
        (void)!quic_datagram_send(pair.end[CLIENT], sent, sizeof sent);
        pair_run(&pair, 10);
    }
    quic_stats(pair.end[SERVER], &stats);
    assert_int_equal(stats.datagrams_received, (256 << 10) / 1202);
    assert_true(stats.datagrams_dropped >= 90);
}

static void datagram_too_long_for_the_path_does_not_block(void **state) {
    (void)state;
    uint8_t sent[1400] = {0};
    const uint8_t *got = NULL;
    size_t len = 0;
    struct quic_event ev;
    struct quic_stats stats;
    pair_connect(&pair);
    pair.payload_max = 1200;
    assert_int_equal(quic_datagram_send(pair.end[CLIENT], sent, 1400), BK_OK);
    assert_int_equal(quic_datagram_send(pair.end[CLIENT], sent, quic_datagram_max(1200)), BK_OK);
    assert_true(pair_wait(&pair, SERVER, QUIC_DATAGRAM, 100, &ev));
    assert_true(quic_datagram_peek(pair.end[SERVER], &got, &len));
    assert_int_equal(len, quic_datagram_max(1200));
    quic_stats(pair.end[CLIENT], &stats);
    assert_int_equal(stats.datagrams_dropped, 1);
}

static void junk_is_dropped_and_counted(void **state) {
    (void)state;
    uint8_t junk[100] = {0};
    struct quic_stats stats;
    pair_start(&pair);
    assert_int_equal(quic_recv(pair.end[SERVER], junk, sizeof junk, pair.now), BK_ERR_NOT_OURS);
    assert_int_equal(quic_recv(pair.end[SERVER], junk, 0, pair.now), BK_ERR_NOT_OURS);
    junk[0] = 0xc0;
    junk[5] = 20;
    memcpy(junk + 6, "\x5e\x5e\x5e\x01", 4);
    assert_int_equal(quic_recv(pair.end[SERVER], junk, sizeof junk, pair.now), BK_ERR_NOT_OURS);
    quic_stats(pair.end[SERVER], &stats);
    assert_int_equal(stats.packets_dropped, 3);
    struct quic_event ev;
    assert_true(pair_wait(&pair, SERVER, QUIC_HANDSHAKE_DONE, 1000, &ev));
}

/* BK_OK tells the session that a path works: only the peer's own packets may say so. */
static void forged_packets_prove_nothing(void **state) {
    (void)state;
    uint8_t forged[100];
    struct quic_stats before, after;
    pair_connect(&pair);
    pair_run(&pair, 200);
    assert_int_equal(quic_datagram_send(pair.end[CLIENT], "hello", 5), BK_OK);
    size_t len = 0, segment = 0;
    assert_true(quic_next_train(pair.end[CLIENT], pair.train, sizeof pair.train, 1452, pair.now,
                                &len, &segment));
    assert_true(len < sizeof forged);
    memcpy(forged, pair.train, len);
    forged[len - 1] ^= 1;
    quic_stats(pair.end[SERVER], &before);
    assert_int_equal(quic_recv(pair.end[SERVER], forged, len, pair.now), BK_ERR_NOT_OURS);
    assert_int_equal(quic_recv(pair.end[SERVER], pair.train, len, pair.now), BK_OK);
    quic_stats(pair.end[SERVER], &after);
    assert_int_equal(after.packets_dropped - before.packets_dropped, 1);
    assert_int_equal(after.packets_received - before.packets_received, 1);
}

/* The session nudges when the peer's answer comes; the first packet may be under way all the same.
 */
static void nudge_during_the_handshake_leaves_the_rtt_alone(void **state) {
    (void)state;
    struct quic_stats stats;
    struct quic_event ev;
    pair_start(&pair);
    pair_run(&pair, 15);
    quic_nudge(pair.end[CLIENT], pair.now);
    assert_true(pair_wait(&pair, SERVER, QUIC_HANDSHAKE_DONE, 1000, &ev));
    quic_stats(pair.end[CLIENT], &stats);
    assert_in_range(stats.srtt_us, 19000, 21000);
}

/* The right header around a payload that does not decrypt must not use the server up. */
static void forged_first_packet_does_not_stop_the_real_one(void **state) {
    (void)state;
    struct quic_event ev;
    uint8_t forged[1200];
    size_t len = 0, segment = 0;
    pair_start(&pair);
    assert_true(quic_next_train(pair.end[CLIENT], pair.train, sizeof pair.train, 1452, pair.now,
                                &len, &segment));
    memcpy(forged, pair.train, sizeof forged);
    memset(forged + 60, 0xaa, sizeof forged - 60);
    (void)!quic_recv(pair.end[SERVER], forged, sizeof forged, pair.now);
    pair_carry(&pair, CLIENT, pair.train, len);
    assert_true(pair_wait(&pair, SERVER, QUIC_HANDSHAKE_DONE, 3000, &ev));
}

/* As UDP_GRO hands them over: several packets in one buffer, one of them not ours. */
static void trains_are_taken_apart(void **state) {
    (void)state;
    static uint8_t buf[QUIC_TRAIN_MAX];
    static uint8_t bytes[200000];
    struct quic_stats before, after;
    size_t len = 0, segment = 0;
    int64_t id = -1;
    pair_connect(&pair);
    pair_run(&pair, 200);
    quic_stats(pair.end[SERVER], &before);
    assert_int_equal(quic_stream_open(pair.end[CLIENT], &id), BK_OK);
    assert_int_equal(quic_stream_write(pair.end[CLIENT], id, bytes, sizeof bytes), sizeof bytes);
    assert_true(quic_next_train(pair.end[CLIENT], buf, sizeof buf, 1300, pair.now, &len, &segment));
    assert_int_equal(segment, 1300);
    assert_true(len >= 4 * segment);
    buf[segment] = 0; /* the second packet loses its QUIC bit */
    assert_int_equal(quic_recv_train(pair.end[SERVER], buf, len, segment, pair.now),
                     BK_ERR_NOT_OURS);
    quic_stats(pair.end[SERVER], &after);
    assert_int_equal(after.packets_received - before.packets_received,
                     (len + segment - 1) / segment - 1);
    assert_int_equal(after.packets_dropped - before.packets_dropped, 1);
}

static void bad_configurations_are_refused(void **state) {
    (void)state;
    struct quic *q = NULL;
    struct quic_config c = pair.config[CLIENT];
    c.streams_max = 0;
    assert_int_equal(quic_new(&c, pair.now, &q), BK_ERR_ARGUMENT);
    c = pair.config[CLIENT];
    c.identity = NULL;
    assert_int_equal(quic_new(&c, pair.now, &q), BK_ERR_ARGUMENT);
    c = pair.config[CLIENT];
    c.window_max = c.stream_window_max - 1;
    assert_int_equal(quic_new(&c, pair.now, &q), BK_ERR_ARGUMENT);
    assert_null(q);
}

/* An allocator that gives out `left` pieces and then fails. */
static void *meagre_get(void *ctx, size_t size) {
    int *left = ctx;
    return (*left)-- > 0 ? calloc(1, size) : NULL;
}

static void meagre_put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

static void lack_of_memory_is_reported(void **state) {
    (void)state;
    enum bk_err e = BK_ERR_NO_MEMORY;
    for (int given = 0; e != BK_OK; given++) {
        int left = given;
        struct quic *q = NULL;
        struct quic_config c = pair.config[CLIENT];
        c.alloc = (struct bk_alloc){meagre_get, meagre_put, &left};
        e = quic_new(&c, pair.now, &q);
        assert_true(e == BK_OK || e == BK_ERR_NO_MEMORY);
        quic_free(q);
        assert_true(given < 20);
    }
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(handshake_takes_one_round_trip),
        CASE(handshake_survives_loss),
        CASE(quic_bit_is_always_set),
        CASE(client_refuses_wrong_server),
        CASE(server_refuses_wrong_client),
        CASE(first_packet_without_binding_is_ignored),
        CASE(close_carries_code_and_reason),
        CASE(close_in_the_turn_of_the_handshake_is_understood),
        CASE(close_in_the_turn_of_the_handshake_survives_loss),
        CASE(close_carries_code_and_reason),
        CASE(lost_close_is_repeated),
        CASE(close_before_anything_arrived),
        CASE(silence_ends_in_timeout),
        CASE(keep_alive_prevents_it),
        CASE(datagrams_cross_both_ways),
        CASE(datagram_queues_are_bounded),
        CASE(datagram_too_long_for_the_path_does_not_block),
        CASE(junk_is_dropped_and_counted),
        CASE(forged_first_packet_does_not_stop_the_real_one),
        CASE(forged_packets_prove_nothing),
        CASE(nudge_during_the_handshake_leaves_the_rtt_alone),
        CASE(trains_are_taken_apart),
        CASE(bad_configurations_are_refused),
        CASE(lack_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
