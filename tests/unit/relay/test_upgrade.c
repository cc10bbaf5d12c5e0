/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "relay/upgrade.h"

#define H "\r\nHost: h\r\n"

static enum bk_err feed(struct relay_request *r, const char *text, size_t step, size_t *total) {
    size_t len = strlen(text);
    enum bk_err err = BK_ERR_SHORT;
    relay_request_init(r);
    *total = 0;
    while (err == BK_ERR_SHORT && *total < len) {
        size_t used = 0, n = len - *total < step ? len - *total : step;
        err = relay_request_recv(r, (const uint8_t *)text + *total, n, &used);
        *total += used;
    }
    return err;
}

static const struct {
    const char *name, *request;
    enum relay_route route;
    const char *answer; /* how the answer begins */
} routes[] = {
    {"upgrade", "GET /derp HTTP/1.1" H "Upgrade: DERP\r\nConnection: Upgrade\r\n\r\n",
     RELAY_ROUTE_DERP, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"},
    {"upgrade in any case",
     "GET /derp HTTP/1.1" H "upgrade: derp\r\nconnection: a, upgrade\r\n\r\n", RELAY_ROUTE_DERP,
     "HTTP/1.1 101 "},
    {"fast start",
     "GET /derp HTTP/1.1" H "Upgrade: DERP\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\n\r\n",
     RELAY_ROUTE_DERP, ""},
    {"no upgrade", "GET /derp HTTP/1.1" H "\r\n", RELAY_ROUTE_NO_UPGRADE, "HTTP/1.1 426 "},
    {"upgrade that Connection does not name", "GET /derp HTTP/1.1" H "Upgrade: DERP\r\n\r\n",
     RELAY_ROUTE_NO_UPGRADE, "HTTP/1.1 426 "},
    {"upgrade to something else",
     "GET /derp HTTP/1.1" H "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", RELAY_ROUTE_NO_UPGRADE,
     "HTTP/1.1 426 "},
    {"websocket",
     "GET /derp HTTP/1.1" H "Upgrade: websocket\r\nConnection: Upgrade\r\n"
     "Sec-WebSocket-Protocol: x, derp\r\n\r\n",
     RELAY_ROUTE_WEBSOCKET, "HTTP/1.1 501 "},
    {"probe", "GET /derp/probe HTTP/1.1" H "\r\n", RELAY_ROUTE_PROBE,
     "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n"},
    {"latency check", "HEAD /derp/latency-check HTTP/1.1" H "\r\n", RELAY_ROUTE_PROBE,
     "HTTP/1.1 200 "},
    {"probe by post", "POST /derp/probe HTTP/1.1" H "\r\n", RELAY_ROUTE_BAD_METHOD,
     "HTTP/1.1 405 "},
    {"captive portal check", "GET /generate_204?x=1 HTTP/1.1" H "\r\n", RELAY_ROUTE_204,
     "HTTP/1.1 204 No Content\r\nCache-Control: no-cache, no-store"},
    {"robots", "GET /robots.txt HTTP/1.0" H "\r\n", RELAY_ROUTE_ROBOTS, "HTTP/1.1 200 "},
    {"the server's own", "GET /metrics HTTP/1.1" H "\r\n", RELAY_ROUTE_OTHER, "HTTP/1.1 404 "},
    {"absolute form", "GET http://h/derp/probe HTTP/1.1" H "\r\n", RELAY_ROUTE_PROBE,
     "HTTP/1.1 200 "},
    {"connect", "CONNECT h:443 HTTP/1.1" H "\r\n", RELAY_ROUTE_OTHER, "HTTP/1.1 404 "},
};

static void every_request_has_its_route_and_answer(void **state) {
    static const uint8_t key[32] = {0xab, 0xcd};
    (void)state;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        for (size_t step = 1; step < 1000; step = step * 3 + 1) {
            struct relay_request r;
            char out[1024];
            bool close;
            size_t total;
            struct text t = text_in(out, sizeof out);
            if (feed(&r, routes[i].request, step, &total) != BK_OK)
                fail_msg("%s: not parsed in steps of %zu", routes[i].name, step);
            assert_int_equal(total, strlen(routes[i].request));
            if (relay_request_route(&r) != routes[i].route)
                fail_msg("%s: route %d", routes[i].name, (int)relay_request_route(&r));
            relay_response_put(&t, &r, routes[i].route, key, &close);
            if (strncmp(out, routes[i].answer, strlen(routes[i].answer)) != 0 ||
                (routes[i].answer[0] == '\0' && t.len > 0))
                fail_msg("%s: %s", routes[i].name, out);
        }
    }
}

static void what_follows_the_head_is_left_alone(void **state) {
    (void)state;
    struct relay_request r;
    size_t used = 0;
    const char *head =
        "GET /derp HTTP/1.1" H "Upgrade: DERP\r\nConnection: Upgrade\r\nDerp-Fast-Start: 1\r\n\r\n";
    char both[256];
    struct text t = text_in(both, sizeof both);
    text_str(&t, head);
    text_str(&t, "\002frame");
    relay_request_init(&r);
    assert_int_equal(relay_request_recv(&r, (const uint8_t *)both, t.len, &used), BK_OK);
    assert_int_equal(used, strlen(head));
    assert_true(r.fast_start);
}

