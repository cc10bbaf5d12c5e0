/* SPDX-License-Identifier: MIT
 * The users with the most, as lines of /metrics. */
#include "../test.h"

#include "server/metrics.h"
#include "server/turn_board.h"

#include <stdio.h>

enum { WORKERS = 3 };

static struct turn_board boards[WORKERS];
static struct metrics sets[WORKERS], *all[WORKERS];
static char out[METRICS_TEXT_MAX];

static const char *label(const char *name, uint64_t id, bool ambiguous) {
    static char text[256];
    struct turn_top_user user = {.id = id};
    struct text t = text_in(text, sizeof text);
    memcpy(user.name, name, strlen(name) + 1);
    turn_board_label(&t, &user, ambiguous);
    return text;
}

static void names_are_escaped(void **state) {
    (void)state;
    assert_string_equal(label("alice", 1, false), "alice");
    assert_string_equal(label("al\"i\\c\ne", 1, false), "al\\\"i\\\\c?e");
    assert_string_equal(label("1767225600:alice", 1, false), "alice");
    assert_string_equal(label("", 0x12345678, false), "#12345678");
    assert_string_equal(label("alice", 0x12345678, true), "alice#12345678");
    /* cut at 47 bytes, in the middle of a character */
    assert_string_equal(label("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3", 0xabcd, false),
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa#0000abcd");
    assert_string_equal(
        label("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xbc", 0xabcd, false),
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xbc#0000abcd");
}

static void put_up(size_t worker, uint64_t id, const char *name, uint64_t bytes, uint32_t allocs) {
    struct turn_top_user user = {
        .id = id, .bytes = bytes, .lately = bytes / 2, .allocations = allocs};
    snprintf(user.name, sizeof user.name, "%s", name);
    struct turn_top top = boards[worker].top;
    turn_top_add(&top.by_bytes, &user, turn_top_lately);
    turn_top_add(&top.by_allocations, &user, turn_top_allocations);
    turn_board_put(&boards[worker], &top);
}

static bool says(const char *line) {
    return strstr(out, line) != NULL;
}

static size_t count_of(const char *what) {
    size_t n = 0;
    for (const char *at = out; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static void print(void) {
    struct text t = text_in(out, sizeof out);
    turn_board_print(&t, all, WORKERS);
    assert_false(t.cut);
}

static void workers_are_added_up(void **state) {
    (void)state;
    memset(sets, 0, sizeof sets);
    for (size_t i = 0; i < WORKERS; i++) {
        memset(&boards[i], 0, sizeof boards[i]);
        assert_int_equal(turn_board_init(&boards[i], "my \"realm\""), BK_OK);
        all[i] = &sets[i];
    }
    print();
    assert_string_equal(out, ""); /* no TURN */
    for (size_t i = 0; i < WORKERS; i++)
        sets[i].board = &boards[i];
    put_up(0, 1, "alice", 100, 1);
    put_up(1, 1, "", 200, 2);
    put_up(2, 2, "bob", 250, 9);
    put_up(2, 3, "carol", 10, 1);
    put_up(1, 4, "5:carol", 11, 1); /* another, whose name looks like it */
    for (uint64_t i = 0; i < 30; i++)
        put_up(i % WORKERS, 100 + i, "x", 2, 1);
    print();
    assert_true(says("bodkin_turn_user_bytes{realm=\"my \\\"realm\\\"\",user=\"alice\"} 300\n"));
    assert_true(says(",user=\"bob\"} 250\n"));
    assert_true(says(",user=\"carol#00000003\"} 10\n"));
    assert_true(says(",user=\"carol#00000004\"} 11\n"));
    assert_true(
        says("bodkin_turn_user_allocations{realm=\"my \\\"realm\\\"\",user=\"alice\"} 3\n"));
    assert_true(strstr(out, "user=\"alice\"} 300") < strstr(out, "user=\"bob\"} 250"));
    assert_int_equal(count_of("\nbodkin_turn_user_bytes{"), 8);
    assert_int_equal(count_of("\nbodkin_turn_user_allocations{"), 8);
    assert_true(count_of("\n") <= 28);
    for (size_t i = 0; i < WORKERS; i++)
        turn_board_fini(&boards[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(workers_are_added_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
