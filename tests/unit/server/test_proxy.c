/* SPDX-License-Identifier: MIT
 * PROXY headers, both versions: what is in them, cut short anywhere, and wrong. */
#include "../test.h"
#include "server/proxy.h"
#include <stdio.h>

static const uint8_t v2_tcp4[] = {'\r', '\n', '\r', '\n', 0,    '\r', '\n', 'Q', 'U', 'I', 'T',
                                  '\n', 0x21, 0x11, 0,    12,   192,  0,    2,   1,   198, 51,
                                  100,  7,    0xc3, 0x50, 0x0d, 0x96, 'r',  'e', 's', 't'};
enum { V2_TCP4_LEN = sizeof v2_tcp4 - 4 };

static void assert_addr(const struct bk_addr *addr, const char *text) {
    char out[BK_ADDR_TEXT_MAX];
    assert_string_equal(bk_addr_format(addr, out), text);
}

static void version_2_names_client_and_server(void **state) {
    struct proxy_header h;
    (void)state;
    assert_int_equal(proxy_header_parse(&h, v2_tcp4, sizeof v2_tcp4), BK_OK);
    assert_int_equal(h.len, V2_TCP4_LEN);
    assert_true(h.stream && !h.local);
    assert_addr(&h.client, "192.0.2.1:50000");
    assert_addr(&h.server, "198.51.100.7:3478");
}

static void a_header_may_come_in_pieces(void **state) {
    static const char v1[] = "PROXY TCP4 192.0.2.1 198.51.100.7 50000 3478\r\nrest";
    struct proxy_header h;
    (void)state;
    for (size_t len = 0; len < V2_TCP4_LEN; len++)
        assert_int_equal(proxy_header_parse(&h, v2_tcp4, len), BK_ERR_SHORT);
    for (size_t len = 0; len < sizeof v1 - 5; len++)
        assert_int_equal(proxy_header_parse(&h, (const uint8_t *)v1, len), BK_ERR_SHORT);
}

static void version_2_knows_ipv6_and_datagrams(void **state) {
    uint8_t bytes[16 + 36];
    struct proxy_header h;
    (void)state;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, v2_tcp4, 16);
    bytes[13] = 0x22;
    bytes[15] = 36;
    bytes[16] = 0x20;
    bytes[17] = 0x01;
    bytes[31] = 1;
    bytes[32 + 10] = bytes[32 + 11] = 0xff; /* mapped: shown as IPv4 */
    bytes[32 + 12] = 10;
    bytes[48] = 1;
    bytes[51] = 2;
    assert_int_equal(proxy_header_parse_datagram(&h, bytes, sizeof bytes), BK_OK);
    assert_false(h.stream || h.local);
    assert_addr(&h.client, "[2001::1]:256");
    assert_addr(&h.server, "10.0.0.0:2");
    assert_int_equal(proxy_header_parse_datagram(&h, bytes, sizeof bytes - 1), BK_ERR_MALFORMED);
    bytes[13] = 0x21; /* a connection's header in a datagram */
    assert_int_equal(proxy_header_parse_datagram(&h, bytes, sizeof bytes), BK_ERR_MALFORMED);
}

static void what_follows_the_addresses_is_skipped(void **state) {
    uint8_t bytes[16 + 12 + 5] = {0};
    struct proxy_header h;
    (void)state;
    memcpy(bytes, v2_tcp4, V2_TCP4_LEN);
    bytes[15] = 12 + 5;
    assert_int_equal(proxy_header_parse(&h, bytes, sizeof bytes), BK_OK);
    assert_int_equal(h.len, sizeof bytes);
}

static void a_proxy_may_speak_for_itself(void **state) {
    uint8_t bytes[16];
    struct proxy_header h;
    (void)state;
    memcpy(bytes, v2_tcp4, 16);
    bytes[12] = 0x20; /* LOCAL */
    bytes[13] = 0;
    bytes[15] = 0;
    assert_int_equal(proxy_header_parse(&h, bytes, sizeof bytes), BK_OK);
    assert_true(h.local);
    assert_int_equal(proxy_header_parse_datagram(&h, bytes, sizeof bytes), BK_OK);
    bytes[12] = 0x21;
    bytes[13] = 0x31; /* a local socket behind the proxy */
    assert_int_equal(proxy_header_parse(&h, bytes, sizeof bytes), BK_OK);
    assert_true(h.local);
}

