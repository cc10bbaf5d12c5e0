/* SPDX-License-Identifier: MIT
 * Proxies as people write them, and NO_PROXY. */
#include "../test.h"
#include "tunnel/proxy.h"

static const struct {
    const char *text;
    enum bk_err err;
    enum proxy_kind kind;
    const char *host;
    uint16_t port;
    const char *user, *password; /* NULL: no login */
} urls[] = {
    {"http://proxy.example:3128", BK_OK, PROXY_HTTP, "proxy.example", 3128, NULL, NULL},
    {"http://proxy.example:3128/", BK_OK, PROXY_HTTP, "proxy.example", 3128, NULL, NULL},
    {" Proxy.Example:8080\n", BK_OK, PROXY_HTTP, "proxy.example", 8080, NULL, NULL},
    {"HTTP://10.0.0.1", BK_OK, PROXY_HTTP, "10.0.0.1", 80, NULL, NULL},
    {"http://[2001:db8::1]:8080", BK_OK, PROXY_HTTP, "2001:db8::1", 8080, NULL, NULL},
    {"http://u:p@proxy:1", BK_OK, PROXY_HTTP, "proxy", 1, "u", "p"},
    {"http://u@proxy:1", BK_OK, PROXY_HTTP, "proxy", 1, "u", ""},
    {"http://u%40corp:p%3Aq%2f%25@proxy", BK_OK, PROXY_HTTP, "proxy", 80, "u@corp", "p:q/%"},
    {"http://u:p@ss@proxy:1", BK_OK, PROXY_HTTP, "proxy", 1, "u", "p@ss"},
    {"socks5://u:p@[::1]:9", BK_OK, PROXY_SOCKS5, "::1", 9, "u", "p"},
    {"socks5h://proxy", BK_OK, PROXY_SOCKS5, "proxy", 1080, NULL, NULL},
    {"https://proxy:443", BK_ERR_UNSUPPORTED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"socks4://proxy:443", BK_ERR_UNSUPPORTED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://:80", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://a b", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://a\r\nX: y", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://[::1", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://[10.0.0.1]", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://[::1]x", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://u:%00@proxy", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://u:%4@proxy", BK_ERR_MALFORMED, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://proxy:0", BK_ERR_ARGUMENT, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://proxy:65536", BK_ERR_ARGUMENT, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://proxy:", BK_ERR_ARGUMENT, PROXY_NONE, NULL, 0, NULL, NULL},
    {"http://proxy:80/path", BK_ERR_ARGUMENT, PROXY_NONE, NULL, 0, NULL, NULL},
};

static void every_url_is_read_or_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct proxy p = {.port = 7};
        print_message("%s\n", urls[i].text);
        assert_int_equal(proxy_parse(urls[i].text, strlen(urls[i].text), &p), urls[i].err);
        if (urls[i].err != BK_OK) {
            assert_int_equal(p.port, 7); /* untouched */
            continue;
        }
        assert_int_equal(p.kind, urls[i].kind);
        assert_string_equal(p.host, urls[i].host);
        assert_int_equal(p.port, urls[i].port);
        assert_int_equal(p.has_login, urls[i].user != NULL);
        if (urls[i].user != NULL) {
            assert_string_equal(p.user, urls[i].user);
            assert_string_equal(p.password, urls[i].password);
        }
    }
}

static void words_that_are_too_long_are_refused(void **state) {
    char text[600];
    struct proxy p;
    (void)state;
    for (size_t len = PROXY_WORD_MAX - 2; len <= PROXY_WORD_MAX; len++) {
        memset(text, 'u', len);
        memcpy(text + len, ":p@h", 5);
        assert_int_equal(proxy_parse(text, strlen(text), &p),
                         len < PROXY_WORD_MAX ? BK_OK : BK_ERR_TOO_LONG);
    }
    memset(text, 'h', PROXY_HOST_MAX);
    assert_int_equal(proxy_parse(text, PROXY_HOST_MAX - 1, &p), BK_OK);
    assert_int_equal(proxy_parse(text, PROXY_HOST_MAX, &p), BK_ERR_TOO_LONG);
}

static void a_proxy_is_shown_without_its_login(void **state) {
    char out[PROXY_TEXT_MAX];
    struct proxy p;
    const char text[] = "socks5://user:hidden@[2001:DB8::1]:9";
    (void)state;
    assert_int_equal(proxy_parse(text, strlen(text), &p), BK_OK);
    assert_string_equal(proxy_format(&p, out), "socks5://[2001:db8::1]:9");
    proxy_fini(&p);
    assert_string_equal(p.password, "");
}

static const struct {
    const char *list, *host;
    uint16_t port;
    bool bypassed;
} bypasses[] = {
    {"", "home.example", 443, false},
    {"*", "home.example", 443, true},
    {"a, *", "home.example", 443, true},
    {"example", "home.example", 443, true},
    {".example", "home.example", 443, true},
    {"HOME.example", "home.Example", 443, true},
    {"home.example", "home.example", 443, true},
    {"me.example", "home.example", 443, false},
    {"other.home.example", "home.example", 443, false},
    {"localhost,home.example:443", "home.example", 443, true},
    {"home.example:443", "home.example", 8443, false},
    {"home.example:x", "home.example", 443, false},
    {"10.0.0.0/8", "10.1.2.3", 443, true},
    {"10.0.0.0/8", "11.1.2.3", 443, false},
    {"10.128.0.0/9 127.0.0.1", "10.127.0.1", 443, false},
    {"10.128.0.0/9", "10.130.0.1", 443, true},
    {"0.0.0.0/0", "10.130.0.1", 443, true},
    {"10.0.0.0/33", "10.0.0.1", 443, false},
    {"10.1.2.3", "10.1.2.3", 443, true},
    {"10.1.2.3:80", "10.1.2.3", 443, false},
    {"2.3", "10.1.2.3", 443, false}, /* addresses have no names below them */
    {"2001:db8::/32", "2001:db8:1::1", 443, true},
    {"::1", "::1", 443, true},
    {"[::1]", "::1", 443, true},
    {"[::1]:443", "::1", 443, true},
    {"[::1]:80", "::1", 443, false},
    {"[::1", "::1", 443, false},
    {",,  ,", "home.example", 443, false},
    {".", "home.example", 443, false},
    {"/", "home.example", 443, false},
    {":443", "home.example", 443, false},
};

static void the_list_of_exceptions_is_obeyed(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bypasses / sizeof bypasses[0]; i++) {
        print_message("%s for %s\n", bypasses[i].list, bypasses[i].host);
        assert_int_equal(proxy_is_bypassed(bypasses[i].list, bypasses[i].host, bypasses[i].port),
                         bypasses[i].bypassed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_url_is_read_or_refused),
        cmocka_unit_test(words_that_are_too_long_are_refused),
        cmocka_unit_test(a_proxy_is_shown_without_its_login),
        cmocka_unit_test(the_list_of_exceptions_is_obeyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
