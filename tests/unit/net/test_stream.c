/* SPDX-License-Identifier: MIT
 * Streams over loopback, plain and TLS: one listener, one client, a script of callbacks. */
#define _GNU_SOURCE
#include "../test.h"
#include "net/alloc.h"
#include "net/loop_private.h"
#include "net/metacert.h"
#include "net/stream.h"
#include <stdio.h>
#include <unistd.h>

enum { BIG = 3 << 20 };

struct side {
    struct net_stream *s;
    size_t got, sent, to_send; /* bytes; to_send is written as room allows */
    uint32_t sum_in, sum_out;
    bool opened, ended, closed, echo, shut_when_sent, full_seen;
    bool asks_for_room; /* writes what fits instead of waiting for BK_ERR_FULL */
    enum bk_err err;
    char reason[NET_REASON_MAX];
};

static struct net_loop *loop;
static struct net_listener *listener;
static struct side client, server;
static char state_dir[64];

static void on_late(void *ctx, struct bk_time now) {
    (void)ctx;
    (void)now;
    fail_msg("not over after 100 s: client opened %d closed %d got %zu, server got %zu",
             client.opened, client.closed, client.got, server.got);
}

static void run(void) {
    struct net_timer limit;
    net_timer_init(&limit, loop, on_late, NULL);
    net_timer_set(&limit, bk_after(net_clock(), 100 * BK_US_PER_S));
    net_loop_run(loop);
    net_timer_set(&limit, BK_NEVER);
}

static uint32_t mix(uint32_t sum, const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + data[i];
    return sum;
}

/* Writes as much as there is room for, a thousand odd bytes at a time. */
static void pump(struct side *side) {
    static uint8_t piece[1777];
    while (side->sent < side->to_send) {
        size_t n = side->to_send - side->sent;
        n = n < sizeof piece ? n : sizeof piece;
        if (side->asks_for_room && net_stream_room(side->s) < n)
            n = net_stream_room(side->s);
        if (n == 0)
            return;
        for (size_t i = 0; i < n; i++)
            piece[i] = (uint8_t)((side->sent + i) * 7 >> 3);
        enum bk_err err = net_stream_write(side->s, piece, n);
        if (err == BK_ERR_FULL) {
            side->full_seen = true;
            return;
        }
        assert_int_equal(err, BK_OK);
        side->sum_out = mix(side->sum_out, piece, n);
        side->sent += n;
    }
    if (side->shut_when_sent)
        net_stream_shutdown(side->s);
}

static void on_open(void *ctx) {
    struct side *side = ctx;
    side->opened = true;
    pump(side);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct side *side = ctx;
    side->got += len;
    side->sum_in = mix(side->sum_in, data, len);
    if (side->echo)
        assert_int_equal(net_stream_write(side->s, data, len), BK_OK);
}

static void on_eof(void *ctx) {
    struct side *side = ctx;
    side->ended = true;
    side->shut_when_sent = true;
    pump(side); /* what is still to be sent can be sent */
}

static void on_room(void *ctx) {
    pump(ctx);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct side *side = ctx;
    side->closed = true;
    side->err = err;
    side->s = NULL;
    snprintf(side->reason, sizeof side->reason, "%s", reason);
    if (client.closed && (server.closed || server.s == NULL))
        net_loop_stop(loop);
}

static const struct net_stream_events events = {on_open, on_bytes, on_eof, on_room, on_close};

static void on_accept(void *ctx, struct net_stream *s) {
    (void)ctx;
    server.s = s;
    net_stream_adopt(s, &events, &server);
}

static void begin(struct net_tls *server_tls) {
    struct net_listener_config config = net_listener_config_default;
    const struct net_listener_events accepted = {on_accept, NULL};
    struct bk_addr bind;
    client = server = (struct side){.s = NULL};
    config.stream.tls = server_tls;
    assert_int_equal(bk_addr_parse("127.0.0.1:0", &bind), BK_OK);
    assert_int_equal(net_loop_new(net_alloc(), &loop), BK_OK);
    assert_int_equal(net_listener_open(loop, &bind, &config, &accepted, &listener), BK_OK);
}

static void dial(struct net_tls *tls) {
    struct net_stream_config config = net_stream_config_default;
    config.tls = tls;
    assert_int_equal(net_stream_connect(loop, "localhost", net_listener_local(listener).port,
                                        &config, &events, &client, &client.s),
                     BK_OK);
}

static void end(void) {
    net_stream_close(client.s);
    net_stream_close(server.s);
    net_listener_close(listener);
    net_loop_free(loop);
}

