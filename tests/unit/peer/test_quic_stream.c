/* SPDX-License-Identifier: MIT
 * Streams: bulk both ways over good and bad links, ends, limits, silence and nudge. */
#include "quic_pair.h"

static uint8_t pattern(uint64_t at, int from) {
    return (uint8_t)(at * 31 + (at >> 11) + (uint64_t)from * 97);
}

/* One end's user: writes `total` patterned bytes, then the end; reads and checks the other's. */
struct user {
    int me;
    int64_t id; /* -1: opened by the other side */
    uint64_t total, written, read;
    bool finished, at_end, closed;
    bool lazy; /* does not read */
};

static void user_write(struct user *u) {
    static uint8_t bytes[8192];
    while (u->written < u->total) {
        size_t n = sizeof bytes;
        if (n > u->total - u->written)
            n = (size_t)(u->total - u->written);
        for (size_t i = 0; i < n; i++)
            bytes[i] = pattern(u->written + i, u->me);
        size_t took = quic_stream_write(pair.end[u->me], u->id, bytes, n);
        u->written += took;
        if (took < n)
            return;
    }
    if (!u->finished)
        assert_int_equal(quic_stream_finish(pair.end[u->me], u->id), BK_OK);
    u->finished = true;
}

static void user_read(struct user *u) {
    const uint8_t *data = NULL;
    size_t len = 0;
    while (!u->lazy && !u->at_end && quic_stream_peek(pair.end[u->me], u->id, &data, &len)) {
        for (size_t i = 0; i < len; i++)
            if (data[i] != pattern(u->read + i, !u->me))
                fail_msg("byte %llu is wrong", (unsigned long long)(u->read + i));
        u->read += len;
        u->at_end = len == 0;
        quic_stream_consume(pair.end[u->me], u->id, len);
    }
}

static void user_serve(struct user *u) {
    struct quic_event ev;
    while (quic_next_event(pair.end[u->me], &ev)) {
        if (ev.type == QUIC_STREAM_OPENED && u->id < 0)
            u->id = ev.stream;
        if (ev.type == QUIC_STREAM_CLOSED && ev.stream == u->id)
            u->closed = true;
        assert_int_not_equal(ev.type, QUIC_CLOSED);
    }
    if (u->id < 0 || u->closed)
        return;
    user_read(u);
    user_write(u);
}

static bool users_run(struct user u[2], int64_t ms) {
    struct bk_time until = bk_after(pair.now, ms * BK_US_PER_MS);
    do {
        user_serve(&u[0]);
        user_serve(&u[1]);
    } while (!(u[0].closed && u[1].closed) && pair_step(&pair, until));
    return u[0].closed && u[1].closed;
}

static void users_start(struct user u[2], uint64_t up, uint64_t down) {
    memset(u, 0, 2 * sizeof *u);
    u[CLIENT] = (struct user){.me = CLIENT, .id = -1, .total = up};
    u[SERVER] = (struct user){.me = SERVER, .id = -1, .total = down};
    assert_int_equal(quic_stream_open(pair.end[CLIENT], &u[CLIENT].id), BK_OK);
}

static void bulk(uint64_t seed, uint32_t loss_permille, uint32_t jitter_us) {
    struct user u[2];
    struct quic_stats stats;
    pair_fini(&pair);
    pair_init(&pair, seed);
    pair_connect(&pair);
    pair.loss_permille = loss_permille;
    pair.jitter_us = jitter_us;
    users_start(u, 10000000, 10000000);
    assert_true(users_run(u, 600000));
    assert_int_equal(u[0].read, 10000000);
    assert_int_equal(u[1].read, 10000000);
    assert_true(u[0].at_end && u[1].at_end);
    quic_stats(pair.end[CLIENT], &stats);
    assert_int_equal(stats.stream_bytes_acked, 10000000);
    assert_int_equal(stats.buffered_send, 0);
    assert_int_equal(stats.buffered_receive, 0);
    assert_int_equal(stats.streams_open, 0);
    assert_true(loss_permille == 0 || stats.packets_lost > 0);
    assert_true(loss_permille + jitter_us > 0 || stats.packets_lost == 0);
}

