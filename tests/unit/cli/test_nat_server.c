/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "cli/nat_server.h"

static void every_spelling_of_a_server(void **state) {
    (void)state;
    static const struct {
        const char *text, *host;
        uint16_t port;
        const char *back;
    } cases[] = {
        {"stun.example", "stun.example", 3478, "stun.example:3478"},
        {"stun.example:19302", "stun.example", 19302, "stun.example:19302"},
        {"stun:stun.example:5", "stun.example", 5, "stun.example:5"},
        {"192.0.2.1", "192.0.2.1", 3478, "192.0.2.1:3478"},
        {"192.0.2.1:65535", "192.0.2.1", 65535, "192.0.2.1:65535"},
        {"2001:db8::1", "2001:db8::1", 3478, "[2001:db8::1]:3478"},
        {"[2001:db8::1]", "2001:db8::1", 3478, "[2001:db8::1]:3478"},
        {"[2001:db8::1]:7", "2001:db8::1", 7, "[2001:db8::1]:7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nat_server s;
        char back[NAT_SERVER_TEXT_MAX];
        assert_int_equal(nat_server_parse(cases[i].text, &s), BK_OK);
        assert_string_equal(s.host, cases[i].host);
        assert_int_equal(s.port, cases[i].port);
        assert_int_equal(s.tcp_port, cases[i].port);
        assert_string_equal(nat_server_text(&s, back), cases[i].back);
    }
}

static void what_is_no_server_is_refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",       ":",         ":3478",        "host:", "host:0", "host:65536",  "host:3a",
        "a b",    "stun:",     "[2001::1",     "[]:3",  "[a]b",   "host:123456", "ho/st",
        "[::1]3", "https://h", "192.0.2.1:-1",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nat_server s = {.port = 77};
        if (nat_server_parse(cases[i], &s) != BK_ERR_MALFORMED)
            fail_msg("\"%s\" was taken", cases[i]);
        assert_int_equal(s.port, 77);
    }
    char longest[HOME_HOST_MAX + 8];
    struct nat_server s;
    memset(longest, 'a', sizeof longest);
    longest[HOME_HOST_MAX] = '\0';
    assert_int_equal(nat_server_parse(longest, &s), BK_ERR_MALFORMED);
}

static void a_home_server_has_both_ports(void **state) {
    (void)state;
    struct home home;
    struct nat_server s;
    static const char url[] = "https://home.example:8443?stun=3500";
    assert_int_equal(home_url_parse(url, strlen(url), &home), BK_OK);
    nat_server_of_home(&home, &s);
    assert_string_equal(s.host, "home.example");
    assert_int_equal(s.port, 3500);
    assert_int_equal(s.tcp_port, 8443);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_of_a_server),
        cmocka_unit_test(what_is_no_server_is_refused),
        cmocka_unit_test(a_home_server_has_both_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