static void wrong_version_2_headers_are_refused(void **state) {
    static const struct {
        size_t at;
        uint8_t value;
        enum bk_err err;
    } wrong[] = {
        {0, 'G', BK_ERR_NOT_OURS},    {11, 'x', BK_ERR_NOT_OURS},   {12, 0x11, BK_ERR_MALFORMED},
        {12, 0x22, BK_ERR_MALFORMED}, {13, 0x41, BK_ERR_MALFORMED}, {13, 0x13, BK_ERR_MALFORMED},
        {14, 0xff, BK_ERR_TOO_LONG},  {15, 11, BK_ERR_MALFORMED},
    };
    struct proxy_header h;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t bytes[sizeof v2_tcp4];
        memcpy(bytes, v2_tcp4, sizeof bytes);
        bytes[wrong[i].at] = wrong[i].value;
        assert_int_equal(proxy_header_parse(&h, bytes, sizeof bytes), wrong[i].err);
    }
}

static void version_1_is_a_line(void **state) {
    static const struct {
        const char *line, *client, *server;
        enum bk_err err;
    } cases[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\r\n", "192.0.2.1:50000", "198.51.100.7:443",
         BK_OK},
        {"PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\nrest", "[2001:db8::1]:0",
         "[2001:db8::2]:65535", BK_OK},
        {"PROXY UNKNOWN\r\n", NULL, NULL, BK_OK},
        {"PROXY UNKNOWN ffff:: whatever it is\r\n", NULL, NULL, BK_OK},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 50000 443\n", NULL, NULL, BK_ERR_MALFORMED},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 50000\r\n", NULL, NULL, BK_ERR_MALFORMED},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 50000 443 1\r\n", NULL, NULL, BK_ERR_MALFORMED},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 050000 443\r\n", NULL, NULL, BK_ERR_MALFORMED},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n", NULL, NULL, BK_ERR_MALFORMED},
        {"PROXY TCP4 192.0.2.1 198.51.100.7 -1 443\r\n", NULL, NULL, BK_ERR_MALFORMED},
        {"PROXY TCP4 192.0.2 198.51.100.7 1 443\r\n", NULL, NULL, BK_ERR_MALFORMED},
        {"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", NULL, NULL, BK_ERR_MALFORMED},
        {"PROXY UDP4 192.0.2.1 198.51.100.7 50000 443\r\n", NULL, NULL, BK_ERR_MALFORMED},
        {"PROXY \r\n", NULL, NULL, BK_ERR_MALFORMED},
        {"GET / HTTP/1.1\r\n", NULL, NULL, BK_ERR_NOT_OURS},
        {"PROXZ", NULL, NULL, BK_ERR_NOT_OURS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct proxy_header h;
        size_t len = strlen(cases[i].line);
        assert_int_equal(proxy_header_parse(&h, (const uint8_t *)cases[i].line, len), cases[i].err);
        if (cases[i].err != BK_OK)
            continue;
        assert_int_equal(h.len, strcspn(cases[i].line, "\n") + 1);
        assert_true(h.local == (cases[i].client == NULL) && h.stream);
        if (cases[i].client != NULL) {
            assert_addr(&h.client, cases[i].client);
            assert_addr(&h.server, cases[i].server);
        }
    }
}

static void an_endless_line_ends_the_wait(void **state) {
    char line[PROXY_V1_MAX + 1] = "PROXY UNKNOWN ";
    struct proxy_header h;
    (void)state;
    memset(line + 14, 'x', sizeof line - 14);
    assert_int_equal(proxy_header_parse(&h, (uint8_t *)line, sizeof line), BK_ERR_TOO_LONG);
    assert_int_equal(proxy_header_parse_datagram(&h, (uint8_t *)line, sizeof line),
                     BK_ERR_NOT_OURS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_2_names_client_and_server),
        cmocka_unit_test(a_header_may_come_in_pieces),
        cmocka_unit_test(version_2_knows_ipv6_and_datagrams),
        cmocka_unit_test(what_follows_the_addresses_is_skipped),
        cmocka_unit_test(a_proxy_may_speak_for_itself),
        cmocka_unit_test(wrong_version_2_headers_are_refused),
        cmocka_unit_test(version_1_is_a_line),
        cmocka_unit_test(an_endless_line_ends_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
