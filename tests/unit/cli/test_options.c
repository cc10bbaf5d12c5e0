/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "../test.h"
#include "cli/options.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct values {
    bool flag;
    const char *text;
    uint32_t number;
    struct option_list list;
    struct option_words words;
};

static char told[256]; /* what the last read_line() wrote to standard error */

/* Reads a command line given as words with one space between. */
static enum options_verdict read_line(const char *line, struct values *v) {
    static char copy[256];
    static char name[] = "test";
    char *argv[40] = {name};
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    memset(v, 0, sizeof *v);
    v->words.max = 2;
    const struct option_row rows[] = {
        {"flag", 'f', OPTION_FLAG, &v->flag},
        {"text", 't', OPTION_TEXT, &v->text},
        {"number", 'n', OPTION_NUMBER, &v->number},
        {"list", '\0', OPTION_LIST, &v->list},
        {NULL, '\0', OPTION_FLAG, NULL},
    };
    FILE *file = tmpfile();
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    enum options_verdict verdict = options_read(argc, argv, rows, "HELP\n", &v->words);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    told[fread(told, 1, sizeof told - 1, file)] = '\0';
    fclose(file);
    return verdict;
}

static void every_spelling_is_the_same(void **state) {
    (void)state;
    static const char *const lines[] = {
        "--flag --text hi --number 7 word",
        "-f -t hi -n 7 word",
        "word --text=hi --number=7 --flag",
        "-t hi word -f --number 7",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct values v;
        assert_int_equal(read_line(lines[i], &v), OPTIONS_GO);
        assert_true(v.flag);
        assert_string_equal(v.text, "hi");
        assert_int_equal(v.number, 7);
        assert_int_equal(v.words.count, 1);
        assert_string_equal(v.words.items[0], "word");
        assert_string_equal(told, "");
    }
}

static void values_may_look_like_options(void **state) {
    (void)state;
    struct values v;
    assert_int_equal(read_line("--text --flag", &v), OPTIONS_GO);
    assert_string_equal(v.text, "--flag");
    assert_false(v.flag);
    assert_int_equal(read_line("--text= -- --flag -", &v), OPTIONS_GO);
    assert_string_equal(v.text, "");
    assert_int_equal(v.words.count, 2);
    assert_string_equal(v.words.items[0], "--flag");
    assert_string_equal(v.words.items[1], "-");
    assert_int_equal(read_line("--list a --list=b --list c", &v), OPTIONS_GO);
    assert_int_equal(v.list.count, 3);
    assert_string_equal(v.list.items[1], "b");
}

static void help_wins(void **state) {
    (void)state;
    struct values v;
    assert_int_equal(read_line("--flag -h", &v), OPTIONS_HELP);
    assert_int_equal(read_line("--help --nonsense", &v), OPTIONS_HELP);
}

static void mistakes_are_one_sentence(void **state) {
    (void)state;
    static const struct {
        const char *line, *sentence;
    } cases[] = {
        {"--nonsense", "bodkin test: --nonsense is not an option; see bodkin test --help\n"},
        {"-x", "bodkin test: -x is not an option; see bodkin test --help\n"},
        {"--fla", "bodkin test: --fla is not an option; see bodkin test --help\n"},
        {"-fx", "bodkin test: -fx is not an option; see bodkin test --help\n"},
        {"--flag=1", "bodkin test: --flag=1 takes no value; see bodkin test --help\n"},
        {"--text", "bodkin test: --text wants a value; see bodkin test --help\n"},
        {"--number x", "bodkin test: --number wants a number; see bodkin test --help\n"},
        {"--number -1", "bodkin test: --number wants a number; see bodkin test --help\n"},
        {"--number 4294967296", "bodkin test: --number wants a number; see bodkin test --help\n"},
        {"--number=", "bodkin test: --number= wants a number; see bodkin test --help\n"},
        {"--number 7up", "bodkin test: --number wants a number; see bodkin test --help\n"},
        {"a b c", "bodkin test: c is one word too many; see bodkin test --help\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct values v;
        assert_int_equal(read_line(cases[i].line, &v), OPTIONS_WRONG);
        assert_string_equal(told, cases[i].sentence);
    }
}

static void lists_are_bounded(void **state) {
    (void)state;
    char line[256] = "";
    struct values v;
    for (int i = 0; i < 17; i++)
        strcat(line, "--list=a ");
    assert_int_equal(read_line(line, &v), OPTIONS_GO);
    static const struct option_row none[] = {{NULL, '\0', OPTION_FLAG, NULL}};
    struct option_list list = {.count = OPTION_LIST_MAX};
    const struct option_row rows[] = {{"list", '\0', OPTION_LIST, &list}, none[0]};
    char name[] = "test", word[] = "--list=a";
    char *argv[] = {name, word};
    struct option_words words = {.max = 0};
    assert_int_equal(options_read(2, argv, rows, "", &words), OPTIONS_WRONG);
    assert_int_equal(list.count, OPTION_LIST_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_is_the_same),
        cmocka_unit_test(values_may_look_like_options),
        cmocka_unit_test(help_wins),
        cmocka_unit_test(mistakes_are_one_sentence),
        cmocka_unit_test(lists_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
