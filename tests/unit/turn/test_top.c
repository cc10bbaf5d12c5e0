/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "turn/top.h"

#include <stdio.h>

static struct turn_accounts accounts;

static uint32_t enter(uint64_t key, const char *name, uint64_t bytes) {
    uint32_t i = turn_accounts_enter(&accounts, key, 0, test_at_ms(1));
    assert_int_not_equal(i, POOL_NONE);
    if (name != NULL)
        turn_account_is(turn_account_at(&accounts, i), name, strlen(name));
    turn_account_at(&accounts, i)->bytes += bytes;
    return i;
}

static struct turn_top look(void) {
    static struct turn_walk walk;
    struct turn_top top;
    while (!turn_walk_step(&walk, &accounts, &top))
        continue;
    return top;
}

static void the_largest_are_found_among_many(void **state) {
    static const uint64_t seed[2] = {1, 2};
    enum { USERS = 20000 };
    (void)state;
    assert_int_equal(turn_accounts_init(&accounts, 40000, seed, &test_alloc), BK_OK);
    for (uint32_t n = 0; n < USERS; n++) {
        char name[16];
        snprintf(name, sizeof name, "u%u", n);
        (void)enter(n + 1, name, (uint64_t)n * 7919 % USERS);     /* all different */
        (void)enter(UINT64_C(1) << 40 | n, NULL, UINT64_MAX / 2); /* an address: not of interest */
    }
    for (int n = 0; n < 5; n++)
        (void)enter(4711 + 1, NULL, 0);
    struct turn_top top = look();
    assert_int_equal(top.by_bytes.count, TURN_TOP);
    for (uint32_t i = 0; i < TURN_TOP; i++)
        assert_int_equal(top.by_bytes.users[i].bytes, USERS - 1 - i);
    assert_int_equal(top.by_allocations.count, TURN_TOP);
    assert_string_equal(top.by_allocations.users[0].name, "u4711");
    assert_int_equal(top.by_allocations.users[0].allocations, 6);
    assert_int_equal(top.by_allocations.users[1].allocations, 1);
    turn_accounts_fini(&accounts);
}

static void what_was_long_ago_counts_less(void **state) {
    static const uint64_t seed[2] = {1, 2};
    (void)state;
    assert_int_equal(turn_accounts_init(&accounts, 10, seed, &test_alloc), BK_OK);
    uint32_t old = enter(1, "old", 1000000), busy = enter(2, "busy", 0);
    struct turn_top top = look();
    assert_string_equal(top.by_bytes.users[0].name, "old");
    assert_int_equal(top.by_bytes.count, 1); /* who sent nothing is not among those who did */
    for (int walk = 0; walk < 120; walk++) {
        turn_account_at(&accounts, busy)->bytes += 8000;
        top = look();
    }
    assert_string_equal(top.by_bytes.users[0].name, "busy");
    assert_int_equal(top.by_bytes.users[1].bytes, 1000000); /* what is said is all of it */
    turn_accounts_leave(&accounts, old);
    top = look();
    assert_int_equal(top.by_bytes.count, 1);
    turn_accounts_fini(&accounts);
}

static void a_long_name_is_cut(void **state) {
    struct turn_account a = {.allocs = 1};
    char name[100];
    (void)state;
    memset(name, 'x', sizeof name);
    turn_account_is(&a, NULL, 0);
    assert_true(a.is_user);
    assert_string_equal(a.name, "");
    turn_account_is(&a, name, sizeof name);
    assert_int_equal(strlen(a.name), TURN_ACCOUNT_NAME - 1);
    turn_account_is(&a, "other", 5); /* the first stays */
    assert_int_equal(a.name[0], 'x');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_are_found_among_many),
        cmocka_unit_test(what_was_long_ago_counts_less),
        cmocka_unit_test(a_long_name_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
