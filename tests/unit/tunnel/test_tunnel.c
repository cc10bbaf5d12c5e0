/* SPDX-License-Identifier: MIT
 * What a proxy may answer, and what is made of it: whole, byte by byte, wrong and endless. */
#include "../test.h"
#include "tunnel/tunnel.h"

static void fill(void *ctx, void *out, size_t len) { /* 0, 1, 2, ... */
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = (uint8_t)i;
}
static const struct bk_rng rng = {fill, NULL};

static struct tunnel tunnel;
static struct tunnel_memory memory;
static struct proxy proxy;
static char sent[TUNNEL_OUT_MAX + 1];
static size_t sent_len;

static void take_output(void) {
    const uint8_t *out;
    sent_len = tunnel_next(&tunnel, &out);
    memcpy(sent, out, sent_len);
    sent[sent_len] = '\0';
}

static void open_tunnel(const char *url, const char *host, uint16_t port) {
    assert_int_equal(proxy_parse(url, strlen(url), &proxy), BK_OK);
    assert_int_equal(tunnel_init(&tunnel, &proxy, &memory, host, port, &rng), BK_OK);
    take_output();
}

static enum bk_err feed(const void *bytes, size_t len, size_t step, size_t *total) {
    enum bk_err err = BK_ERR_SHORT;
    *total = 0;
    while (err == BK_ERR_SHORT && *total < len) {
        size_t used = 0, n = len - *total < step ? len - *total : step;
        err = tunnel_recv(&tunnel, (const uint8_t *)bytes + *total, n, &used);
        *total += used;
    }
    return err;
}

static enum bk_err answer(const char *text) {
    size_t total;
    return feed(text, strlen(text), strlen(text), &total);
}

#define OK_HEAD "HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n"
#define NO_BODY "\r\nContent-Length: 0\r\n\r\n"

static void connect_asks_and_passes_the_rest_on(void **state) {
    static const char bytes[] = OK_HEAD "the other side's";
    (void)state;
    for (size_t step = 1; step < sizeof bytes; step++) {
        size_t total;
        open_tunnel("http://proxy:3128", "home.example", 443);
        assert_string_equal(sent, "CONNECT home.example:443 HTTP/1.1\r\n"
                                  "Host: home.example:443\r\nUser-Agent: bodkin\r\n\r\n");
        assert_int_equal(feed(bytes, sizeof bytes - 1, step, &total), BK_OK);
        assert_int_equal(total, strlen(OK_HEAD));
    }
    open_tunnel("http://proxy:3128", "2001:db8::1", 8443);
    assert_non_null(strstr(sent, "CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n"
                                 "Host: [2001:db8::1]:8443\r\n"));
}

static const struct {
    const char *answer;
    enum bk_err err;
    const char *reason;
    bool refused;
} answers[] = {
    {"HTTP/1.0 200 OK\r\n\r\n", BK_OK, "", false},
    {"HTTP/1.1 204 Fine" NO_BODY, BK_OK, "", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", BK_OK, "",
     false},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", BK_OK, "", false},
    {"HTTP/1.1 403 No" NO_BODY, BK_ERR_REFUSED,
     "the proxy proxy:3128 forbids connections to home.example:443", true},
    {"HTTP/1.1 451 No" NO_BODY, BK_ERR_REFUSED,
     "the proxy proxy:3128 forbids connections to home.example:443", true},
    {"HTTP/1.1 502 Bad Gateway" NO_BODY, BK_ERR_UNREACHABLE,
     "the proxy proxy:3128 cannot reach home.example:443", true},
    {"HTTP/1.1 504 Timeout" NO_BODY, BK_ERR_UNREACHABLE,
     "the proxy proxy:3128 cannot reach home.example:443", true},
    {"HTTP/1.1 405 No" NO_BODY, BK_ERR_UNSUPPORTED,
     "the proxy proxy:3128 does not pass connections on (no CONNECT) to home.example:443", true},
    {"HTTP/1.1 302 Elsewhere\r\nLocation: http://x/\r\n\r\n", BK_ERR_REFUSED,
     "the proxy proxy:3128 answered with status 302 when asked for home.example:443", true},
    {"HTTP/1.1 407 Who" NO_BODY, BK_ERR_AUTH,
     "the proxy proxy:3128 wants a user name and a password: give them in its URL, "
     "http://USER:PASSWORD@HOST:PORT",
     false},
    {"SSH-2.0-OpenSSH_9.2\r\n", BK_ERR_MALFORMED,
     "the proxy proxy:3128 does not speak HTTP: something else listens there", false},
    {"\x16\x03\x01", BK_ERR_MALFORMED,
     "the proxy proxy:3128 does not speak HTTP: something else listens there", false},
    {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", BK_ERR_MALFORMED,
     "the proxy proxy:3128 does not speak HTTP: something else listens there", false},
};

