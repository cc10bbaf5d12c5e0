/* SPDX-License-Identifier: MIT
 * The DTLS server with our own client on loopback, and with hand-made datagrams. */
#define _GNU_SOURCE
#include "../test.h"
#include "net/alloc.h"
#include "net/dtls.h"
#include "net/dtls_server.h"
#include "net/udp.h"
#include <unistd.h>

enum { TURNS_MAX = 20000, HELLOS_MAX = 8 };

static struct net_loop *loop;
static struct net_udp *udp;
static struct net_tls *server_tls, *client_tls;
static char state_dir[] = "/tmp/bodkin-dtlssrv-XXXXXX";

static struct {
    struct net_dtls_server *d;
    struct net_dtls_session *session; /* the last one */
    int opened, closed, messages;
    enum net_dtls_end why;
    bool close_at_message;
    size_t first_in, first_out; /* lengths of the first datagrams */
    int sent, lose;             /* lose: so many datagrams in do not arrive */
    uint8_t hellos[HELLOS_MAX][2048];
    size_t hello_len[HELLOS_MAX], hello_count;
} server;

static struct {
    struct net_dtls *dtls;
    int opened, closed;
    char heard[64];
} client;

/* --- the server --- */

static void send_out(void *ctx, void *door, const struct bk_datagram *out) {
    (void)ctx;
    assert_ptr_equal(door, udp);
    if (server.sent++ == 0)
        server.first_out = out->len;
    assert_int_equal(net_udp_send(udp, out), BK_OK);
}

static void srv_open(void *ctx, struct net_dtls_session *s) {
    (void)ctx;
    server.opened++;
    server.session = s;
    assert_null(net_dtls_session_owner(s));
    net_dtls_session_set_owner(s, &server);
}

static void srv_message(void *ctx, struct net_dtls_session *s, const uint8_t *data, size_t len) {
    const struct net_piece pieces[2] = {{"re: ", 4}, {data, len}};
    (void)ctx;
    server.messages++;
    assert_ptr_equal(net_dtls_session_owner(s), &server);
    if (server.close_at_message)
        net_dtls_session_close(s);
    else
        assert_int_equal(net_dtls_session_send(s, pieces, 2), BK_OK);
}

static void srv_close(void *ctx, struct net_dtls_session *s, enum net_dtls_end why) {
    (void)ctx;
    assert_ptr_equal(net_dtls_session_owner(s), &server);
    server.closed++;
    server.why = why;
}

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    (void)ctx;
    (void)now;
    for (size_t i = 0; i < n; i++) {
        if (server.first_in == 0)
            server.first_in = in[i].len;
        if (server.hello_count < HELLOS_MAX && in[i].len <= 2048) {
            memcpy(server.hellos[server.hello_count], in[i].data, in[i].len);
            server.hello_len[server.hello_count++] = in[i].len;
        }
        if (server.lose > 0)
            server.lose--;
        else
            net_dtls_server_recv(server.d, udp, &in[i]);
    }
}

/* --- the client --- */

static void on_open(void *ctx) {
    (void)ctx;
    client.opened++;
}

static void on_message(void *ctx, const uint8_t *data, size_t len) {
    (void)ctx;
    assert_true(len < sizeof client.heard);
    memcpy(client.heard, data, len);
    client.heard[len] = '\0';
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    (void)ctx;
    (void)err;
    (void)reason;
    client.dtls = NULL;
    client.closed++;
}

static void dial(void) {
    static const struct net_dtls_events events = {on_open, on_message, on_close};
    struct net_dtls_config config = net_dtls_config_default;
    struct bk_addr to = net_udp_local(udp);
    config.tls = client_tls;
    config.from = bk_addr(to.ip, 0);
    assert_int_equal(net_dtls_connect(loop, &to, &config, &events, NULL, &client.dtls), BK_OK);
}

static void on_tick(void *ctx, struct bk_time now) {
    (void)ctx;
    (void)now;
}

static void turn(void) {
    struct net_timer tick;
    net_timer_init(&tick, loop, on_tick, NULL);
    net_timer_set(&tick, bk_after(net_clock(), BK_US_PER_MS));
    net_loop_turn(loop);
    net_timer_set(&tick, BK_NEVER);
}

static void until(const int *count, int wanted) {
    for (int i = 0; *count != wanted; i++) {
        assert_true(i < TURNS_MAX);
        turn();
    }
}

static void until_heard(const char *text) {
    for (int i = 0; strcmp(client.heard, text) != 0; i++) {
        assert_true(i < TURNS_MAX);
        turn();
    }
}