static void ten_megabytes_both_ways(void **state) {
    (void)state;
    bulk(1, 0, 0);
}

static void ten_megabytes_with_loss(void **state) {
    (void)state;
    bulk(2, 20, 0);
}

static void ten_megabytes_with_reordering(void **state) {
    (void)state;
    bulk(3, 0, 3000);
}

static void ten_megabytes_with_loss_and_reordering(void **state) {
    (void)state;
    bulk(4, 20, 3000);
}

/* The client finishes at once; the server still sends, as `ssh host cat` does. */
static void half_close_leaves_the_other_half_open(void **state) {
    (void)state;
    struct user u[2];
    pair_connect(&pair);
    users_start(u, 0, 300000);
    assert_true(users_run(u, 10000));
    assert_int_equal(u[CLIENT].read, 300000);
    assert_true(u[SERVER].at_end);
}

static void reader_that_sleeps_stops_the_writer(void **state) {
    (void)state;
    struct user u[2];
    struct quic_stats stats;
    pair_connect(&pair);
    users_start(u, 100000000, 0);
    u[SERVER].lazy = true;
    assert_false(users_run(u, 20000));
    quic_stats(pair.end[SERVER], &stats);
    assert_true(stats.buffered_receive <= pair.config[SERVER].stream_window_max);
    assert_true(stats.buffered_receive >= 1 << 20);
    quic_stats(pair.end[CLIENT], &stats);
    assert_true(stats.buffered_send <= pair.config[CLIENT].stream_unsent_max);
    u[SERVER].lazy = false;
    u[CLIENT].total = u[CLIENT].written; /* enough: let it end */
    assert_true(users_run(u, 60000));
    assert_int_equal(u[SERVER].read, u[CLIENT].written);
}

static void path_that_shrinks_is_obeyed(void **state) {
    (void)state;
    struct user u[2];
    pair_connect(&pair);
    users_start(u, 5000000, 5000000);
    pair.loss_permille = 10;
    assert_false(users_run(u, 200));
    assert_int_equal(pair.largest, QUIC_PAYLOAD_MAX);
    pair.payload_max = 1200; /* pair_carry() fails the test on anything longer */
    pair.largest = 0;
    while (pair.count > 0) /* what was under way at the old size is lost, so it must be cut anew */
        free(pair_pop(&pair));
    assert_true(users_run(u, 120000));
    assert_int_equal(pair.largest, 1200);
    assert_int_equal(u[0].read, 5000000);
    assert_int_equal(u[1].read, 5000000);
}

static void a_thousand_streams_one_after_another(void **state) {
    (void)state;
    pair_connect(&pair);
    for (int i = 0; i < 1000; i++) {
        struct user u[2];
        users_start(u, (uint64_t)i % 50 * 100, (uint64_t)i % 7 * 300);
        assert_true(users_run(u, 5000));
        assert_int_equal(u[SERVER].read, u[CLIENT].total);
        assert_int_equal(u[CLIENT].read, u[SERVER].total);
    }
}