static struct net_tls *make_server_tls(void) {
    struct net_tls *tls;
    char reason[NET_REASON_MAX];
    const struct net_tls_server_config config = {.state_dir = state_dir, .name = "localhost"};
    assert_int_equal(net_tls_server_new(&config, &tls, reason), BK_OK);
    assert_true(net_tls_is_self_signed(tls));
    return tls;
}

static struct net_tls *make_pinned(const uint8_t *pin) {
    struct net_tls_client_config config = net_tls_client_config_default;
    struct net_tls *tls;
    config.verify_name = false;
    config.pin = pin;
    assert_int_equal(net_tls_client_new(&config, &tls, NULL), BK_OK);
    return tls;
}

static void exchange_and_half_close(struct net_tls *server_tls, struct net_tls *client_tls) {
    begin(server_tls);
    dial(client_tls);
    client.to_send = BIG;
    client.shut_when_sent = true;
    server.to_send = BIG / 2;
    run();
    assert_true(client.opened && server.opened && client.ended && server.ended);
    assert_true(client.full_seen); /* the buffer was smaller than the load: backpressure worked */
    assert_int_equal(server.got, BIG);
    assert_int_equal(client.got, BIG / 2);
    assert_int_equal(client.sum_in, server.sum_out);
    assert_int_equal(server.sum_in, client.sum_out);
    assert_int_equal(client.err, BK_OK);
    assert_int_equal(server.err, BK_OK);
    end();
}

static void plain_streams_carry_bytes_and_half_close(void **state) {
    (void)state;
    exchange_and_half_close(NULL, NULL);
}

static void tls_streams_carry_bytes_and_half_close(void **state) {
    struct net_tls *server_tls = make_server_tls(), *pinned = make_pinned(net_tls_pin(server_tls));
    (void)state;
    exchange_and_half_close(server_tls, pinned);
    net_tls_unref(pinned);
    net_tls_unref(server_tls);
}

static void a_wrong_pin_is_refused(void **state) {
    uint8_t pin[NET_PIN_LEN];
    struct net_tls *server_tls = make_server_tls();
    (void)state;
    memcpy(pin, net_tls_pin(server_tls), sizeof pin);
    pin[31] ^= 1;
    struct net_tls *pinned = make_pinned(pin);
    begin(server_tls);
    dial(pinned);
    run();
    assert_false(client.opened);
    assert_int_equal(client.err, BK_ERR_AUTH);
    assert_non_null(strstr(client.reason, "pin"));
    end();
    net_tls_unref(pinned);
    net_tls_unref(server_tls);
}

static void a_self_signed_certificate_is_no_ca_certificate(void **state) {
    struct net_tls *server_tls = make_server_tls(), *tls;
    char reason[NET_REASON_MAX] = "";
    struct net_tls_client_config config = net_tls_client_config_default;
    char ca[sizeof state_dir + 16];
    (void)state;
    snprintf(ca, sizeof ca, "%s/tls.pem", state_dir);
    config.ca_file = ca; /* trusted: then only the name decides */
    assert_int_equal(net_tls_client_new(&config, &tls, reason), BK_OK);
    begin(server_tls);
    dial(tls);
    client.to_send = 5;
    client.shut_when_sent = true;
    run();
    assert_true(client.opened);
    end();
    net_tls_unref(tls);
    config = net_tls_client_config_default;
    if (net_tls_client_new(&config, &tls, reason) == BK_OK) { /* a machine with system CAs */
        begin(server_tls);
        dial(tls);
        run();
        assert_false(client.opened);
        assert_int_equal(client.err, BK_ERR_AUTH);
        end();
        net_tls_unref(tls);
    }
    net_tls_unref(server_tls);
}

/* The extra certificate at the end of the chain must not disturb clients that verify by CA, and
 * must be found, also after a renewal from memory. */
static void a_metacert_is_found_and_disturbs_nobody(void **state) {
    static const uint8_t key[32] = {1, 2, 3, 4};
    gnutls_datum_t der;
    char reason[NET_REASON_MAX] = "", ca[sizeof state_dir + 16];
    struct net_tls *first, *renewed, *tls;
    uint8_t found[32];
    (void)state;
    assert_int_equal(net_metacert_make(key, 1700000000, &der), BK_OK);
    const struct net_tls_server_config config = {.state_dir = state_dir,
                                                 .name = "localhost",
                                                 .metacert = der.data,
                                                 .metacert_len = der.size};
    assert_int_equal(net_tls_server_new(&config, &first, reason), BK_OK);
    assert_int_equal(net_tls_server_renew(first, der.data, der.size, &renewed), BK_OK);
    assert_memory_equal(net_tls_pin(first), net_tls_pin(renewed), NET_PIN_LEN);
    snprintf(ca, sizeof ca, "%s/tls.pem", state_dir);
    struct net_tls_client_config expected = net_tls_client_config_default;
    expected.ca_file = ca;
    expected.pin = net_tls_pin(first);
    assert_int_equal(net_tls_client_new(&expected, &tls, reason), BK_OK);
    begin(renewed);
    dial(tls);
    while (!client.opened && !client.closed)
        net_loop_turn(loop);
    assert_true(client.opened);
    assert_int_equal(net_stream_tls_version(client.s), 13);
    assert_int_equal(net_stream_relay_key(client.s, found), BK_OK);
    assert_memory_equal(found, key, sizeof key);
    end();
    net_tls_unref(tls);
    net_tls_unref(renewed);
    net_tls_unref(first);
    gnutls_free(der.data);
}

