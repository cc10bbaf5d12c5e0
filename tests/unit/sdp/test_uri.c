/* SPDX-License-Identifier: MIT
 * Server URIs, RFC 7064 and RFC 7065. */
#include "../test.h"
#include "sdp/uri.h"

static const struct {
    const char *text;
    bool turn, secure;
    enum bk_protocol protocol;
    uint16_t port;
    const char *host;
    uint8_t family;
} good[] = {
    /* RFC 7064 appendix A, RFC 7065 appendix A */
    {"stun:example.org", false, false, BK_UDP, 3478, "example.org", BK_FAMILY_NONE},
    {"stuns:example.org", false, true, BK_TCP, 5349, "example.org", BK_FAMILY_NONE},
    {"stun:example.org:8000", false, false, BK_UDP, 8000, "example.org", BK_FAMILY_NONE},
    {"turn:example.org", true, false, BK_UDP, 3478, "example.org", BK_FAMILY_NONE},
    {"turns:example.org", true, true, BK_TCP, 5349, "example.org", BK_FAMILY_NONE},
    {"turn:example.org?transport=udp", true, false, BK_UDP, 3478, "example.org", BK_FAMILY_NONE},
    {"turn:example.org:8000?transport=tcp", true, false, BK_TCP, 8000, "example.org",
     BK_FAMILY_NONE},
    {"turns:example.org?transport=tcp", true, true, BK_TCP, 5349, "example.org", BK_FAMILY_NONE},
    {"turns:example.org?transport=udp", true, true, BK_UDP, 5349, "example.org", BK_FAMILY_NONE},
    {"TURN:Example.ORG?Transport=TCP", true, false, BK_TCP, 3478, "Example.ORG", BK_FAMILY_NONE},
    {"stun:192.0.2.1", false, false, BK_UDP, 3478, "192.0.2.1", BK_IPV4},
    {"stun:192.0.2.1:19302", false, false, BK_UDP, 19302, "192.0.2.1", BK_IPV4},
    {"stun:[2001:db8::1]", false, false, BK_UDP, 3478, "2001:db8::1", BK_IPV6},
    {"turn:[2001:db8::1]:443?transport=tcp", true, false, BK_TCP, 443, "2001:db8::1", BK_IPV6},
    {"stun:example.org:", false, false, BK_UDP, 3478, "example.org", BK_FAMILY_NONE},
    {"stun:example.org?transport=tcp", false, false, BK_TCP, 3478, "example.org", BK_FAMILY_NONE},
    {"stun:localhost", false, false, BK_UDP, 3478, "localhost", BK_FAMILY_NONE},
};

static void reads_uris(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct server_uri uri;
        if (uri_read(good[i].text, &uri) != BK_OK)
            fail_msg("not read: %s", good[i].text);
        assert_int_equal(uri.turn, good[i].turn);
        assert_int_equal(uri.secure, good[i].secure);
        assert_int_equal(uri.protocol, good[i].protocol);
        assert_int_equal(uri.port, good[i].port);
        assert_string_equal(uri.host, good[i].host);
        assert_int_equal(uri.ip.family, good[i].family);
    }
}

static const struct {
    enum bk_err err;
    const char *text;
} bad[] = {
    {BK_ERR_MALFORMED, ""},
    {BK_ERR_MALFORMED, "stun"},
    {BK_ERR_MALFORMED, "stun:"},
    {BK_ERR_MALFORMED, "stun::3478"},
    {BK_ERR_MALFORMED, "stun://example.org"},
    {BK_ERR_MALFORMED, "stun:user@example.org"},
    {BK_ERR_MALFORMED, "stun:example.org:0"},
    {BK_ERR_MALFORMED, "stun:example.org:65536"},
    {BK_ERR_MALFORMED, "stun:example.org:x"},
    {BK_ERR_MALFORMED, "stun:example.org:80:90"},
    {BK_ERR_MALFORMED, "stun:2001:db8::1"},
    {BK_ERR_MALFORMED, "stun:[2001:db8::1"},
    {BK_ERR_MALFORMED, "stun:[2001:db8::1]x"},
    {BK_ERR_MALFORMED, "stun:[2001:db8::1]x:80"},
    {BK_ERR_MALFORMED, "stun:[192.0.2.1]"},
    {BK_ERR_MALFORMED, "stun:[fe80::1%3]"},
    {BK_ERR_MALFORMED, "stun:[]"},
    {BK_ERR_MALFORMED, "stun:256.0.0.1"},
    {BK_ERR_MALFORMED, "stun:exa mple.org"},
    {BK_ERR_MALFORMED, "turn:example.org?"},
    {BK_ERR_MALFORMED, "turn:example.org?transport="},
    {BK_ERR_MALFORMED, "turn:example.org?color=udp"},
    {BK_ERR_MALFORMED, "turn:?transport=udp"},
    {BK_ERR_UNSUPPORTED, "turn:example.org?transport=sctp"},
    {BK_ERR_UNSUPPORTED, "http://example.org"},
    {BK_ERR_UNSUPPORTED, "stunx:example.org"},
    {BK_ERR_UNSUPPORTED, "sip:example.org"},
};

static void refuses_what_is_none(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct server_uri uri, before;
        memset(&uri, 0x5a, sizeof uri);
        before = uri;
        enum bk_err err = uri_read(bad[i].text, &uri);
        if (err != bad[i].err)
            fail_msg("%s, not %s: %s", bk_err_text(err), bk_err_text(bad[i].err), bad[i].text);
        assert_memory_equal(&uri, &before, sizeof uri);
    }
}

static void refuses_long_ones(void **state) {
    (void)state;
    char text[1024] = "turn:";
    struct server_uri uri;
    for (size_t i = 5; i < 5 + 255; i++)
        text[i] = i % 50 == 0 ? '.' : 'a';
    assert_int_equal(uri_read(text, &uri), BK_OK);
    assert_int_equal(strlen(uri.host), 255);
    text[5 + 255] = 'a';
    assert_int_equal(uri_read(text, &uri), BK_ERR_TOO_LONG);
    memset(text + 5, 'a', 800);
    assert_int_equal(uri_read(text, &uri), BK_ERR_TOO_LONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_uris),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(refuses_long_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
