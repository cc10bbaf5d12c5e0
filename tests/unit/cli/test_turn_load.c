/* SPDX-License-Identifier: MIT */
#include "cli/turn_histogram.h"
#include "cli/turn_load.h"

#include "../test.h"

static const struct turn_message messages[] = {
    {.word = TURN_WORD_DATA, .run = 7, .flow = 3, .sent_ns = 123456789012345},
    {.word = TURN_WORD_ECHO, .run = 1, .sent_ns = 1},
    {.word = TURN_WORD_HELLO, .run = 7, .flow = 65535, .cookie = 0x80000001},
    {.word = TURN_WORD_WELCOME, .run = 7, .cookie = 1},
    {.word = TURN_WORD_START, .run = 7, .load = {10, 1200, 40000, 5000, 1}},
    {.word = TURN_WORD_STARTED, .run = 7},
    {.word = TURN_WORD_ASK, .run = 7},
    {.word = TURN_WORD_TOLD, .run = 7, .told = {1, 2, 3, 4, 5, 6, 7, 8, 9}},
};

static void test_every_word_is_read_as_written_and_not_when_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        uint8_t buf[TURN_LOAD_MAX];
        struct turn_message m;
        size_t len = turn_message_write(&messages[i], buf);
        assert_true(len >= TURN_LOAD_HEADER && len <= sizeof buf);
        assert_true(turn_message_read(buf, len, &m));
        uint8_t again[TURN_LOAD_MAX];
        assert_int_equal(turn_message_write(&m, again), len);
        assert_memory_equal(buf, again, len);
        for (size_t cut = 0; cut < len; cut++)
            assert_false(turn_message_read(buf, cut, &m));
        buf[0] ^= 1;
        assert_false(turn_message_read(buf, len, &m));
    }
}

static void test_a_rate_is_kept(void **state) {
    (void)state;
    const struct turn_load load = {.burst = 4, .size = 100, .rate = 1000, .ms = 1000};
    struct turn_pace p;
    turn_pace_start(&p, &load, 5000);
    assert_int_equal(turn_pace_due(&p, 5000), 0);
    assert_int_equal(turn_pace_next(&p), 5000 + 4000000);
    assert_int_equal(turn_pace_due(&p, turn_pace_next(&p) - 1), 0);
    assert_int_equal(turn_pace_due(&p, turn_pace_next(&p)), 1);
    p.sent += 4;
    assert_int_equal(turn_pace_next(&p), 5000 + 8000000);
    assert_int_equal(turn_pace_due(&p, 5000 + 400000000), 64); /* late: so many at once at most */
    assert_int_equal(turn_pace_due(&p, 5000 + 1000000000), 0); /* its time is over */
}

static void test_percentiles_are_at_most_3_percent_low(void **state) {
    (void)state;
    static struct turn_histogram h;
    assert_int_equal(turn_histogram_at(&h, 500), 0);
    for (int64_t i = 1; i <= 10000; i++)
        turn_histogram_add(&h, i * 1000);
    turn_histogram_add(&h, -5);
    for (unsigned permille = 100; permille <= 1000; permille += 100) {
        int64_t is = turn_histogram_at(&h, permille), exact = (int64_t)permille * 10000;
        assert_true(is <= exact + 1000 && is >= exact - exact / 31 - 2000);
    }
    assert_int_equal(h.max_ns, 10000000);
    assert_int_equal(turn_histogram_at(&h, 0), 0);
    turn_histogram_add(&h, INT64_MAX); /* far beyond the last bucket */
    assert_int_equal(h.max_ns, INT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_word_is_read_as_written_and_not_when_cut),
        cmocka_unit_test(test_a_rate_is_kept),
        cmocka_unit_test(test_percentiles_are_at_most_3_percent_low),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
