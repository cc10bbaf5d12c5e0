/* SPDX-License-Identifier: MIT
 * A DTLS client against a server made of GnuTLS and a socket of ours, in one loop. */
/* mkdtemp() and ssize_t are POSIX, not C. */
#define _GNU_SOURCE
#include "../test.h"
#include "net/alloc.h"
#include "net/dtls.h"
#include "net/tls_private.h"
#include "net/udp.h"
#include <errno.h>
#include <gnutls/dtls.h>
#include <unistd.h>

/* --- the server: one client, every message goes back --- */

static struct {
    struct net_udp *udp;
    struct net_tls *tls;
    gnutls_session_t session;
    struct bk_addr client;
    const uint8_t *in;
    size_t in_len;
    int drop; /* datagrams that get lost */
    bool open, silent, says_goodbye;
} server;

static ssize_t server_pull(gnutls_transport_ptr_t ptr, void *out, size_t len) {
    (void)ptr;
    if (server.in == NULL) {
        gnutls_transport_set_errno(server.session, EAGAIN);
        return -1;
    }
    assert_true(server.in_len <= len);
    memcpy(out, server.in, server.in_len);
    server.in = NULL;
    return (ssize_t)server.in_len;
}

static int server_pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms) {
    (void)ptr;
    (void)ms;
    return server.in != NULL;
}

static ssize_t server_push(gnutls_transport_ptr_t ptr, const void *data, size_t len) {
    const struct bk_datagram out = {.remote = server.client, .data = data, .len = len};
    (void)ptr;
    assert_true(len <= 1400);
    assert_int_equal(net_udp_send(server.udp, &out), BK_OK);
    return (ssize_t)len;
}

static void serve(void) {
    uint8_t plain[2048];
    if (!server.open) {
        int result = gnutls_handshake(server.session);
        server.open = result == 0;
        return;
    }
    ssize_t got = gnutls_record_recv(server.session, plain, sizeof plain);
    if (got <= 0)
        return;
    if (server.says_goodbye)
        (void)gnutls_bye(server.session, GNUTLS_SHUT_WR);
    else
        assert_int_equal(gnutls_record_send(server.session, plain, (size_t)got), got);
}

static void server_on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    (void)ctx;
    (void)now;
    for (size_t i = 0; i < n && !server.silent; i++) {
        if (server.drop > 0) {
            server.drop--;
            continue;
        }
        server.client = in[i].remote;
        server.in = in[i].data;
        server.in_len = in[i].len;
        serve();
        server.in = NULL;
    }
}

/* --- the client --- */

static struct {
    struct net_loop *loop;
    struct net_dtls *dtls;
    struct net_tls *tls;
    enum bk_err closed;
    bool over, close_at_open, close_at_message;
    char heard[64];
    int opened;
} client;

static void on_open(void *ctx) {
    (void)ctx;
    client.opened++;
    if (client.close_at_open) {
        net_dtls_close(client.dtls);
        net_loop_stop(client.loop);
        return;
    }
    assert_int_equal(net_dtls_send(client.dtls, "hello", 5), BK_OK);
}

static void on_message(void *ctx, const uint8_t *data, size_t len) {
    (void)ctx;
    assert_true(len < sizeof client.heard);
    memcpy(client.heard, data, len);
    if (client.close_at_message)
        net_dtls_close(client.dtls);
    net_loop_stop(client.loop);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    (void)ctx;
    assert_true(strlen(reason) > 0);
    client.closed = err;
    client.over = true;
    net_loop_stop(client.loop);
}

static char folder[] = "/tmp/bodkin-dtls-XXXXXX";

static int set_up(void **state) {
    const struct net_udp_events events = {.on_batch = server_on_batch};
    struct net_tls_server_config config = {.state_dir = folder, .name = "server.example"};
    struct bk_addr bind;
    char reason[NET_REASON_MAX];
    (void)state;
    memset(&server, 0, sizeof server);
    memset(&client, 0, sizeof client);
    assert_int_equal(net_loop_new(net_alloc(), &client.loop), BK_OK);
    assert_int_equal(net_tls_server_new(&config, &server.tls, reason), BK_OK);
    assert_int_equal(tls_session_new_datagram(server.tls, NULL, NULL, &server.session), BK_OK);
    gnutls_transport_set_pull_function(server.session, server_pull);
    gnutls_transport_set_pull_timeout_function(server.session, server_pull_timeout);
    gnutls_transport_set_push_function(server.session, server_push);
    assert_int_equal(bk_addr_parse("127.0.0.1:0", &bind), BK_OK);
    assert_int_equal(
        net_udp_open(client.loop, &bind, &net_udp_config_default, &events, &server.udp), BK_OK);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tls_session_free(server.session);
    net_udp_close(server.udp);
    net_tls_unref(server.tls);
    net_tls_unref(client.tls);
    net_loop_free(client.loop);
    return 0;
}