static void begin(uint32_t handshakes_max, int64_t handshake_us) {
    const struct net_dtls_server_events events = {send_out, srv_open, srv_message, srv_close, NULL};
    struct net_dtls_server_config config = net_dtls_server_config_default;
    config.tls = server_tls;
    config.sessions_max = 4;
    config.handshakes_max = handshakes_max;
    config.handshake_us = handshake_us;
    assert_int_equal(net_dtls_server_new(loop, &config, &events, &server.d), BK_OK);
}

static void begin_usual(void) {
    begin(2, net_dtls_server_config_default.handshake_us);
}

static const struct net_dtls_server_counters *counters(void) {
    return net_dtls_server_counters(server.d);
}

static int set_up(void **state) {
    const struct net_udp_events events = {on_batch, NULL};
    struct bk_addr bind;
    (void)state;
    memset(&server, 0, sizeof server);
    memset(&client, 0, sizeof client);
    assert_int_equal(bk_addr_parse("127.0.0.1:0", &bind), BK_OK);
    assert_int_equal(net_loop_new(net_alloc(), &loop), BK_OK);
    assert_int_equal(net_udp_open(loop, &bind, &net_udp_config_default, &events, &udp), BK_OK);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    net_dtls_close(client.dtls);
    net_dtls_server_free(server.d);
    net_udp_close(udp);
    net_loop_free(loop);
    return 0;
}

/* --- the tests --- */

static void messages_go_both_ways(void **state) {
    (void)state;
    begin_usual();
    dial();
    until(&client.opened, 1);
    assert_int_equal(net_dtls_send(client.dtls, "hello", 5), BK_OK);
    until_heard("re: hello");
    assert_int_equal(counters()->cookies, 1);
    assert_int_equal(counters()->sessions, 1);
    assert_int_equal(counters()->handshakes, 0);
    assert_true(net_dtls_session_is_alpn(server.session, "stun.turn"));
    assert_false(net_dtls_session_is_alpn(server.session, "stun.nat-discovery"));
}

/* RFC 6347 section 4.2.1. Also seen by its effect: a hello without a cookie makes no session. */
static void the_first_answer_is_short_and_makes_no_session(void **state) {
    (void)state;
    begin_usual();
    dial();
    until(&server.sent, 1);
    assert_int_equal(counters()->sessions, 0);
    assert_true(server.first_out < server.first_in);
}

static void garbage_gets_no_answer(void **state) {
    static const uint8_t first[] = {20, 21, 22, 23, 24, 25, 63};
    uint8_t bytes[1400];
    struct bk_datagram in = {.data = bytes};
    (void)state;
    begin_usual();
    in.local = net_udp_local(udp);
    assert_int_equal(bk_addr_parse("127.0.0.1:9", &in.remote), BK_OK);
    for (size_t kind = 0; kind < sizeof first; kind++) {
        for (size_t len = 1; len < sizeof bytes; len += len < 80 ? 1 : 97) {
            memset(bytes, (int)len, sizeof bytes);
            bytes[0] = first[kind];
            in.len = len;
            net_dtls_server_recv(server.d, udp, &in);
        }
    }
    assert_int_equal(server.sent, 0);
    assert_int_equal(counters()->sessions, 0);
}

/* A hello cut at every length, and with every byte of its start wrong, never gets more than it is
 * long. */
static void no_hello_is_amplified(void **state) {
    struct bk_datagram in = {.len = 0};
    (void)state;
    begin_usual();
    dial();
    until(&server.sent, 1);
    uint8_t *hello = server.hellos[0];
    in.data = hello;
    in.local = net_udp_local(udp);
    assert_int_equal(bk_addr_parse("127.0.0.1:9", &in.remote), BK_OK);
    for (in.len = 1; in.len <= server.hello_len[0]; in.len++) {
        server.sent = 0;
        net_dtls_server_recv(server.d, udp, &in);
        assert_true(server.sent <= 1);
        if (server.sent == 1)
            assert_true(server.first_out <= in.len);
    }
    in.len = server.hello_len[0];
    for (size_t i = 0; i < 80; i++) {
        hello[i] ^= 0xff;
        server.sent = 0;
        net_dtls_server_recv(server.d, udp, &in);
        assert_true(server.sent <= 1);
        hello[i] ^= 0xff;
    }
    assert_int_equal(counters()->sessions, 0);
}

/* The cookie is good for one address only. */
static void another_addresss_cookie_is_no_good(void **state) {
    struct bk_datagram in = {.len = 0};
    (void)state;
    begin_usual();
    dial();
    until(&server.opened, 1);
    in.data = server.hellos[1]; /* the one with the cookie */
    in.len = server.hello_len[1];
    in.local = net_udp_local(udp);
    assert_int_equal(bk_addr_parse("127.0.0.1:9", &in.remote), BK_OK);
    net_dtls_server_recv(server.d, udp, &in);
    assert_int_equal(counters()->sessions, 1);
    in.remote = net_dtls_session_remote(server.session);
    net_dtls_server_recv(server.d, udp, &in); /* a hello that was on its way too long: nothing */
    assert_int_equal(counters()->sessions, 1);
    assert_int_equal(server.closed, 0);
}

