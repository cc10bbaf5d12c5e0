/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "fastpath/fastpath.h"
#include "server/home_line.h"
#include "server/options.h"
#include <stdio.h>

static enum bk_err set(struct server_options *o, const char *name, const char *value) {
    char reason[SERVER_TEXT_MAX] = "";
    const struct server_option *row = server_option_find(name);
    assert_non_null(row);
    enum bk_err err = server_option_set(o, row, value, reason);
    if (err != BK_OK)
        assert_non_null(strstr(reason, name)); /* the sentence names the option */
    return err;
}

static const struct {
    const char *name, *value;
    enum bk_err err;
} cases[] = {
    {"https", "8443", BK_OK},
    {"https", "0", BK_OK},
    {"https", "65535", BK_OK},
    {"https", "65536", BK_ERR_MALFORMED},
    {"https", "-1", BK_ERR_MALFORMED},
    {"https", "", BK_ERR_MALFORMED},
    {"https", "80 ", BK_ERR_MALFORMED},
    {"https", "99999999999999999999", BK_ERR_MALFORMED},
    {"https", NULL, BK_ERR_MALFORMED},
    {"workers", "64", BK_OK},
    {"workers", "65", BK_ERR_MALFORMED},
    {"listen", "192.0.2.1", BK_OK},
    {"listen", "2001:db8::1", BK_OK},
    {"listen", "example.org", BK_ERR_MALFORMED},
    {"stun-address", "192.0.2.1", BK_OK},
    {"stun-address", "everywhere", BK_ERR_MALFORMED},
    {"stun-address", "10.0.0.4=203.0.113.4", BK_OK},
    {"stun-address", "10.0.0.4=", BK_ERR_MALFORMED},
    {"stun-address", "=203.0.113.4", BK_ERR_MALFORMED},
    {"stun-address", "10.0.0.4=somewhere", BK_ERR_MALFORMED},
    {"listen", "10.0.0.4=203.0.113.4", BK_ERR_MALFORMED},
    {"name", "home.example.org", BK_OK},
    {"name", "", BK_ERR_MALFORMED},
    {"log-level", "debug", BK_OK},
    {"log-level", "loud", BK_ERR_MALFORMED},
    {"log-json", NULL, BK_OK},
    {"log-json", "no", BK_OK},
    {"log-json", "maybe", BK_ERR_MALFORMED},
    {"turn-user", "alice:secret", BK_OK},
    {"turn-user", "alice:", BK_ERR_MALFORMED},
    {"turn-user", ":secret", BK_ERR_MALFORMED},
    {"turn-user", "alice", BK_ERR_MALFORMED},
    {"turn-user", "alice:with:colons", BK_OK},
    {"turn-secret", "north", BK_OK},
    {"turn-secret", "", BK_ERR_MALFORMED},
    {"turn-secret", "@/nowhere/secret", BK_ERR_MALFORMED},
    {"realm", "example.org", BK_OK},
    {"realm", "a-realm-of-twenty-nine-bytes.", BK_ERR_MALFORMED},
    {"relay-ports", "49152-65535", BK_OK},
    {"relay-ports", "1-1", BK_OK},
    {"relay-ports", "2-1", BK_ERR_MALFORMED},
    {"relay-ports", "0-1", BK_ERR_MALFORMED},
    {"relay-ports", "1-65536", BK_ERR_MALFORMED},
    {"relay-ports", "1", BK_ERR_MALFORMED},
    {"relay-ports", "1-", BK_ERR_MALFORMED},
    {"relay-ports", "1-2x", BK_ERR_MALFORMED},
    {"allow-peer", "10.0.0.0/8", BK_OK},
    {"allow-peer", "10.0.0.1", BK_OK},
    {"allow-peer", "10.0.0.1/8", BK_ERR_MALFORMED},
    {"allow-peer", "10.0.0.0/33", BK_ERR_MALFORMED},
    {"allow-peer", "10.0.0.0/", BK_ERR_MALFORMED},
    {"allow-peer", "10.0.0.0/-1", BK_ERR_MALFORMED},
    {"deny-peer", "2001:db8::/32", BK_OK},
    {"deny-peer", "2001:db8::/129", BK_ERR_MALFORMED},
    {"deny-peer", "::/0", BK_OK},
    {"bandwidth", "0", BK_OK},
    {"bandwidth", "8M", BK_OK},
    {"bandwidth", "1000G", BK_OK},
    {"bandwidth", "1001G", BK_ERR_MALFORMED},
    {"bandwidth", "M", BK_ERR_MALFORMED},
    {"bandwidth", "8Mb", BK_ERR_MALFORMED},
    {"workers", "1k", BK_ERR_MALFORMED},
    {"fastpath", "xdp", BK_OK},
    {"fastpath", "off", BK_OK},
    {"fastpath", "of", BK_ERR_MALFORMED},
    {"fastpath", "off|auto", BK_ERR_MALFORMED},
    {"io", "portable", BK_OK},
    {"alternate-server", "192.0.2.1", BK_OK},
    {"drain-to", "192.0.2.1:5000", BK_OK},
    {"upgrade-grace", "86401", BK_ERR_MALFORMED},
    {"stop-grace", "-1", BK_ERR_MALFORMED},
    {"alternate-server", "192.0.2.1:5000", BK_OK},
    {"alternate-server", "[2001:db8::1]:5000", BK_OK},
    {"alternate-server", "2001:db8::1", BK_OK},
    {"alternate-server", "turn.example.org", BK_ERR_MALFORMED},
};

