/* SPDX-License-Identifier: MIT
 * The ways home, against a proxy that follows a script: garbage, silence, refusals, endless logins,
 * and one that works. */
#include "../test.h"
#include "net/alloc.h"
#include "node/reach.h"

#include <stdio.h>

enum { CONNECTIONS_MAX = 8 };

static struct net_loop *loop;
static struct net_listener *listener;
static struct net_stream *accepted[CONNECTIONS_MAX];
static size_t accepted_count;
static const char *script; /* what the proxy answers; NULL: it closes at once */
static char heard[8192];
static size_t heard_len;

static struct reach reach;
static struct home home;
static struct net_stream *won;
static char brought[64];
static enum bk_err failed;
static char reason[NET_REASON_MAX];
static bool over;

static void on_late(void *ctx, struct bk_time now) {
    (void)ctx;
    (void)now;
    fail_msg("not over after 60 s");
}

/* --- the proxy --- */

static void proxy_bytes(void *ctx, const uint8_t *data, size_t len) {
    size_t *i = ctx;
    size_t n = len < sizeof heard - 1 - heard_len ? len : sizeof heard - 1 - heard_len;
    memcpy(heard + heard_len, data, n);
    heard_len += n;
    heard[heard_len] = '\0';
    if (heard_len < 4 || memcmp(heard + heard_len - 4, "\r\n\r\n", 4) != 0)
        return;
    if (script == NULL) {
        net_stream_close(accepted[*i]);
        accepted[*i] = NULL;
    } else {
        assert_int_equal(net_stream_write(accepted[*i], script, strlen(script)), BK_OK);
    }
}

static void proxy_closed(void *ctx, enum bk_err err, const char *why) {
    (void)err;
    (void)why;
    accepted[*(size_t *)ctx] = NULL;
}

static void on_accept(void *ctx, struct net_stream *s) {
    static const struct net_stream_events events = {.on_bytes = proxy_bytes,
                                                    .on_close = proxy_closed};
    static size_t numbers[CONNECTIONS_MAX];
    (void)ctx;
    assert_true(accepted_count < CONNECTIONS_MAX);
    numbers[accepted_count] = accepted_count;
    accepted[accepted_count] = s;
    net_stream_adopt(s, &events, &numbers[accepted_count]);
    accepted_count++;
}

/* --- the one who wants to get home --- */

static void client_bytes(void *ctx, const uint8_t *data, size_t len) {
    (void)ctx;
    (void)data;
    (void)len;
}

static void client_closed(void *ctx, enum bk_err err, const char *why) {
    (void)ctx;
    (void)err;
    (void)why;
    won = NULL;
}

static void on_open(void *ctx, struct net_stream *s, const uint8_t *data, size_t len) {
    static const struct net_stream_events events = {.on_bytes = client_bytes,
                                                    .on_close = client_closed};
    (void)ctx;
    won = s;
    net_stream_adopt(s, &events, NULL);
    assert_true(len < sizeof brought);
    if (len > 0)
        memcpy(brought, data, len);
    brought[len] = '\0';
    over = true;
    net_loop_stop(loop);
}

static void on_failed(void *ctx, enum bk_err err, const char *why) {
    (void)ctx;
    failed = err;
    snprintf(reason, sizeof reason, "%s", why);
    over = true;
    net_loop_stop(loop);
}