static void too_many_streams_are_refused_then_allowed(void **state) {
    (void)state;
    int64_t id[9];
    struct quic_event ev;
    pair.config[SERVER].streams_max = 4; /* the server allows the client four at a time */
    pair_connect(&pair);
    for (int i = 0; i < 4; i++)
        assert_int_equal(quic_stream_open(pair.end[CLIENT], &id[i]), BK_OK);
    assert_int_equal(quic_stream_open(pair.end[CLIENT], &id[4]), BK_ERR_FULL);
    for (int end = 0; end < 2; end++) {
        assert_int_equal(quic_stream_finish(pair.end[CLIENT], id[0]), BK_OK);
        if (end == 0)
            assert_true(pair_wait(&pair, SERVER, QUIC_STREAM_OPENED, 100, &ev));
    }
    assert_int_equal(quic_stream_finish(pair.end[SERVER], id[0]), BK_OK);
    assert_true(pair_wait(&pair, SERVER, QUIC_STREAM_CLOSED, 500, &ev));
    assert_true(pair_wait(&pair, CLIENT, QUIC_STREAMS_ALLOWED, 500, &ev));
    assert_int_equal(quic_stream_open(pair.end[CLIENT], &id[4]), BK_OK);
}

static void many_streams_at_once_share_the_link(void **state) {
    (void)state;
    enum { MANY = 100 };
    int64_t id[MANY];
    uint64_t got[MANY] = {0};
    static uint8_t bytes[50000];
    pair.loss_permille = 0;
    pair_connect(&pair);
    pair.loss_permille = 10;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(quic_stream_open(pair.end[CLIENT], &id[i]), BK_OK);
        assert_int_equal(quic_stream_write(pair.end[CLIENT], id[i], bytes, sizeof bytes),
                         sizeof bytes);
        assert_int_equal(quic_stream_finish(pair.end[CLIENT], id[i]), BK_OK);
    }
    int ended = 0;
    struct bk_time until = bk_after(pair.now, 60 * BK_US_PER_S);
    while (ended < MANY && pair_step(&pair, until)) {
        struct quic_event ev;
        while (quic_next_event(pair.end[SERVER], &ev)) {
            const uint8_t *data = NULL;
            size_t len = 0;
            int i = (int)(ev.stream / 4);
            while (ev.type == QUIC_STREAM_READABLE &&
                   quic_stream_peek(pair.end[SERVER], ev.stream, &data, &len)) {
                got[i] += len;
                quic_stream_consume(pair.end[SERVER], ev.stream, len);
                ended += len == 0;
                if (len == 0)
                    break;
            }
        }
    }
    assert_int_equal(ended, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(got[i], sizeof bytes);
}

static void stop_reaches_the_other_side(void **state) {
    (void)state;
    int64_t id = -1;
    struct quic_event ev;
    static uint8_t bytes[100000];
    pair_connect(&pair);
    assert_int_equal(quic_stream_open(pair.end[CLIENT], &id), BK_OK);
    assert_int_equal(quic_stream_write(pair.end[CLIENT], id, bytes, 1), 1);
    assert_true(pair_wait(&pair, SERVER, QUIC_STREAM_OPENED, 500, &ev));
    assert_int_equal(quic_stream_write(pair.end[SERVER], id, bytes, sizeof bytes), sizeof bytes);
    assert_true(pair_wait(&pair, CLIENT, QUIC_STREAM_READABLE, 500, &ev));
    quic_stream_stop(pair.end[CLIENT], id, 42);
    pair_run(&pair, 500);
    assert_false(quic_next_event(pair.end[CLIENT], &ev)); /* our own stop is no news to us */
    (void)quic_stream_write(pair.end[SERVER], id, bytes, 1000);
    assert_true(pair_wait(&pair, SERVER, QUIC_STREAM_STOPPED, 500, &ev));
    assert_int_equal(ev.stream, id);
    assert_int_equal(quic_stream_write(pair.end[SERVER], id, bytes, 1), 0);
    assert_int_equal(quic_stream_finish(pair.end[SERVER], id), BK_ERR_STATE);
    assert_int_equal(quic_stream_write(pair.end[CLIENT], id, bytes, 7), 7); /* ours still works */
    assert_int_equal(quic_stream_finish(pair.end[CLIENT], id), BK_OK);
    pair_run(&pair, 100);
    const uint8_t *data = NULL;
    size_t len = 0;
    assert_true(quic_stream_peek(pair.end[SERVER], id, &data, &len));
    assert_int_equal(len, 8);
}