static void values_outside_their_range_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct server_options o = server_options_default;
        if (set(&o, cases[i].name, cases[i].value) != cases[i].err)
            fail_msg("%s = %s", cases[i].name, cases[i].value);
    }
}

static void a_refused_value_changes_nothing(void **state) {
    struct server_options o = server_options_default;
    (void)state;
    assert_int_equal(set(&o, "https", "4433"), BK_OK);
    assert_int_equal(set(&o, "https", "x"), BK_ERR_MALFORMED);
    assert_int_equal(o.https_port, 4433);
}

static void what_was_written_is_what_is_there(void **state) {
    static struct server_options o;
    (void)state;
    o = server_options_default;
    assert_int_equal(set(&o, "turn-user", "alice:with:colons"), BK_OK);
    assert_string_equal(o.turn.users.list[0].name, "alice");
    assert_string_equal(o.turn.users.list[0].password, "with:colons");
    assert_int_equal(set(&o, "bandwidth", "8M"), BK_OK);
    assert_int_equal(o.turn.bandwidth, 8000000);
    assert_int_equal(set(&o, "fastpath", "tc"), BK_OK);
    assert_int_equal(o.turn.fastpath, FASTPATH_TC);
    assert_int_equal(set(&o, "io", "portable"), BK_OK);
    assert_int_equal(o.turn.io, SERVER_IO_PORTABLE);
    assert_int_equal(set(&o, "alternate-server", "192.0.2.1"), BK_OK);
    assert_int_equal(o.turn.alternate.port, 3478);
    assert_int_equal(set(&o, "deny-peer", "192.0.2.0/24"), BK_OK);
    assert_int_equal(o.turn.deny.list[0].bits, 24);
    assert_int_equal(set(&o, "relay-ports", "5000-6000"), BK_OK);
    assert_int_equal(o.turn.ports.min, 5000);
    assert_int_equal(o.turn.ports.max, 6000);
}

/* Reloading a file tells what changed: the same text twice is no change, another one is. */
static void changes_are_seen_and_nothing_else(void **state) {
    static struct server_options a, b;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct server_option *row = server_option_find(cases[i].name);
        if (cases[i].err != BK_OK)
            continue;
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        assert_int_equal(set(&a, cases[i].name, cases[i].value), BK_OK);
        assert_int_equal(set(&b, cases[i].name, cases[i].value), BK_OK);
        assert_false(server_option_differs(&a, &b, row));
    }
    assert_int_equal(set(&a, "https", "1"), BK_OK);
    assert_true(server_option_differs(&a, &b, server_option_find("https")));
}