static void every_answer_is_understood(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        print_message("%.60s\n", answers[i].answer);
        for (size_t step = 1; step < 80; step += 13) {
            size_t total;
            open_tunnel("http://proxy:3128", "home.example", 443);
            assert_int_equal(feed(answers[i].answer, strlen(answers[i].answer), step, &total),
                             answers[i].err);
            assert_string_equal(tunnel.reason, answers[i].reason);
            assert_int_equal(tunnel.refused, answers[i].refused);
            assert_false(tunnel.again);
        }
    }
}

static void an_answer_cut_anywhere_is_short(void **state) {
    (void)state;
    for (size_t len = 0; len < strlen(OK_HEAD); len++) {
        size_t total;
        open_tunnel("http://proxy:3128", "home.example", 443);
        assert_int_equal(feed(OK_HEAD, len, 100, &total), BK_ERR_SHORT);
    }
}

static void an_endless_answer_has_an_end(void **state) {
    static const char *const pieces[] = {"X-Filler: yyyyyyyyyyyyyyyyyyyyyyyy\r\n",
                                         "HTTP/1.1 100 Continue\r\n\r\n", "y"};
    (void)state;
    for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
        size_t total, all = 0;
        enum bk_err err;
        open_tunnel("http://proxy:3128", "home.example", 443);
        err = p == 1 ? BK_ERR_SHORT : answer(p == 0 ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 200 ");
        while (err == BK_ERR_SHORT && all < 20000) {
            err = feed(pieces[p], strlen(pieces[p]), 100, &total);
            all += total;
        }
        assert_int_equal(err, BK_ERR_TOO_LONG);
        assert_true(all <= ANSWER_HEAD_MAX);
        assert_string_equal(tunnel.reason, "the proxy proxy:3128 sends an endless answer");
    }
}

/* RFC 7617 section 2's own example. */
static void basic_is_shown_when_asked_for(void **state) {
    (void)state;
    memset(&memory, 0, sizeof memory);
    open_tunnel("http://Aladdin:open%20sesame@proxy:1", "h", 443);
    assert_null(strstr(sent, "Authorization"));
    assert_int_equal(answer("HTTP/1.1 407 X\r\nProxy-Authenticate: Negotiate\r\n"
                            "Proxy-Authenticate: Basic realm=\"a, b\"\r\n\r\n"),
                     BK_ERR_AUTH);
    assert_true(tunnel.again);
    open_tunnel("http://Aladdin:open%20sesame@proxy:1", "h", 443);
    assert_non_null(
        strstr(sent, "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"));
    assert_int_equal(answer("HTTP/1.1 407 X\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"),
                     BK_ERR_AUTH);
    assert_false(tunnel.again);
    assert_string_equal(tunnel.reason, "the proxy proxy:1 refused the user name or the password");
    assert_null(strstr(tunnel.reason, "sesame"));
    /* What tinyproxy answers to a wrong password. */
    assert_int_equal(memory.login.scheme, LOGIN_NONE);
    memory.login.scheme = LOGIN_BASIC;
    open_tunnel("http://Aladdin:open%20sesame@proxy:1", "h", 443);
    assert_int_equal(answer("HTTP/1.0 401 Unauthorized\r\n\r\n"), BK_ERR_AUTH);
    assert_string_equal(tunnel.reason, "the proxy proxy:1 refused the user name or the password");
}

static const struct {
    const char *challenge, *parts[5];
} digests[] = {
    {"Basic realm=\"x\", Digest realm=\"http-auth@example.org\", nonce=\"N0nce\", qop=\"auth-int, "
     "auth\", opaque=\"o\\\"p\"",
     {"username=\"Mufasa\", realm=\"http-auth@example.org\", nonce=\"N0nce\", "
      "uri=\"home.example:443\", algorithm=MD5, "
      "response=\"ae3405ac7602a624ee0bc6625c31c04d\"",
      ", qop=auth, nc=00000001, cnonce=\"000102030405060708090a0b0c0d0e0f\", opaque=\"o\\\"p\""}},
    {"Digest realm=\"http-auth@example.org\", nonce=\"N0nce\", qop=\"auth\", algorithm=SHA-256",
     {"algorithm=SHA-256, "
      "response=\"b24b3b81450caea1085d2b3cc835abf1b61e7780eecd6ba27393ecea23a063f4\""}},
    {"Digest realm=\"http-auth@example.org\",nonce=N0nce, algorithm=\"MD5\" , Basic realm=q",
     {"response=\"d70f1942ad1619fa819358ce8d8deb82\"\r\n"}},
    {"NTLM, Digest algorithm=md5-sess, qop=auth, realm=\"http-auth@example.org\", nonce=N0nce",
     {"algorithm=MD5-sess, response=\"c0fb88fb5966e9e8f47dc9e2e9981009\"", "qop=auth"}},
};