static void the_certificate_survives_a_restart(void **state) {
    struct net_tls *first = make_server_tls(), *second = make_server_tls();
    (void)state;
    assert_memory_equal(net_tls_pin(first), net_tls_pin(second), NET_PIN_LEN);
    net_tls_unref(first);
    net_tls_unref(second);
}

static void pins_are_written_and_read(void **state) {
    uint8_t pin[NET_PIN_LEN], again[NET_PIN_LEN];
    char text[NET_PIN_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof pin; i++)
        pin[i] = (uint8_t)(i * 53 + 251);
    net_pin_format(pin, text);
    assert_int_equal(strlen(text), 43);
    assert_null(strpbrk(text, "+/="));
    assert_int_equal(net_pin_parse(text, 43, again), BK_OK);
    assert_memory_equal(pin, again, sizeof pin);
    assert_int_equal(net_pin_parse(text, 42, again), BK_ERR_MALFORMED);
    text[3] = '+';
    assert_int_equal(net_pin_parse(text, 43, again), BK_ERR_MALFORMED);
}

static void a_closed_port_is_told_as_refused(void **state) {
    (void)state;
    begin(NULL);
    struct bk_addr to = net_listener_local(listener);
    net_listener_close(listener);
    listener = NULL;
    assert_int_equal(
        net_stream_connect_addr(loop, &to, &net_stream_config_default, &events, &client, &client.s),
        BK_OK);
    run();
    assert_int_equal(client.err, BK_ERR_REFUSED);
    end();
}

static void a_silent_server_times_out(void **state) {
    struct net_tls *server_tls = make_server_tls(), *pinned = make_pinned(net_tls_pin(server_tls));
    struct net_stream_config config = net_stream_config_default;
    (void)state;
    begin(NULL); /* it speaks no TLS, and says nothing */
    config.tls = pinned;
    config.open_timeout_us = 50000;
    assert_int_equal(net_stream_connect(loop, "127.0.0.1", net_listener_local(listener).port,
                                        &config, &events, &client, &client.s),
                     BK_OK);
    server.echo = false;
    run();
    assert_int_equal(client.err, BK_ERR_TIMEOUT);
    end();
    net_tls_unref(pinned);
    net_tls_unref(server_tls);
}

static struct net_timer resume_timer;

static void on_resume(void *ctx, struct bk_time now) {
    struct side *side = ctx;
    (void)now;
    assert_int_equal(side->got, 0);
    net_stream_resume(side->s);
}

static void on_open_paused(void *ctx) {
    struct side *side = ctx;
    net_stream_pause(side->s);
    net_timer_set(&resume_timer, bk_after(net_clock(), 100000));
}

static void on_accept_paused(void *ctx, struct net_stream *s) {
    static const struct net_stream_events paused = {on_open_paused, on_bytes, on_eof, NULL,
                                                    on_close};
    (void)ctx;
    server.s = s;
    net_stream_adopt(s, &paused, &server);
}

static void a_paused_stream_delivers_nothing_and_loses_nothing(void **state) {
    struct net_tls *server_tls = make_server_tls(), *pinned = make_pinned(net_tls_pin(server_tls));
    const struct net_listener_events accepted = {on_accept_paused, NULL};
    struct net_listener_config config = net_listener_config_default;
    struct bk_addr bind;
    (void)state;
    begin(NULL);
    net_listener_close(listener);
    config.stream.tls = server_tls;
    assert_int_equal(bk_addr_parse("127.0.0.1:0", &bind), BK_OK);
    assert_int_equal(net_listener_open(loop, &bind, &config, &accepted, &listener), BK_OK);
    net_timer_init(&resume_timer, loop, on_resume, &server);
    dial(pinned);
    client.to_send = BIG;
    client.shut_when_sent = true;
    run();
    assert_int_equal(server.got, BIG);
    assert_int_equal(server.sum_in, client.sum_out);
    end();
    net_tls_unref(pinned);
    net_tls_unref(server_tls);
}