/* Connects, expecting a server with this key. */
static void begin(const uint8_t *pin, int64_t patience_us) {
    static const struct net_dtls_events events = {on_open, on_message, on_close};
    struct net_tls_client_config tls = net_tls_client_config_default;
    struct net_dtls_config config = net_dtls_config_default;
    struct bk_addr to = net_udp_local(server.udp);
    char reason[NET_REASON_MAX];
    tls.verify_name = false;
    tls.pin = pin;
    assert_int_equal(net_tls_client_new(&tls, &client.tls, reason), BK_OK);
    config.tls = client.tls;
    config.from = bk_addr(to.ip, 0);
    config.server_name = "server.example";
    if (patience_us > 0)
        config.open_timeout_us = patience_us;
    assert_int_equal(net_dtls_connect(client.loop, &to, &config, &events, NULL, &client.dtls),
                     BK_OK);
    assert_int_equal(net_dtls_send(client.dtls, "early", 5), BK_ERR_STATE);
}

static void messages_go_both_ways(void **state) {
    static uint8_t huge[20000];
    (void)state;
    begin(net_tls_pin(server.tls), 0);
    net_loop_run(client.loop);
    assert_string_equal(client.heard, "hello");
    assert_int_equal(net_dtls_local(client.dtls).ip.family, BK_IPV4);
    assert_int_equal(net_dtls_send(client.dtls, huge, sizeof huge), BK_ERR_TOO_LONG);
    net_dtls_close(client.dtls);
}

static void the_handshake_survives_loss(void **state) {
    (void)state;
    server.drop = 1;
    begin(net_tls_pin(server.tls), 0);
    net_loop_run(client.loop);
    assert_string_equal(client.heard, "hello");
    net_dtls_close(client.dtls);
}

static void another_server_is_refused(void **state) {
    static const uint8_t wrong[NET_PIN_LEN] = {1};
    (void)state;
    begin(wrong, 0);
    net_loop_run(client.loop);
    assert_true(client.over);
    assert_int_equal(client.closed, BK_ERR_AUTH);
    assert_int_equal(client.opened, 0);
}

static void a_silent_server_is_given_up(void **state) {
    (void)state;
    server.silent = true;
    begin(net_tls_pin(server.tls), 50000);
    net_loop_run(client.loop);
    assert_int_equal(client.closed, BK_ERR_TIMEOUT);
}

static void the_server_may_end_it(void **state) {
    (void)state;
    server.says_goodbye = true;
    begin(net_tls_pin(server.tls), 0);
    net_loop_run(client.loop);
    assert_int_equal(client.opened, 1);
    assert_int_equal(client.closed, BK_ERR_CLOSED);
}

static void it_may_be_closed_in_every_callback(void **state) {
    (void)state;
    client.close_at_open = true;
    begin(net_tls_pin(server.tls), 0);
    net_loop_run(client.loop);
    assert_false(client.over);
}

static void it_may_be_closed_when_a_message_comes(void **state) {
    (void)state;
    client.close_at_message = true;
    begin(net_tls_pin(server.tls), 0);
    net_loop_run(client.loop);
    assert_string_equal(client.heard, "hello");
    assert_false(client.over);
}

static void it_may_be_closed_before_it_began(void **state) {
    (void)state;
    begin(net_tls_pin(server.tls), 0);
    net_dtls_close(client.dtls);
    net_dtls_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(messages_go_both_ways),
        TEST(the_handshake_survives_loss),
        TEST(another_server_is_refused),
        TEST(a_silent_server_is_given_up),
        TEST(the_server_may_end_it),
        TEST(it_may_be_closed_in_every_callback),
        TEST(it_may_be_closed_when_a_message_comes),
        TEST(it_may_be_closed_before_it_began),
    };
    if (mkdtemp(folder) == NULL)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char path[64] = {0};
    strcat(strcat(path, folder), "/tls.pem");
    (void)unlink(path);
    (void)rmdir(folder);
    return failed;
}