static void digest_answers_its_challenge(void **state) {
    static const char url[] = "http://Mufasa:Circle%20of%20Life@proxy:1";
    (void)state;
    for (size_t i = 0; i < sizeof digests / sizeof digests[0]; i++) {
        char text[512] = "HTTP/1.1 407 X\r\nProxy-Authenticate: ";
        memset(&memory, 0, sizeof memory);
        open_tunnel(url, "home.example", 443);
        strcat(text, digests[i].challenge);
        strcat(text, "\r\n\r\n");
        assert_int_equal(answer(text), BK_ERR_AUTH);
        assert_true(tunnel.again);
        open_tunnel(url, "home.example", 443);
        print_message("%s", sent);
        for (size_t k = 0; k < 5 && digests[i].parts[k] != NULL; k++)
            assert_non_null(strstr(sent, digests[i].parts[k]));
        assert_null(strstr(sent, "Circle"));
        /* A new nonce for the old one, and then the end. */
        assert_int_equal(answer("HTTP/1.1 407 X\r\nProxy-Authenticate: Digest realm=\"r\", "
                                "nonce=\"new\", stale=TRUE, qop=\"auth\"\r\n\r\n"),
                         BK_ERR_AUTH);
        assert_true(tunnel.again);
        open_tunnel(url, "home.example", 443);
        assert_int_equal(answer("HTTP/1.1 407 X\r\nProxy-Authenticate: Digest realm=\"r\", "
                                "nonce=\"new\", qop=\"auth\"\r\n\r\n"),
                         BK_ERR_AUTH);
        assert_false(tunnel.again);
    }
}

static const char *const unknown_logins[] = {
    "NTLM",
    "Negotiate TlRMTVNTUAAC=",
    "Digest realm=\"r\"", /* no nonce */
    "Digest nonce=n, algorithm=SHA-512-256",
    "Digest nonce=n, qop=\"auth-int\"",
    "Digest nonce=\"open",
    "\"",
    "",
    "=",
    ",,,",
    "Digest nonce=\"n\\",
};

static void an_unknown_login_is_said_so(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof unknown_logins / sizeof unknown_logins[0]; i++) {
        char text[512] = "HTTP/1.1 407 X\r\nProxy-Authenticate: ";
        memset(&memory, 0, sizeof memory);
        open_tunnel("http://u:p@proxy:1", "h", 443);
        strcat(text, unknown_logins[i]);
        strcat(text, "\r\n\r\n");
        assert_int_equal(answer(text), BK_ERR_UNSUPPORTED);
        assert_false(tunnel.again);
    }
}

/* The longest login, every letter of it escaped, still fits the request. */
static void the_longest_login_fits(void **state) {
    char url[400] = "http://", text[2000];
    (void)state;
    memset(&memory, 0, sizeof memory);
    memset(url + 7, '"', PROXY_WORD_MAX - 1);
    strcat(url, ":");
    memset(url + strlen(url), '"', PROXY_WORD_MAX - 1);
    strcat(url, "@h");
    strcpy(text, "HTTP/1.1 407 X\r\nProxy-Authenticate: Digest qop=auth, realm=\"");
    for (int i = 0; i < LOGIN_REALM_MAX - 1; i++)
        strcat(text, "\\\"");
    strcat(text, "\", nonce=\"n\"\r\n\r\n");
    open_tunnel(url, "home.example", 443);
    assert_int_equal(answer(text), BK_ERR_AUTH);
    assert_true(tunnel.again);
    open_tunnel(url, "home.example", 443);
    assert_non_null(strstr(sent, "\"\r\n\r\n"));
    memset(text, 'h', PROXY_HOST_MAX);
    text[PROXY_HOST_MAX] = '\0';
    assert_int_equal(tunnel_init(&tunnel, &proxy, &memory, text, 1, &rng), BK_ERR_TOO_LONG);
}