/* Whoever reads the terminal or the log must not learn it. */
static void a_mistake_in_a_secret_is_told_without_it(void **state) {
    static const char *const rows[][2] = {{"turn-user", "sesame"}, {"turn-user", "sesame:"}};
    static struct server_options o;
    char reason[SERVER_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct server_option *row = server_option_find(rows[i][0]);
        assert_int_equal(server_option_set(&o, row, rows[i][1], reason), BK_ERR_MALFORMED);
        assert_null(strstr(reason, "sesame"));
    }
}

static void turn_is_on_with_credentials(void **state) {
    static const char *const rows[][2] = {{"turn-user", "a:b"},
                                          {"turn-secret", "s"},
                                          {"turn-token-key", "k:AAAAAAAAAAAAAAAAAAAAAA=="},
                                          {"users", "users.db"}};
    static struct server_options o;
    (void)state;
    assert_false(turn_options_on(&server_options_default.turn));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        o = server_options_default;
        assert_int_equal(set(&o, rows[i][0], rows[i][1]), BK_OK);
        assert_true(turn_options_on(&o.turn));
    }
}

static void addresses_add_up_to_a_limit(void **state) {
    struct server_options o = server_options_default;
    (void)state;
    for (int i = 0; i < SERVER_LISTEN_MAX; i++)
        assert_int_equal(set(&o, "listen", "127.0.0.1"), BK_OK);
    assert_int_equal(set(&o, "listen", "127.0.0.1"), BK_ERR_MALFORMED);
    assert_int_equal(o.listen.count, SERVER_LISTEN_MAX);
}

static void a_key_without_a_certificate_is_a_mistake(void **state) {
    struct server_options o = server_options_default;
    char reason[SERVER_TEXT_MAX];
    (void)state;
    assert_int_equal(server_options_check(&o, reason), BK_OK);
    assert_int_equal(set(&o, "key", "key.pem"), BK_OK);
    assert_int_equal(server_options_check(&o, reason), BK_ERR_MALFORMED);
    assert_int_equal(set(&o, "cert", "cert.pem"), BK_OK);
    assert_int_equal(server_options_check(&o, reason), BK_OK);
}

static void a_token_key_has_a_name_and_the_right_length(void **state) {
    static const struct {
        const char *value;
        enum bk_err err;
    } rows[] = {
        {"k:AAAAAAAAAAAAAAAAAAAAAA==", BK_OK},
        {"k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", BK_OK},
        {"k:MDEyMzQ1Njc4OWFiY2RlZgo=", BK_OK}, /* and a newline, as `echo` makes it */
        {"k:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYK", BK_OK},
        {"k:MDEyMzQ1Njc4OWFiY2RlZng=", BK_ERR_MALFORMED}, /* and an x */
        {"k:MDEyMzQ1Njc4OWFiY2RlZgoK", BK_ERR_MALFORMED},
        {"k:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYKCg==", BK_ERR_MALFORMED},
        {"k:AAAA", BK_ERR_MALFORMED},
        {"k:AAAAAAAAAAAAAAAAAAAAAA", BK_ERR_MALFORMED},
        {"k:AAAAAAAAAAAAAAAAAAAA*A==", BK_ERR_MALFORMED},
        {":AAAAAAAAAAAAAAAAAAAAAA==", BK_ERR_MALFORMED},
        {"AAAAAAAAAAAAAAAAAAAAAA==", BK_ERR_MALFORMED},
    };
    static struct server_options o;
    char reason[SERVER_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        o = server_options_default;
        assert_int_equal(set(&o, "turn-token-key", rows[i].value), BK_OK);
        assert_int_equal(server_options_check(&o, reason), rows[i].err);
    }
}

static void nonce_keys_are_two_and_long_enough(void **state) {
    static struct server_options o;
    char reason[SERVER_TEXT_MAX];
    (void)state;
    o = server_options_default;
    assert_int_equal(set(&o, "turn-nonce-key", "0123456789abcdef"), BK_OK);
    assert_int_equal(set(&o, "turn-nonce-key", "fedcba9876543210"), BK_OK);
    assert_int_equal(server_options_check(&o, reason), BK_OK);
    assert_int_equal(set(&o, "turn-nonce-key", "0123456789abcdefg"), BK_OK);
    assert_int_equal(server_options_check(&o, reason), BK_ERR_MALFORMED);
    o = server_options_default;
    assert_int_equal(set(&o, "turn-nonce-key", "0123456789abcde"), BK_OK);
    assert_int_equal(server_options_check(&o, reason), BK_ERR_MALFORMED);
}