static void who_fills_the_room_is_told_of_more(void **state) {
    (void)state;
    begin(NULL);
    dial(NULL);
    client.to_send = BIG;
    client.asks_for_room = client.shut_when_sent = true;
    run();
    assert_false(client.full_seen);
    assert_int_equal(server.got, BIG);
    assert_int_equal(server.sum_in, client.sum_out);
    end();
}

enum { HUGE = 12 << 20 }; /* more than the kernel keeps for a reader that does not read */

static unsigned turns;
static bool counting;
static struct net_timer quiet;

static void on_prepare(uv_prepare_t *prepare) {
    (void)prepare;
    if (counting) {
        turns++;
    } else if (server.got == HUGE) {
        counting = true;
        net_timer_set(&quiet, bk_after(net_clock(), 100000));
    }
}

static void on_quiet(void *ctx, struct bk_time now) {
    (void)ctx, (void)now;
    net_loop_stop(loop);
}

/* Once all that was held up has left, nothing wakes the loop any more. */
static void a_stream_that_was_blocked_sleeps_again(void **state) {
    const struct net_listener_events accepted = {on_accept_paused, NULL};
    struct bk_addr bind;
    uv_prepare_t prepare;
    (void)state;
    begin(NULL);
    net_listener_close(listener);
    assert_int_equal(bk_addr_parse("127.0.0.1:0", &bind), BK_OK);
    assert_int_equal(
        net_listener_open(loop, &bind, &net_listener_config_default, &accepted, &listener), BK_OK);
    net_timer_init(&resume_timer, loop, on_resume, &server);
    net_timer_init(&quiet, loop, on_quiet, NULL);
    uv_prepare_init(loop->uv, &prepare);
    uv_prepare_start(&prepare, on_prepare);
    counting = false;
    turns = 0;
    dial(NULL);
    client.to_send = HUGE;
    run();
    assert_true(client.full_seen);
    assert_true(turns < 100); /* a loop that spins makes thousands */
    uv_close((uv_handle_t *)&prepare, NULL);
    end();
}

static void on_bytes_finish(void *ctx, const uint8_t *data, size_t len) {
    struct side *side = ctx;
    (void)data;
    (void)len;
    static uint8_t bulk[200000];
    assert_int_equal(net_stream_write(side->s, bulk, sizeof bulk), BK_OK);
    net_stream_finish(side->s, BK_US_PER_S);
    side->s = NULL;
}

static void on_accept_finish(void *ctx, struct net_stream *s) {
    static const struct net_stream_events finishing = {NULL, on_bytes_finish, NULL, NULL, on_close};
    (void)ctx;
    server.s = s;
    net_stream_adopt(s, &finishing, &server);
}

static void finishing_sends_what_was_written(void **state) {
    const struct net_listener_events accepted = {on_accept_finish, NULL};
    struct bk_addr bind;
    (void)state;
    begin(NULL);
    net_listener_close(listener);
    assert_int_equal(bk_addr_parse("127.0.0.1:0", &bind), BK_OK);
    assert_int_equal(
        net_listener_open(loop, &bind, &net_listener_config_default, &accepted, &listener), BK_OK);
    dial(NULL);
    client.to_send = 1;
    run();
    assert_int_equal(client.got, 200000);
    assert_true(client.ended);
    assert_false(server.closed); /* no callback after net_stream_finish() */
    end();
}

static int make_state_dir(void **state) {
    (void)state;
    strcpy(state_dir, "/tmp/bodkin-test-XXXXXX");
    return mkdtemp(state_dir) == NULL ? -1 : 0;
}

static int remove_state_dir(void **state) {
    char path[sizeof state_dir + 16];
    (void)state;
    snprintf(path, sizeof path, "%s/tls.pem", state_dir);
    unlink(path);
    return rmdir(state_dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_streams_carry_bytes_and_half_close),
        cmocka_unit_test(tls_streams_carry_bytes_and_half_close),
        cmocka_unit_test(a_wrong_pin_is_refused),
        cmocka_unit_test(a_self_signed_certificate_is_no_ca_certificate),
        cmocka_unit_test(a_metacert_is_found_and_disturbs_nobody),
        cmocka_unit_test(the_certificate_survives_a_restart),
        cmocka_unit_test(pins_are_written_and_read),
        cmocka_unit_test(a_closed_port_is_told_as_refused),
        cmocka_unit_test(a_silent_server_times_out),
        cmocka_unit_test(a_paused_stream_delivers_nothing_and_loses_nothing),
        cmocka_unit_test(who_fills_the_room_is_told_of_more),
        cmocka_unit_test(a_stream_that_was_blocked_sleeps_again),
        cmocka_unit_test(finishing_sends_what_was_written),
    };
    return cmocka_run_group_tests(tests, make_state_dir, remove_state_dir);
}