static void reset_and_stop_end_a_stream(void **state) {
    (void)state;
    int64_t id = -1;
    struct quic_event ev;
    static uint8_t bytes[200000];
    pair_connect(&pair);
    assert_int_equal(quic_stream_open(pair.end[CLIENT], &id), BK_OK);
    assert_int_equal(quic_stream_write(pair.end[CLIENT], id, bytes, sizeof bytes), sizeof bytes);
    assert_true(pair_wait(&pair, SERVER, QUIC_STREAM_READABLE, 100, &ev));
    quic_stream_reset(pair.end[CLIENT], id, 41);
    assert_true(pair_wait(&pair, SERVER, QUIC_STREAM_RESET, 500, &ev));
    assert_int_equal(ev.code, 41);
    const uint8_t *data = NULL;
    size_t len = 0;
    assert_false(quic_stream_peek(pair.end[SERVER], id, &data, &len));

    quic_stream_stop(pair.end[CLIENT], id, 42);
    assert_true(pair_wait(&pair, SERVER, QUIC_STREAM_CLOSED, 1000, &ev));
    assert_true(pair_wait(&pair, CLIENT, QUIC_STREAM_CLOSED, 1000, &ev));
    struct quic_stats stats;
    for (int i = 0; i < 2; i++) {
        quic_stats(pair.end[i], &stats);
        assert_int_equal(stats.streams_open, 0);
        assert_int_equal(stats.buffered_send, 0);
        assert_int_equal(stats.buffered_receive, 0);
    }
}

/* Unread bytes of abandoned streams must give their connection credit back. */
static void abandoned_streams_do_not_eat_the_window(void **state) {
    (void)state;
    static uint8_t bytes[1000000];
    struct quic_event ev;
    pair_connect(&pair);
    for (int i = 0; i < 40; i++) {
        int64_t id = -1;
        assert_int_equal(quic_stream_open(pair.end[CLIENT], &id), BK_OK);
        assert_int_equal(quic_stream_write(pair.end[CLIENT], id, bytes, sizeof bytes),
                         sizeof bytes);
        assert_true(pair_wait(&pair, SERVER, QUIC_STREAM_READABLE, 2000, &ev));
        pair_run(&pair, 200);
        quic_stream_stop(pair.end[SERVER], id, 1);
        quic_stream_reset(pair.end[SERVER], id, 1);
        pair_run(&pair, 200);
        quic_stream_stop(pair.end[CLIENT], id, 1);
        quic_stream_reset(pair.end[CLIENT], id, 1);
        assert_true(pair_wait(&pair, CLIENT, QUIC_STREAM_CLOSED, 2000, &ev));
    }
    struct user u[2];
    while (quic_next_event(pair.end[SERVER], &ev)) {}
    users_start(u, 3000000, 0);
    assert_true(users_run(u, 10000));
}

static void server_may_speak_first(void **state) {
    (void)state;
    struct quic_event ev;
    int64_t id = -1;
    pair.config[SERVER].early_server_data = true;
    pair_start(&pair);
    struct bk_time begin = pair.now;
    while (quic_stream_open(pair.end[SERVER], &id) == BK_ERR_STATE)
        assert_true(pair_step(&pair, BK_NEVER));
    assert_false(quic_is_established(pair.end[SERVER]));
    assert_int_equal(quic_stream_write(pair.end[SERVER], id, "welcome", 7), 7);
    assert_true(pair_wait(&pair, CLIENT, QUIC_STREAM_READABLE, 100, &ev));
    assert_int_equal(bk_elapsed_us(begin, pair.now), 2 * pair.delay_us);
}

