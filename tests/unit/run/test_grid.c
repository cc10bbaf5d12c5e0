/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "base/rng.h"
#include "run/grid.h"

static struct grid grid;

static struct bk_time at(int64_t us) {
    return (struct bk_time){us};
}

static void what_is_near_in_time_is_due_together(void **state) {
    struct grid_item a = {NULL, NULL}, b = a, c = a, d = a;
    (void)state;
    grid_init(&grid, at(1000000));
    assert_true(bk_is_never(grid_deadline(&grid)));
    assert_true(grid_add(&grid, &a, at(1100001), at(1000000)));
    assert_true(grid_add(&grid, &b, at(1149999), at(1000000)));
    assert_true(grid_add(&grid, &c, at(1150000), at(1000000)));
    assert_true(grid_add(&grid, &d, at(1150001), at(1000000)));
    assert_int_equal(grid_deadline(&grid).us, 1150000);
    assert_null(grid_take(&grid, at(1149999)));
    assert_ptr_equal(grid_take(&grid, at(1150000)), &a); /* never early, in their order */
    grid_remove(&grid, &b);
    grid_remove(&grid, &b);
    assert_ptr_equal(grid_take(&grid, at(1150000)), &c);
    assert_null(grid_take(&grid, at(1150000)));
    assert_int_equal(grid_deadline(&grid).us, 1200000);
    grid_remove(&grid, &d);
    assert_true(bk_is_never(grid_deadline(&grid)));
}

static void what_is_too_far_or_past_is_refused(void **state) {
    struct grid_item a = {NULL, NULL};
    int64_t reach = (int64_t)GRID_SLOTS * GRID_US;
    struct bk_time now = {(int64_t)500 * GRID_US};
    (void)state;
    grid_init(&grid, now);
    assert_false(grid_add(&grid, &a, BK_NEVER, now));
    assert_false(grid_add(&grid, &a, at(now.us + reach), now));
    assert_false(grid_add(&grid, &a, at(now.us - GRID_US), now));
    assert_true(grid_add(&grid, &a, at(now.us + reach - GRID_US), now));
    assert_null(grid_take(&grid, now));
    assert_ptr_equal(grid_take(&grid, at(9 * reach)), &a); /* late, after a long sleep */
    assert_null(grid_take(&grid, at(9 * reach)));
    assert_true(grid_add(&grid, &a, at(9 * reach + reach / 2), at(9 * reach)));
    assert_ptr_equal(grid_take(&grid, at(99 * reach)), &a);
    /* Long unused: it has moved on by itself. */
    assert_true(grid_add(&grid, &a, at(200 * reach + 5), at(200 * reach)));
    grid_remove(&grid, &a);
}

enum { ITEMS = 300, STEPS = 20000 };

/* Beside a plain list: everything is taken when it is due, not before, and once. */
static void it_agrees_with_a_list_after_any_sequence(void **state) {
    static struct grid_item items[ITEMS];
    static int64_t due[ITEMS]; /* 0: not in */
    struct rng_seeded seed;
    int64_t now = 77777777;
    (void)state;
    rng_seed(&seed, 9);
    struct bk_rng rng = rng_from_seeded(&seed);
    memset(items, 0, sizeof items);
    grid_init(&grid, at(now));
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = rng_below(&rng, ITEMS);
        int64_t when = now + rng_below(&rng, 30000000);
        grid_remove(&grid, &items[i]);
        due[i] = grid_add(&grid, &items[i], at(when), at(now)) ? when : 0;
        now += rng_below(&rng, 100) == 0 ? rng_below(&rng, 50000000) : rng_below(&rng, 20000);
        int64_t earliest = INT64_MAX;
        for (struct grid_item *it; (it = grid_take(&grid, at(now))) != NULL;) {
            size_t k = (size_t)(it - items);
            assert_true(due[k] != 0 && due[k] <= now);
            due[k] = 0;
        }
        for (size_t k = 0; k < ITEMS; k++) {
            assert_true(due[k] == 0 || due[k] + GRID_US > now);
            if (due[k] != 0 && due[k] < earliest)
                earliest = due[k];
        }
        int64_t told = grid_deadline(&grid).us;
        assert_true(earliest == INT64_MAX ? told == INT64_MAX
                                          : told >= earliest && told < earliest + GRID_US);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_near_in_time_is_due_together),
        cmocka_unit_test(what_is_too_far_or_past_is_refused),
        cmocka_unit_test(it_agrees_with_a_list_after_any_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