/* One round to `url` (port of the scripted proxy when it ends with ':'). */
static void go(const char *url, const char *answer) {
    const struct net_listener_events events = {on_accept, NULL};
    const struct reach_events told = {.on_open = on_open, .on_failed = on_failed};
    struct bk_addr any = bk_addr(bk_ipv4(127, 0, 0, 1), 0);
    struct net_timer limit;
    struct proxy proxy;
    char text[100];
    script = answer;
    accepted_count = heard_len = 0;
    over = false;
    failed = BK_OK;
    won = NULL;
    home = (struct home){.host = "localhost", .https_port = 80, .plain = true};
    assert_int_equal(net_loop_new(net_alloc(), &loop), BK_OK);
    assert_int_equal(
        net_listener_open(loop, &any, &net_listener_config_default, &events, &listener), BK_OK);
    bool ours = url[strlen(url) - 1] == ':';
    snprintf(text, sizeof text, ours ? "%s%u" : "%s", url, net_listener_local(listener).port);
    assert_int_equal(proxy_parse(text, strlen(text), &proxy), BK_OK);
    net_timer_init(&limit, loop, on_late, NULL);
    net_timer_set(&limit, bk_after(net_clock(), 60 * BK_US_PER_S));
    reach_init(&reach, loop, &home, &proxy, true, &told);
    reach_start(&reach);
    assert_true(reach_is_running(&reach));
    net_loop_run(loop);
    assert_true(over);
    assert_false(reach_is_running(&reach));
    net_timer_set(&limit, BK_NEVER);
}

static void end(void) {
    reach_fini(&reach);
    net_stream_close(won);
    for (size_t i = 0; i < accepted_count; i++)
        net_stream_close(accepted[i]);
    net_listener_close(listener);
    net_loop_free(loop);
}

static void a_proxy_that_works_leads_home(void **state) {
    char way[REACH_TEXT_MAX];
    (void)state;
    go("http://127.0.0.1:", "HTTP/1.1 200 Fine\r\n\r\nwelcome");
    assert_non_null(won);
    assert_string_equal(brought, "welcome");
    assert_non_null(strstr(heard, "CONNECT localhost:80 HTTP/1.1\r\n")); /* never looked up here */
    assert_non_null(strstr(reach_way_text(&reach, way), "through http://127.0.0.1:"));
    end();
}

static const struct {
    const char *answer;
    enum bk_err err;
    const char *reason;
    size_t connections;
} refusals[] = {
    {NULL, BK_ERR_CLOSED, " closes the connection without an answer", 1},
    {"SSH-2.0-OpenSSH_9.2\r\n", BK_ERR_MALFORMED, " does not speak HTTP", 1},
    {"HTTP/1.1 403 No\r\n\r\n", BK_ERR_REFUSED, " forbids connections to localhost:80", 1},
    {"HTTP/1.1 502 No\r\n\r\n", BK_ERR_UNREACHABLE, " cannot reach localhost:80", 1},
    {"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", BK_ERR_AUTH,
     " refused the user name or the password", 2},
    /* It would have us log in for ever. */
    {"HTTP/1.1 407 No\r\nProxy-Authenticate: Digest nonce=n, stale=true\r\n\r\n", BK_ERR_AUTH,
     " wants a login", 3},
};

static void a_proxy_that_does_not_is_explained(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        go("http://anna:secret@127.0.0.1:", refusals[i].answer);
        print_message("%s\n", reason);
        assert_null(won);
        assert_int_equal(failed, refusals[i].err);
        assert_non_null(strstr(reason, "the proxy "));
        assert_non_null(strstr(reason, refusals[i].reason));
        assert_null(strstr(reason, "secret"));
        assert_int_equal(accepted_count, refusals[i].connections);
        end();
    }
}

static void a_proxy_that_is_not_there_is_named(void **state) {
    (void)state;
    go("http://127.0.0.1:1", NULL);
    assert_int_equal(failed, BK_ERR_REFUSED);
    assert_string_equal(reason,
                        "the proxy http://127.0.0.1:1 cannot be used: nobody listens there: "
                        "the connection was refused");
    end();
}

static void a_round_can_be_stopped(void **state) {
    (void)state;
    go("http://127.0.0.1:", "HTTP/1.1 200 Fine\r\n\r\n");
    net_stream_close(won);
    won = NULL;
    over = false;
    reach_start(&reach);
    for (int i = 0; i < 3; i++) {
        reach_stop(&reach);
        reach_start(&reach);
    }
    reach_stop(&reach);
    assert_false(reach_is_running(&reach));
    assert_true(reach_is_stuck(&reach));
    assert_false(over);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proxy_that_works_leads_home),
        cmocka_unit_test(a_proxy_that_does_not_is_explained),
        cmocka_unit_test(a_proxy_that_is_not_there_is_named),
        cmocka_unit_test(a_round_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