static void socks_without_a_login(void **state) {
    static const uint8_t replies[] = {5, 0, 5, 0, 0, 1, 10, 0, 0, 1, 0, 80, 'r', 'e', 's', 't'};
    (void)state;
    for (size_t step = 1; step <= sizeof replies; step++) {
        size_t total;
        open_tunnel("socks5://proxy", "home.example", 443);
        assert_int_equal(sent_len, 3);
        assert_memory_equal(sent, "\5\1\0", 3);
        assert_int_equal(feed(replies, 2, step, &total), BK_ERR_SHORT);
        take_output();
        assert_int_equal(sent_len, 7 + 12);
        assert_memory_equal(sent, "\5\1\0\3\14home.example\1\273", 19);
        assert_int_equal(feed(replies + 2, sizeof replies - 2, step, &total), BK_OK);
        assert_int_equal(total, 10);
    }
}

static void socks_with_a_login_and_an_address(void **state) {
    (void)state;
    open_tunnel("socks5://u:secret@proxy", "2001:db8::1", 443);
    assert_memory_equal(sent, "\5\2\0\2", 4);
    size_t total;
    assert_int_equal(feed("\5\2", 2, 1, &total), BK_ERR_SHORT);
    take_output();
    assert_int_equal(sent_len, 10);
    assert_memory_equal(sent, "\1\1u\6secret", 10);
    assert_int_equal(feed("\1\0", 2, 1, &total), BK_ERR_SHORT);
    take_output();
    assert_int_equal(sent_len, 22);
    assert_memory_equal(sent, "\5\1\0\4\x20\1\15\270", 8);
    assert_int_equal(feed("\5\0\0\3\2ab\0\0", 9, 2, &total), BK_OK);
}

static const struct {
    const char *url, *bytes;
    size_t len;
    enum bk_err err;
    const char *reason;
} socks_failures[] = {
    {"socks5://p", "\4\0", 2, BK_ERR_MALFORMED,
     "does not speak SOCKS5: something else listens there"},
    {"socks5://p", "HTTP/1.1 400", 12, BK_ERR_MALFORMED,
     "does not speak SOCKS5: something else listens there"},
    {"socks5://p", "\5\377", 2, BK_ERR_AUTH,
     "wants a user name and a password: give them in its URL, socks5://USER:PASSWORD@HOST:PORT"},
    {"socks5://p", "\5\2", 2, BK_ERR_AUTH,
     "wants a user name and a password: give them in its URL, socks5://USER:PASSWORD@HOST:PORT"},
    {"socks5://u:p@p", "\5\377", 2, BK_ERR_UNSUPPORTED,
     "wants a login of a kind that is not known here (only user name and password are)"},
    {"socks5://u:p@p", "\5\2\1\1", 4, BK_ERR_AUTH, "refused the user name or the password"},
    {"socks5://p", "\5\0\5\2\0\1\0", 7, BK_ERR_REFUSED, "forbids connections to h:443"},
    {"socks5://p", "\5\0\5\4\0\1\0", 7, BK_ERR_UNREACHABLE, "cannot reach h:443"},
    {"socks5://p", "\5\0\5\5\0\1\0", 7, BK_ERR_REFUSED, "was refused the connection to h:443"},
    {"socks5://p", "\5\0\5\77\0\1\0", 7, BK_ERR_REFUSED, "failed to connect to h:443"},
    {"socks5://p", "\5\0\5\0\0\7\0", 7, BK_ERR_MALFORMED,
     "answers with an address of no known kind"},
};

static void every_refusal_of_socks_is_a_sentence(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof socks_failures / sizeof socks_failures[0]; i++) {
        size_t total;
        print_message("%s\n", socks_failures[i].reason);
        open_tunnel(socks_failures[i].url, "h", 443);
        assert_int_equal(feed(socks_failures[i].bytes, socks_failures[i].len, 1, &total),
                         socks_failures[i].err);
        assert_string_equal(tunnel.reason + strlen("the proxy p:1080 "), socks_failures[i].reason);
        assert_int_equal(feed("x", 1, 1, &total), BK_ERR_STATE);
    }
    tunnel_fini(&tunnel);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_asks_and_passes_the_rest_on),
        cmocka_unit_test(every_answer_is_understood),
        cmocka_unit_test(an_answer_cut_anywhere_is_short),
        cmocka_unit_test(an_endless_answer_has_an_end),
        cmocka_unit_test(basic_is_shown_when_asked_for),
        cmocka_unit_test(digest_answers_its_challenge),
        cmocka_unit_test(an_unknown_login_is_said_so),
        cmocka_unit_test(the_longest_login_fits),
        cmocka_unit_test(socks_without_a_login),
        cmocka_unit_test(socks_with_a_login_and_an_address),
        cmocka_unit_test(every_refusal_of_socks_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
