/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include <punch/pace.h>

/* Sends whatever is due, looking every `turn_ms`; how many in `ms`? */
static uint32_t sent_in(struct pace *p, int64_t ms, int64_t turn_ms) {
    uint32_t sent = 0;
    for (int64_t t = 0; t < ms; t += turn_ms) {
        for (; bk_due(p->next, test_at_ms(t)); sent++)
            pace_sent(p, test_at_ms(t));
    }
    return sent;
}

static void test_a_burst_and_then_an_even_pace(void **state) {
    (void)state;
    struct pace p;
    pace_begin(&p, 64, 200, 200, test_at_ms(0));
    assert_int_equal(sent_in(&p, 64, 1), 64);
    pace_begin(&p, 64, 200, 200, test_at_ms(0));
    assert_in_range(sent_in(&p, 5064, 1), 1062, 1066);
    assert_int_equal(pace_lasts_us(1064, 64, 200), 5064000);
    assert_int_equal(pace_lasts_us(10, 64, 200), 10000);
}

static void test_the_pace_doubles_only_where_it_may(void **state) {
    (void)state;
    struct pace p;
    pace_begin(&p, 0, 200, 1000, test_at_ms(0));
    assert_in_range(sent_in(&p, 4000, 1), 200 + 400 + 800 + 1000 - 8, 200 + 400 + 800 + 1000 + 8);
}

static void test_who_comes_late_makes_up_for_little(void **state) {
    (void)state;
    struct pace p;
    pace_begin(&p, 10, 200, 200, test_at_ms(0));
    assert_int_equal(sent_in(&p, 1, 1), 1);
    uint32_t sent = 0;
    for (; bk_due(p.next, test_at_ms(5000)); sent++)
        pace_sent(&p, test_at_ms(5000));
    assert_in_range(sent, 1, 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_and_then_an_even_pace),
        cmocka_unit_test(test_the_pace_doubles_only_where_it_may),
        cmocka_unit_test(test_who_comes_late_makes_up_for_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