static void nobody_speaks_before_the_handshake(void **state) {
    (void)state;
    int64_t id = -1;
    pair_start(&pair);
    assert_int_equal(quic_stream_open(pair.end[CLIENT], &id), BK_ERR_STATE);
    assert_int_equal(quic_stream_open(pair.end[SERVER], &id), BK_ERR_STATE);
    assert_int_equal(quic_datagram_send(pair.end[CLIENT], "x", 1), BK_ERR_STATE);
    pair_run(&pair, 10);
    assert_int_equal(quic_stream_open(pair.end[SERVER], &id), BK_ERR_STATE);
}

/* A bulk transfer `sender` -> other; silence of `silence_ms`; returns how long after the link came
 * back the first new byte arrived. */
static int64_t recovery_us(int sender, int64_t silence_ms, bool nudge) {
    struct user u[2];
    pair_fini(&pair);
    pair_init(&pair, 5);
    pair.delay_us = 20000;
    pair_connect(&pair);
    users_start(u, sender == CLIENT ? 200000000 : 0, sender == SERVER ? 200000000 : 0);
    (void)users_run(u, 300);
    pair.silent = true;
    (void)users_run(u, silence_ms);
    pair.silent = false;
    uint64_t before = u[!sender].read;
    struct bk_time begin = pair.now;
    if (nudge)
        quic_nudge(pair.end[sender], pair.now);
    while (u[!sender].read == before)
        (void)users_run(u, 1);
    int64_t first = bk_elapsed_us(begin, pair.now);
    (void)users_run(u, 200);
    assert_true(u[!sender].read > before + 200000); /* and it flows, not just trickles */
    return first;
}

static void nudge_restarts_a_silent_connection_in_a_round_trip(void **state) {
    (void)state;
    static const int64_t silences_ms[] = {300, 5000};
    for (int sender = 0; sender < 2; sender++)
        for (size_t i = 0; i < sizeof silences_ms / sizeof silences_ms[0]; i++) {
            int64_t with = recovery_us(sender, silences_ms[i], true);
            int64_t without = recovery_us(sender, silences_ms[i], false);
            print_message("silence %lld ms: data again after %.1f ms, %.1f ms without nudge\n",
                          (long long)silences_ms[i], (double)with / 1000, (double)without / 1000);
            assert_true(with <=
                        65000); /* a round trip of 40 ms for the probe, then 20 ms for the data */
        }
    assert_true(recovery_us(CLIENT, 5000, false) > 500000); /* the nudge is worth having */
}

static void nudge_without_need_is_harmless(void **state) {
    (void)state;
    struct user u[2];
    pair_connect(&pair);
    quic_nudge(pair.end[CLIENT], pair.now);
    pair_run(&pair, 1000);
    quic_nudge(pair.end[CLIENT], pair.now);
    users_start(u, 5000000, 5000000);
    for (int i = 0; i < 200; i++) {
        (void)users_run(u, 5);
        quic_nudge(pair.end[i % 2], pair.now);
    }
    assert_true(users_run(u, 60000));
    struct quic_stats stats;
    quic_stats(pair.end[CLIENT], &stats);
    assert_in_range(stats.srtt_us, 19000, 50000);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(ten_megabytes_both_ways),
        CASE(ten_megabytes_with_loss),
        CASE(ten_megabytes_with_reordering),
        CASE(ten_megabytes_with_loss_and_reordering),
        CASE(half_close_leaves_the_other_half_open),
        CASE(reader_that_sleeps_stops_the_writer),
        CASE(path_that_shrinks_is_obeyed),
        CASE(a_thousand_streams_one_after_another),
        CASE(too_many_streams_are_refused_then_allowed),
        CASE(many_streams_at_once_share_the_link),
        CASE(stop_reaches_the_other_side),
        CASE(reset_and_stop_end_a_stream),
        CASE(abandoned_streams_do_not_eat_the_window),
        CASE(server_may_speak_first),
        CASE(nobody_speaks_before_the_handshake),
        CASE(nudge_restarts_a_silent_connection_in_a_round_trip),
        CASE(nudge_without_need_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