static void challenges_are_echoed_only_if_harmless(void **state) {
    static const struct {
        const char *challenge, *expect;
    } cases[] = {
        {"aZ09._:-", "aZ09._:-"},
        {"a b", ""},
        {"a<script>", ""},
        {"0123456789012345678901234567890123456789012345678901234567890123",
         "0123456789012345678901234567890123456789012345678901234567890123"},
        {"01234567890123456789012345678901234567890123456789012345678901234", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char request[512];
        struct relay_request r;
        size_t total;
        struct text t = text_in(request, sizeof request);
        text_str(&t, "GET /generate_204 HTTP/1.1" H "X-Tailscale-Challenge: ");
        text_str(&t, cases[i].challenge);
        text_str(&t, "\r\n\r\n");
        assert_int_equal(feed(&r, request, 1000, &total), BK_OK);
        assert_string_equal(r.challenge, cases[i].expect);
    }
}

static void heads_are_bounded(void **state) {
    (void)state;
    struct relay_request r;
    size_t used = 0, total = 0;
    static char long_path[RELAY_PATH_MAX * 3 + 64] = "GET /";
    relay_request_init(&r);
    const char *start = "GET / HTTP/1.1\r\n";
    assert_int_equal(relay_request_recv(&r, (const uint8_t *)start, strlen(start), &used),
                     BK_ERR_SHORT);
    enum bk_err err = BK_ERR_SHORT;
    for (total = used; err == BK_ERR_SHORT && total < 3 * RELAY_HEAD_MAX; total += used)
        err = relay_request_recv(&r, (const uint8_t *)"A: bcd\r\n", 8, &used);
    assert_int_equal(err, BK_ERR_TOO_LONG);
    assert_true(total <= RELAY_HEAD_MAX + 8);
    memset(long_path + 5, 'a', RELAY_PATH_MAX * 3);
    assert_int_equal(feed(&r, long_path, 100, &total), BK_ERR_TOO_LONG);
    assert_int_equal(feed(&r, "\026\003\001\002", 100, &total), BK_ERR_MALFORMED);
    assert_int_equal(feed(&r, "GET /x\r\n\r\n", 100, &total), BK_OK); /* HTTP/0.9 style */
    assert_false(r.keep_alive);
}

static void a_response_is_read(void **state) {
    (void)state;
    const char *ok = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n"
                     "Derp-Version: 2\r\nDerp-Public-Key: "
                     "abcdef0000000000000000000000000000000000000000000000000000000001\r\n\r\n\001";
    struct relay_response r;
    size_t used = 0;
    relay_response_init(&r);
    assert_int_equal(relay_response_recv(&r, (const uint8_t *)ok, strlen(ok), &used), BK_OK);
    assert_int_equal(used, strlen(ok) - 1);
    assert_int_equal(r.status, 101);
    assert_true(r.upgrade_derp && r.key_known);
    assert_int_equal(r.version, 2);
    assert_int_equal(r.server_key[0], 0xab);
    assert_int_equal(r.server_key[31], 1);
    for (size_t len = 0; len + 1 < strlen(ok); len++) {
        relay_response_init(&r);
        assert_int_equal(relay_response_recv(&r, (const uint8_t *)ok, len, &used), BK_ERR_SHORT);
    }
}

static void our_request_reaches_our_server(void **state) {
    (void)state;
    for (int fast = 0; fast < 2; fast++) {
        char out[512];
        struct relay_request r;
        size_t total;
        struct text t = text_in(out, sizeof out);
        relay_request_put(&t, "relay.example", fast == 1);
        assert_int_equal(feed(&r, out, 7, &total), BK_OK);
        assert_int_equal(relay_request_route(&r), RELAY_ROUTE_DERP);
        assert_int_equal(r.fast_start, fast);
    }
}

static void keys_are_64_digits(void **state) {
    (void)state;
    uint8_t key[32];
    char hex[65] = "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100";
    assert_int_equal(relay_key_parse(hex, 64, key), BK_OK);
    assert_int_equal(key[1], 0x11);
    assert_int_equal(key[16], 0xff);
    assert_int_equal(relay_key_parse(hex, 63, key), BK_ERR_MALFORMED);
    hex[5] = 'g';
    assert_int_equal(relay_key_parse(hex, 64, key), BK_ERR_MALFORMED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_has_its_route_and_answer),
        cmocka_unit_test(what_follows_the_head_is_left_alone),
        cmocka_unit_test(challenges_are_echoed_only_if_harmless),
        cmocka_unit_test(heads_are_bounded),
        cmocka_unit_test(a_response_is_read),
        cmocka_unit_test(our_request_reaches_our_server),
        cmocka_unit_test(keys_are_64_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