static void more_than_two_addresses_of_a_family_are_a_mistake(void **state) {
    static const struct {
        const char *ips[5];
        enum bk_err err;
    } rows[] = {
        {{"192.0.2.1"}, BK_OK},
        {{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"}, BK_OK},
        {{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, BK_ERR_MALFORMED},
        {{"192.0.2.1", "192.0.2.1"}, BK_ERR_MALFORMED},
        {{"192.0.2.1", "0.0.0.0"}, BK_ERR_MALFORMED},
        {{"10.0.0.4=192.0.2.1", "10.0.0.5=192.0.2.2"}, BK_OK},
        {{"10.0.0.4=2001:db8::1"}, BK_ERR_MALFORMED},
    };
    char reason[SERVER_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct server_options o = server_options_default;
        for (size_t k = 0; rows[i].ips[k] != NULL; k++)
            assert_int_equal(set(&o, "stun-address", rows[i].ips[k]), BK_OK);
        assert_int_equal(server_options_check(&o, reason), rows[i].err);
    }
}

static void the_help_has_every_option_in_80_columns(void **state) {
    static char help[3][SERVER_HELP_MAX];
    (void)state;
    for (int i = 0; i < 3; i++) {
        server_options_help((enum server_option_group)i, help[i]);
        for (const char *line = help[i]; *line != '\0'; line = strchr(line, '\n') + 1)
            if (strchr(line, '\n') - line > 80)
                fail_msg("too wide: %.90s", line);
    }
    for (const struct server_option *row = server_option_table; row->name != NULL; row++) {
        char wanted[40];
        snprintf(wanted, sizeof wanted, "--%s ", row->name);
        assert_non_null(strstr(help[row->group], wanted));
    }
}

static const struct {
    struct home_line line;
    bool pinned;
    const char *text;
} lines[] = {
    {{"example.org", 443, 3478, NULL}, false, "home: https://example.org"},
    {{"192.0.2.1", 8443, 3478, NULL}, false, "home: https://192.0.2.1:8443"},
    {{"2001:db8::1", 443, 4000, NULL}, false, "home: https://[2001:db8::1]?stun=4000"},
    {{"h", 1, 2, NULL},
     true,
     "home: https://h:1?stun=2#AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
};

static void the_home_line_says_what_is_not_the_default(void **state) {
    static const uint8_t pin[32];
    char text[HOME_LINE_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct home_line line = lines[i].line;
        line.pin = lines[i].pinned ? pin : NULL;
        assert_string_equal(home_line_put(&line, text), lines[i].text);
    }
}

static void the_host_is_the_address_listened_on(void **state) {
    const struct bk_ip listen[] = {{.family = BK_IPV6}, bk_ipv4(192, 0, 2, 9)};
    char host[64];
    (void)state;
    home_line_host(listen, 2, host, sizeof host);
    assert_string_equal(host, "192.0.2.9");
    home_line_host(listen, 1, host, sizeof host); /* only the wildcard: an interface's */
    assert_string_not_equal(host, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_outside_their_range_are_refused),
        cmocka_unit_test(a_refused_value_changes_nothing),
        cmocka_unit_test(what_was_written_is_what_is_there),
        cmocka_unit_test(changes_are_seen_and_nothing_else),
        cmocka_unit_test(a_mistake_in_a_secret_is_told_without_it),
        cmocka_unit_test(turn_is_on_with_credentials),
        cmocka_unit_test(addresses_add_up_to_a_limit),
        cmocka_unit_test(a_key_without_a_certificate_is_a_mistake),
        cmocka_unit_test(nonce_keys_are_two_and_long_enough),
        cmocka_unit_test(a_token_key_has_a_name_and_the_right_length),
        cmocka_unit_test(more_than_two_addresses_of_a_family_are_a_mistake),
        cmocka_unit_test(the_help_has_every_option_in_80_columns),
        cmocka_unit_test(the_home_line_says_what_is_not_the_default),
        cmocka_unit_test(the_host_is_the_address_listened_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
