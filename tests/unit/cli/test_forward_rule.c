/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "cli/forward_rule.h"

static const struct {
    const char *text, *bind, *target; /* NULL: refused */
} cases[] = {
    {"2222:localhost:22", "127.0.0.1:2222", "localhost:22"},
    {"1:a:2", "127.0.0.1:1", "a:2"},
    {"0.0.0.0:80:web:8080", "0.0.0.0:80", "web:8080"},
    {"*:80:web:8080", "0.0.0.0:80", "web:8080"},
    {"localhost:80:web:8080", "127.0.0.1:80", "web:8080"},
    {"[::1]:80:[2001:db8::1]:8080", "[::1]:80", "[2001:db8::1]:8080"},
    {"80:[::1]:8080", "127.0.0.1:80", "[::1]:8080"},
    {"[::]:80:web:8080", "[::]:80", "web:8080"},
    {"192.0.2.1:80:web:443", "192.0.2.1:80", "web:443"},
    {"", NULL, NULL},
    {"80", NULL, NULL},
    {"80:web", NULL, NULL},
    {":web:80", NULL, NULL},
    {"80::80", NULL, NULL},
    {"80:web:", NULL, NULL},
    {"0:web:80", NULL, NULL},
    {"80:web:0", NULL, NULL},
    {"65536:web:80", NULL, NULL},
    {"80:web:65536", NULL, NULL},
    {"80x:web:80", NULL, NULL},
    {"name:80:web:80", NULL, NULL},
    {"::1:80:web:80", NULL, NULL},
    {"80:::1:80", NULL, NULL},
    {"[::1:80:web:80", NULL, NULL},
    {"80:[::1:80", NULL, NULL},
    {"*80:web:80", NULL, NULL},
    {"]:[:]:[", NULL, NULL},
};

static void rules_are_read(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bk_addr bind = {.port = 7};
        char target[CALL_TARGET_MAX + 1] = "untouched", text[BK_ADDR_TEXT_MAX];
        bool ok = forward_rule_read(cases[i].text, &bind, target);
        if (ok != (cases[i].bind != NULL))
            fail_msg("%s", cases[i].text);
        if (ok)
            assert_string_equal(bk_addr_format(&bind, text), cases[i].bind);
        assert_string_equal(target, ok ? cases[i].target : "untouched");
        assert_true(ok || bind.port == 7);
    }
}

static void long_rules_are_refused(void **state) {
    (void)state;
    char rule[1024], target[CALL_TARGET_MAX + 1];
    struct bk_addr bind;
    for (size_t len = 1; len < 900; len++) {
        memset(rule, 'a', sizeof rule);
        memcpy(rule, "80:", 3);
        memcpy(rule + 3 + len, ":80", 4);
        assert_int_equal(forward_rule_read(rule, &bind, target),
                         len < CALL_TARGET_MAX && len + 3 <= CALL_TARGET_MAX);
        memset(rule, '1', len);
        memcpy(rule + len, ":a:80", 6);
        assert_int_equal(forward_rule_read(rule, &bind, target), len <= 5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_read),
        cmocka_unit_test(long_rules_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
