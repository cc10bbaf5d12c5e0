/* SPDX-License-Identifier: MIT
 * Connections from a port of our choice. */
#define _GNU_SOURCE
#include "../test.h"
#include "net/alloc.h"
#include "net/stream.h"

enum { SERVERS = 2 };

static struct net_loop *loop;
static struct net_stream *clients[SERVERS], *accepted[SERVERS];
static size_t open_count, accepted_count;

static void on_late(void *ctx, struct bk_time now) {
    (void)ctx;
    (void)now;
    fail_msg("nothing happened for 10 s");
}

static void stop_when_done(void) {
    if (open_count == SERVERS && accepted_count == SERVERS)
        net_loop_stop(loop);
}

static void on_open(void *ctx) {
    (void)ctx;
    open_count++;
    stop_when_done();
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    (void)ctx;
    (void)data;
    (void)len;
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    (void)ctx;
    fail_msg("closed: %d %s", (int)err, reason);
}

static const struct net_stream_events client_events = {
    .on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};
static const struct net_stream_events server_events = {.on_bytes = on_bytes, .on_close = on_close};

static void on_accept(void *ctx, struct net_stream *s) {
    (void)ctx;
    accepted[accepted_count++] = s;
    net_stream_adopt(s, &server_events, NULL);
    stop_when_done();
}

/* What RFC 5382 section 4.1 is about: one inside endpoint, two outside ones. */
static void two_connections_share_a_port(void **state) {
    (void)state;
    struct net_listener *listeners[SERVERS];
    const struct net_listener_events events = {on_accept, NULL};
    struct net_stream_config config = net_stream_config_default;
    struct bk_addr any = bk_addr(bk_ipv4(127, 0, 0, 1), 0);
    struct net_timer limit;
    assert_int_equal(net_loop_new(net_alloc(), &loop), BK_OK);
    net_timer_init(&limit, loop, on_late, NULL);
    net_timer_set(&limit, bk_after(net_clock(), 10 * BK_US_PER_S));
    config.from = any;
    for (size_t i = 0; i < SERVERS; i++) {
        assert_int_equal(
            net_listener_open(loop, &any, &net_listener_config_default, &events, &listeners[i]),
            BK_OK);
        struct bk_addr to = net_listener_local(listeners[i]);
        assert_int_equal(
            net_stream_connect_addr(loop, &to, &config, &client_events, NULL, &clients[i]), BK_OK);
        if (i == 0) { /* a free port is chosen first, then asked for by number */
            while (open_count == 0)
                net_loop_turn(loop);
            config.from = net_stream_local(clients[0]);
        }
    }
    net_loop_run(loop);
    struct bk_addr first = net_stream_local(clients[0]), second = net_stream_local(clients[1]);
    assert_true(bk_addr_equal(&first, &second));
    assert_int_not_equal(first.port, 0);
    for (size_t i = 0; i < SERVERS; i++) {
        net_stream_close(clients[i]);
        net_stream_close(accepted[i]);
        net_listener_close(listeners[i]);
    }
    net_timer_set(&limit, BK_NEVER);
    net_loop_free(loop);
}

static void on_lent(void *ctx) {
    (void)ctx;
    net_loop_stop(loop);
}

/* RFC 6544 section 4.1: simultaneous open goes from the port that listens. */
static void a_listener_lends_its_port(void **state) {
    static const struct net_stream_events events = {
        .on_open = on_lent, .on_bytes = on_bytes, .on_close = on_close};
    const struct net_listener_events accept_events = {on_accept, NULL};
    struct net_listener_config shared = net_listener_config_default;
    struct net_stream_config config = net_stream_config_default;
    struct net_listener *ours, *theirs;
    struct net_stream *s;
    struct net_timer limit;
    struct bk_addr wildcard = bk_addr(bk_ipv4(0, 0, 0, 0), 0);
    (void)state;
    accepted_count = open_count = 0;
    shared.reuse_port = true;
    assert_int_equal(net_loop_new(net_alloc(), &loop), BK_OK);
    net_timer_init(&limit, loop, on_late, NULL);
    net_timer_set(&limit, bk_after(net_clock(), 10 * BK_US_PER_S));
    assert_int_equal(net_listener_open(loop, &wildcard, &shared, &accept_events, &ours), BK_OK);
    assert_int_equal(net_listener_open(loop, &wildcard, &shared, &accept_events, &theirs), BK_OK);
    struct bk_addr to = bk_addr(bk_ipv4(127, 0, 0, 1), net_listener_local(theirs).port);
    config.from = bk_addr(to.ip, net_listener_local(ours).port);
    assert_int_equal(net_stream_connect_addr(loop, &to, &config, &events, NULL, &s), BK_OK);
    while (accepted_count == 0)
        net_loop_turn(loop);
    struct bk_addr from = net_stream_remote(accepted[0]);
    assert_true(bk_addr_equal(&from, &config.from));
    net_timer_set(&limit, BK_NEVER);
    net_stream_close(s);
    net_stream_close(accepted[0]);
    net_listener_close(ours);
    net_listener_close(theirs);
    net_loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_connections_share_a_port),
        cmocka_unit_test(a_listener_lends_its_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
