/* SPDX-License-Identifier: MIT
 * What becomes of an open stream: TLS begins in the middle, or another loop goes on with it. */
#define _GNU_SOURCE
#include "../test.h"
#include "net/alloc.h"
#include "net/stream.h"
#include <unistd.h>

enum { TURNS_MAX = 20000 }; /* of a millisecond */

struct side {
    struct net_stream *s;
    char heard[256];
    size_t len;
    int opened;
    bool closed;
};

static struct net_loop *loop, *other;
static struct net_listener *listener;
static struct net_tls *server_tls, *client_tls;
static struct side client, server;
static char state_dir[] = "/tmp/bodkin-turns-XXXXXX";
static bool starts_tls; /* the server, as soon as it accepts */
static bool sniffs;     /* a first byte of 0x16 is TLS */

static void on_open(void *ctx) {
    struct side *side = ctx;
    side->opened++;
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct side *side = ctx;
    if (side == &server && sniffs && server.opened == 1 && data[0] == 0x16) {
        assert_int_equal(net_stream_start_tls(server.s, server_tls, data, len), BK_OK);
        return;
    }
    assert_true(side->len + len < sizeof side->heard);
    memcpy(side->heard + side->len, data, len);
    side->len += len;
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct side *side = ctx;
    (void)err;
    (void)reason;
    side->closed = true;
    side->s = NULL;
}

static const struct net_stream_events events = {on_open, on_bytes, NULL, NULL, on_close};

static void on_accept(void *ctx, struct net_stream *s) {
    (void)ctx;
    server.s = s;
    net_stream_adopt(s, &events, &server);
    if (starts_tls)
        assert_int_equal(net_stream_start_tls(s, server_tls, NULL, 0), BK_OK);
}

static void on_tick(void *ctx, struct bk_time now) {
    (void)ctx;
    (void)now;
}

static void turn(void) {
    struct net_loop *loops[2] = {loop, other};
    for (int i = 0; i < 2; i++) {
        struct net_timer tick;
        net_timer_init(&tick, loops[i], on_tick, NULL);
        net_timer_set(&tick, bk_after(net_clock(), BK_US_PER_MS));
        net_loop_turn(loops[i]);
        net_timer_set(&tick, BK_NEVER);
    }
}

static void until_open(const struct side *side, int times) {
    for (int i = 0; side->opened != times; i++) {
        assert_true(i < TURNS_MAX);
        turn();
    }
}

static void until_heard(const struct side *side, const char *text) {
    for (int i = 0; side->len < strlen(text); i++) {
        assert_true(i < TURNS_MAX);
        turn();
    }
    assert_int_equal(side->len, strlen(text));
    assert_memory_equal(side->heard, text, side->len);
}

static void say(struct side *side, const char *text) {
    assert_int_equal(net_stream_write(side->s, text, strlen(text)), BK_OK);
}

static void dial(struct net_tls *tls) {
    const struct net_listener_events accepted = {on_accept, NULL};
    struct net_stream_config config = net_stream_config_default;
    struct bk_addr at;
    assert_int_equal(bk_addr_parse("127.0.0.1:0", &at), BK_OK);
    assert_int_equal(
        net_listener_open(loop, &at, &net_listener_config_default, &accepted, &listener), BK_OK);
    at = net_listener_local(listener);
    config.tls = tls;
    assert_int_equal(net_stream_connect_addr(loop, &at, &config, &events, &client, &client.s),
                     BK_OK);
}

static int set_up(void **state) {
    (void)state;
    client = server = (struct side){.s = NULL};
    starts_tls = sniffs = false;
    assert_int_equal(net_loop_new(net_alloc(), &loop), BK_OK);
    assert_int_equal(net_loop_new(net_alloc(), &other), BK_OK);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    net_stream_close(client.s);
    net_stream_close(server.s);
    net_listener_close(listener);
    listener = NULL;
    net_loop_free(loop);
    net_loop_free(other);
    return 0;
}

static void tls_begins_when_the_owner_says_so(void **state) {
    (void)state;
    starts_tls = true;
    dial(client_tls);
    until_open(&client, 1);
    say(&client, "sealed");
    until_heard(&server, "sealed");
    assert_int_equal(server.opened, 1);
    assert_true(net_stream_is_alpn(server.s, "stun.turn"));
    assert_false(net_stream_is_alpn(server.s, "stun"));
}

static void one_port_takes_tls_and_plain_bytes(void **state) {
    (void)state;
    sniffs = true;
    dial(client_tls);
    until_open(&client, 1);
    say(&client, "sealed");
    until_heard(&server, "sealed");
    assert_int_equal(server.opened, 2);
    say(&server, "heard");
    until_heard(&client, "heard");
    assert_int_equal(net_stream_start_tls(server.s, server_tls, NULL, 0), BK_ERR_STATE);
}

static void plain_bytes_stay_plain(void **state) {
    (void)state;
    sniffs = true;
    dial(NULL);
    until_open(&client, 1);
    say(&client, "open");
    until_heard(&server, "open");
    assert_int_equal(net_stream_tls_version(server.s), 0);
}

static void pieces_are_written_as_one(void **state) {
    const struct net_piece pieces[3] = {{"one ", 4}, {NULL, 0}, {"two", 3}};
    const struct net_piece huge[2] = {{"", 300000}, {"", 1}};
    (void)state;
    dial(NULL);
    until_open(&client, 1);
    assert_int_equal(net_stream_write_pieces(client.s, huge, 2), BK_ERR_TOO_LONG);
    assert_int_equal(net_stream_write_pieces(client.s, pieces, 3), BK_OK);
    until_heard(&server, "one two");
}

/* What was not sent yet, and not read yet, goes along. */
static void move_server(bool tls) {
    struct net_stream_pack *pack;
    sniffs = tls;
    dial(tls ? client_tls : NULL);
    until_open(&client, 1);
    say(&client, "before ");
    until_heard(&server, "before ");
    net_stream_pause(server.s);
    say(&client, "after ");
    for (int i = 0; i < 20; i++)
        turn();
    say(&server, "unsent ");
    assert_int_equal(net_stream_pack(server.s, &pack), BK_OK);
    assert_int_equal(net_stream_unpack(other, pack, &events, &server, &server.s), BK_OK);
    net_stream_resume(server.s);
    until_heard(&server, "before after ");
    until_heard(&client, "unsent ");
    say(&server, "moved");
    until_heard(&client, "unsent moved");
}

static void a_plain_stream_moves_to_another_loop(void **state) {
    (void)state;
    move_server(false);
}

static void a_tls_stream_moves_to_another_loop(void **state) {
    (void)state;
    move_server(true);
}

static void a_pack_nobody_wants_ends_the_connection(void **state) {
    struct net_stream_pack *pack;
    (void)state;
    dial(NULL);
    until_open(&server, 1);
    assert_int_equal(net_stream_pack(server.s, &pack), BK_OK);
    server.s = NULL;
    net_stream_pack_drop(pack);
    for (int i = 0; !client.closed; i++) {
        assert_true(i < TURNS_MAX);
        turn();
    }
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tls_begins_when_the_owner_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_port_takes_tls_and_plain_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plain_bytes_stay_plain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pieces_are_written_as_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_plain_stream_moves_to_another_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tls_stream_moves_to_another_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pack_nobody_wants_ends_the_connection, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, make_tls, drop_tls);
}
