/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "server/config.h"
#include <stdio.h>

struct mistakes {
    unsigned lines[8];
    char sentences[8][128];
    size_t count;
};

static void note(void *ctx, unsigned line, const char *sentence) {
    struct mistakes *m = ctx;
    assert_true(m->count < 8);
    m->lines[m->count] = line;
    snprintf(m->sentences[m->count++], sizeof m->sentences[0], "%s", sentence);
}

static struct server_options o;

static struct mistakes parse(const char *text, enum bk_err err) {
    struct mistakes m = {.count = 0};
    const struct config_reader reader = {note, &m};
    o = server_options_default;
    assert_int_equal(config_parse(text, strlen(text), &o, &reader), err);
    return m;
}

static void a_file_has_the_words_of_the_command_line(void **state) {
    (void)state;
    (void)parse("# a comment\n"
                "[ports]\n"
                "https = 8443\n"
                "stun=3479\r\n"
                "[turn]\n"
                "turn-user = alice:se=sa:me\n"
                "turn-user = bob:x\n"
                "no-mobility = yes\n"
                "log-json = no\n",
                BK_OK);
    assert_int_equal(o.https_port, 8443);
    assert_int_equal(o.stun_port, 3479);
    assert_int_equal(o.turn.users.count, 2);
    assert_string_equal(o.turn.users.list[0].password, "se=sa:me");
    assert_true(o.turn.no_mobility);
    assert_false(o.log_json);
    (void)parse("", BK_OK);
}

static void every_mistake_is_told_with_its_line(void **state) {
    struct mistakes m = parse("https = 8443\n"
                              "colour = blue\n"
                              "\n"
                              "workers = many\n"
                              "stun = 3479\n",
                              BK_ERR_MALFORMED);
    (void)state;
    assert_int_equal(m.count, 2);
    assert_int_equal(m.lines[0], 2);
    assert_non_null(strstr(m.sentences[0], "colour"));
    assert_int_equal(m.lines[1], 4);
    assert_non_null(strstr(m.sentences[1], "many"));
    assert_int_equal(o.stun_port, 3479); /* what is right was read */
}

static void what_is_no_line_is_told(void **state) {
    char longest[2000];
    (void)state;
    struct mistakes m = parse("https = 8443\nverbose\n", BK_ERR_MALFORMED);
    assert_int_equal(m.lines[0], 2);
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest, "name = ", 7);
    m = parse(longest, BK_ERR_MALFORMED);
    assert_int_equal(m.count, 1);
    assert_int_equal(m.lines[0], 1);
    const struct config_reader reader = {note, &m};
    assert_int_equal(config_parse("a\0b", 3, &o, &reader), BK_ERR_MALFORMED);
    assert_int_equal(config_read("/nowhere/file", &o, &reader), BK_ERR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_the_words_of_the_command_line),
        cmocka_unit_test(every_mistake_is_told_with_its_line),
        cmocka_unit_test(what_is_no_line_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
