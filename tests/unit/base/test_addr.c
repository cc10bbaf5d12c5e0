/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include <bodkin/addr.h>

static const struct {
    const char *in, *out; /* out NULL: refused */
} ip_cases[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"::", "::"},
    {"::]", NULL},
    {"::1", "::1"},
    {"1::", "1::"},
    {"2001:DB8::0001", "2001:db8::1"},
    {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
    {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
    {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
    {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
    {"fe80::1%3", "fe80::1%3"},
    {"::ffff:192.0.2.1", "::ffff:c000:201"},
    {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
    {"", NULL},
    {"1", NULL},
    {"1.2.3", NULL},
    {"1.2.3.4.5", NULL},
    {"1.2.3.256", NULL},
    {"1.2.3.04", NULL},
    {"1.2.3.4 ", NULL},
    {":", NULL},
    {":::", NULL},
    {"1:2:3:4:5:6:7", NULL},
    {"1:2:3:4:5:6:7:8:9", NULL},
    {"1:2:3:4:5:6:7:8::", NULL},
    {"1::2::3", NULL},
    {"12345::", NULL},
    {"1:2:3:4:5:6:7:1.2.3.4", NULL},
    {"::1.2.3.4.5", NULL},
    {"::g", NULL},
    {"fe80::1%", NULL},
    {"1:", NULL},
    {":1", NULL},
};

static void test_ip_text(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof ip_cases / sizeof *ip_cases; i++) {
        struct bk_ip ip;
        char text[BK_ADDR_TEXT_MAX];
        enum bk_err err = bk_ip_parse(ip_cases[i].in, &ip);
        if (ip_cases[i].out == NULL) {
            if (err != BK_ERR_MALFORMED)
                fail_msg("accepted \"%s\"", ip_cases[i].in);
            continue;
        }
        if (err != BK_OK)
            fail_msg("refused \"%s\"", ip_cases[i].in);
        assert_string_equal(bk_ip_format(&ip, text), ip_cases[i].out);
    }
}

static void test_addr_text(void **state) {
    (void)state;
    static const char *const good[] = {"192.0.2.1:3478", "[2001:db8::1]:65535", "0.0.0.0:0",
                                       "[::]:0", "[fe80::]:80"};
    static const char *const bad[] = {"192.0.2.1",         "192.0.2.1:", "192.0.2.1:65536",
                                      "2001:db8::1:80",    "[::1]",      "[192.0.2.1]:1",
                                      "[::1]:1x",          "[::1:1",     "192.0.2.1:-1",
                                      "192.0.2.1:0000001", "host:80",    ""};
    struct bk_addr addr;
    char text[BK_ADDR_TEXT_MAX];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(bk_addr_parse(good[i], &addr), BK_OK);
        assert_string_equal(bk_addr_format(&addr, text), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (bk_addr_parse(bad[i], &addr) != BK_ERR_MALFORMED)
            fail_msg("accepted \"%s\"", bad[i]);
}

static void test_scope(void **state) {
    (void)state;
    static const struct {
        const char *ip;
        enum bk_scope scope;
    } cases[] = {
        {"0.0.0.0", BK_SCOPE_NONE},
        {"224.0.0.1", BK_SCOPE_NONE},
        {"255.255.255.255", BK_SCOPE_NONE},
        {"127.0.0.1", BK_SCOPE_LOOPBACK},
        {"169.254.169.254", BK_SCOPE_LINK},
        {"10.1.2.3", BK_SCOPE_PRIVATE},
        {"172.31.0.1", BK_SCOPE_PRIVATE},
        {"172.32.0.1", BK_SCOPE_GLOBAL},
        {"192.168.1.1", BK_SCOPE_PRIVATE},
        {"100.64.0.1", BK_SCOPE_PRIVATE},
        {"100.128.0.1", BK_SCOPE_GLOBAL},
        {"198.51.100.1", BK_SCOPE_GLOBAL},
        {"::", BK_SCOPE_NONE},
        {"::1", BK_SCOPE_LOOPBACK},
        {"fe80::1", BK_SCOPE_LINK},
        {"fd00::1", BK_SCOPE_PRIVATE},
        {"ff02::1", BK_SCOPE_NONE},
        {"2001:db8::1", BK_SCOPE_GLOBAL},
        {"::ffff:10.0.0.1", BK_SCOPE_PRIVATE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bk_ip ip;
        assert_int_equal(bk_ip_parse(cases[i].ip, &ip), BK_OK);
        if (bk_ip_scope(&ip) != cases[i].scope)
            fail_msg("%s has scope %d", cases[i].ip, (int)bk_ip_scope(&ip));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ip_text),
        cmocka_unit_test(test_addr_text),
        cmocka_unit_test(test_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
