/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "cli/report.h"

static void bytes_are_for_people(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {999, "999 B"},
        {1000, "1.0 kB"},
        {12345, "12.3 kB"},
        {999499, "999.5 kB"},
        {999500, "1.0 MB"},
        {20000000, "20.0 MB"},
        {1073741824, "1.1 GB"},
        {UINT64_MAX, "18446744.1 TB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[24];
        assert_string_equal(report_bytes(cases[i].bytes, text), cases[i].text);
    }
}

static void lines_are_cut_between_letters(void **state) {
    (void)state;
    assert_int_equal(report_cut("hello", 10), 5);
    assert_int_equal(report_cut("hello", 5), 5);
    assert_int_equal(report_cut("hello", 3), 3);
    assert_int_equal(report_cut("hello", 0), 0);
    assert_int_equal(report_cut("a\342\206\224b", 3), 5);
    assert_int_equal(report_cut("a\342\206\224b", 2), 4);
    assert_int_equal(report_cut("a\342\206\224b", 1), 1);
    assert_int_equal(report_cut("", 0), 0);
}

/* Without --json there are no events, and cJSON's functions take that. */
static void events_only_in_json(void **state) {
    (void)state;
    struct report r;
    report_init(&r, "test", false, test_at_ms(1000));
    assert_null(report_event(&r, "something", test_at_ms(1001)));
    report_send(&r, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_for_people),
        cmocka_unit_test(lines_are_cut_between_letters),
        cmocka_unit_test(events_only_in_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
