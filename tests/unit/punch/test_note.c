/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include <punch/note.h>

static const struct punch_note full = {
    .step = 3,
    .attempt = 200,
    .method = BK_ORACLE_BLOCK,
    .reached = 1,
    .both = true,
    .spent = true,
    .window = 300,
    .sockets = {256, 1},
    .ports = {1, 1024},
    .aim = {{.family = BK_IPV6, .bytes = {0x20, 1, 0x0d, 0xb8, [15] = 7}}, 40001},
    .stride = -2,
    .min = 1024,
    .max = 65535,
    .run = 16,
    .gap = 4096,
};

static void test_a_note_comes_back_as_it_was(void **state) {
    (void)state;
    const struct punch_note empty = {0},
                            old = {.step = 1, .aim = {{.family = BK_IPV4, .bytes = {1}}, 1}};
    const struct punch_note *notes[] = {&full, &empty, &old};
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        uint8_t bytes[PUNCH_NOTE_LEN];
        struct punch_note got;
        punch_note_put(notes[i], bytes);
        assert_int_equal(punch_note_get(&got, bytes, sizeof bytes), BK_OK);
        assert_true(punch_note_equal(notes[i], &got));
        assert_int_equal(got.stride, notes[i]->stride);
        assert_int_equal(got.sockets[1], notes[i]->sockets[1]);
        assert_true(bk_addr_equal(&got.aim, &notes[i]->aim));
    }
    assert_false(punch_note_equal(&full, &old));
}

static void test_only_its_own_length_is_a_note(void **state) {
    (void)state;
    uint8_t bytes[PUNCH_NOTE_LEN + 1] = {0};
    struct punch_note got;
    punch_note_put(&full, bytes);
    for (size_t len = 0; len < PUNCH_NOTE_LEN; len++)
        assert_int_equal(punch_note_get(&got, bytes, len), BK_ERR_SHORT);
    assert_int_equal(punch_note_get(&got, bytes, sizeof bytes), BK_ERR_MALFORMED);
}

/* One byte of a good note is changed. */
static void test_what_nobody_can_mean_is_refused(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        const char *why;
    } rows[] = {
        {2, BK_ORACLE_METHODS, "no such method"},
        {3, 8, "an unknown flag"},
        {14, 5, "no such family"},
        {14, 0, "an address without a family"},
        {14, 4, "IPv4 with more than four bytes"},
        {35, 0, "ports from 0 on"}, /* with the byte after it */
        {37, 0, "a range that ends before it begins"},
        {40, 0, "a run of no ports"},
        {41, 0, "runs without a gap"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t bytes[PUNCH_NOTE_LEN];
        struct punch_note got = {0};
        punch_note_put(&full, bytes);
        bytes[rows[i].at] = rows[i].value;
        if (punch_note_get(&got, bytes, sizeof bytes) != BK_ERR_MALFORMED)
            fail_msg("%s was accepted", rows[i].why);
        assert_int_equal(got.step, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_note_comes_back_as_it_was),
        cmocka_unit_test(test_only_its_own_length_is_a_note),
        cmocka_unit_test(test_what_nobody_can_mean_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