static void the_handshake_survives_loss(void **state) {
    (void)state;
    begin_usual();
    server.lose = 1;
    dial();
    until(&client.opened, 1);
}

static void handshakes_end_in_time_and_are_counted(void **state) {
    struct bk_datagram in = {.len = 0};
    (void)state;
    begin(1, 50000);
    dial();
    until(&server.sent, 1);
    server.lose = 1000; /* it has the cookie, and is then not heard any more */
    for (int i = 0; server.hello_count < 2; i++) {
        assert_true(i < TURNS_MAX);
        turn();
    }
    in.data = server.hellos[1];
    in.len = server.hello_len[1];
    in.local = net_udp_local(udp);
    in.remote = net_dtls_local(client.dtls);
    in.remote.ip = in.local.ip;
    net_dtls_server_recv(server.d, udp, &in);
    assert_int_equal(counters()->handshakes, 1);
    for (int i = 0; counters()->handshakes > 0; i++) {
        assert_true(i < TURNS_MAX);
        turn();
    }
    assert_int_equal(counters()->late, 1);
    assert_int_equal(counters()->sessions, 0);
    assert_int_equal(server.closed, 0); /* it was never open */
}

static void an_idle_session_ends_at_its_deadline(void **state) {
    (void)state;
    begin_usual();
    dial();
    until(&client.opened, 1);
    until(&server.opened, 1);
    net_dtls_session_keep(server.session, bk_after(net_now(loop), 20000));
    until(&server.closed, 1);
    assert_int_equal(server.why, NET_DTLS_IDLE);
    assert_int_equal(counters()->sessions, 0);
    until(&client.closed, 1); /* it was told: close_notify */
}

static void the_client_may_leave(void **state) {
    (void)state;
    begin_usual();
    dial();
    until(&client.opened, 1);
    until(&server.opened, 1);
    net_dtls_close(client.dtls);
    client.dtls = NULL;
    until(&server.closed, 1);
    assert_int_equal(server.why, NET_DTLS_CLOSED);
}

static void the_owner_may_close_from_inside(void **state) {
    (void)state;
    begin_usual();
    server.close_at_message = true;
    dial();
    until(&client.opened, 1);
    assert_int_equal(net_dtls_send(client.dtls, "bye", 3), BK_OK);
    until(&client.closed, 1);
    assert_int_equal(server.messages, 1);
    assert_int_equal(server.closed, 0);
    assert_int_equal(counters()->sessions, 0);
}

static void open_sessions_end_with_the_server(void **state) {
    (void)state;
    begin_usual();
    dial();
    until(&client.opened, 1);
    until(&server.opened, 1);
    net_dtls_server_free(server.d);
    server.d = NULL;
    for (int i = 0; client.closed == 0 && i < TURNS_MAX; i++) {
        net_udp_flush(udp);
        server.lose = 1000;
        turn();
    }
    assert_int_equal(client.closed, 1);
}

static int make_tls(void **state) {
    struct net_tls_client_config config = net_tls_client_config_default;
    struct net_tls_server_config shown = {
        .state_dir = state_dir, .name = "localhost", .alpn = "stun.turn,stun.nat-discovery"};
    char reason[NET_REASON_MAX];
    (void)state;
    assert_non_null(mkdtemp(state_dir));
    assert_int_equal(net_tls_server_new(&shown, &server_tls, reason), BK_OK);
    config.verify_name = false;
    config.pin = net_tls_pin(server_tls);
    config.alpn = "stun.turn";
    assert_int_equal(net_tls_client_new(&config, &client_tls, reason), BK_OK);
    return 0;
}

static int drop_tls(void **state) {
    char file[sizeof state_dir + 16];
    (void)state;
    net_tls_unref(client_tls);
    net_tls_unref(server_tls);
    strcpy(file, state_dir);
    strcat(file, "/tls.pem");
    unlink(file);
    rmdir(state_dir);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(messages_go_both_ways),
        TEST(the_first_answer_is_short_and_makes_no_session),
        TEST(garbage_gets_no_answer),
        TEST(no_hello_is_amplified),
        TEST(another_addresss_cookie_is_no_good),
        TEST(the_handshake_survives_loss),
        TEST(handshakes_end_in_time_and_are_counted),
        TEST(an_idle_session_ends_at_its_deadline),
        TEST(the_client_may_leave),
        TEST(the_owner_may_close_from_inside),
        TEST(open_sessions_end_with_the_server),
    };
    return cmocka_run_group_tests(tests, make_tls, drop_tls);
}
