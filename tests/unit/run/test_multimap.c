/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "base/rng.h"
#include "run/multimap.h"

static size_t values_of(const struct multimap *m, uint64_t hash, uint32_t *out, size_t cap) {
    size_t at = 0, n = 0;
    while (n < cap && multimap_next(m, hash, &at, &out[n]))
        n++;
    return n;
}

static void several_values_live_under_one_hash(void **state) {
    struct multimap m;
    uint32_t got[4];
    (void)state;
    multimap_init(&m, &test_alloc);
    assert_int_equal(values_of(&m, 7, got, 4), 0);
    assert_false(multimap_remove(&m, 7, 1));
    assert_int_equal(multimap_add(&m, 7, 1), BK_OK);
    assert_int_equal(multimap_add(&m, 7, 2), BK_OK);
    assert_int_equal(multimap_add(&m, 7 + 16, 3), BK_OK); /* a neighbour from the same home */
    assert_int_equal(values_of(&m, 7, got, 4), 2);
    assert_true(multimap_has(&m, 7, 2));
    assert_false(multimap_has(&m, 7, 3));
    assert_true(multimap_remove(&m, 7, 1));
    assert_false(multimap_remove(&m, 7, 1));
    assert_int_equal(values_of(&m, 7, got, 4), 1);
    assert_int_equal(got[0], 2);
    assert_int_equal(values_of(&m, 7 + 16, got, 4), 1);
    multimap_fini(&m);
}

enum { STEPS = 20000, HASHES = 64, VALUES = 8 };

/* Few hashes in few slots: every removal has followers to move. */
static void it_agrees_with_a_list_after_any_sequence(void **state) {
    static uint32_t count[HASHES][VALUES];
    struct multimap m;
    struct rng_seeded seed;
    (void)state;
    rng_seed(&seed, 3);
    struct bk_rng rng = rng_from_seeded(&seed);
    multimap_init(&m, &test_alloc);
    for (int step = 0; step < STEPS; step++) {
        uint32_t h = rng_below(&rng, HASHES), v = rng_below(&rng, VALUES);
        uint64_t hash = (uint64_t)(h / 3) * 0x100000001; /* three names share a home */
        uint32_t value = h * VALUES + v;
        if (rng_below(&rng, 100) < 52) {
            assert_int_equal(multimap_add(&m, hash, value), BK_OK);
            count[h][v]++;
        } else {
            assert_int_equal(multimap_remove(&m, hash, value), count[h][v] > 0);
            count[h][v] -= count[h][v] > 0;
        }
        assert_int_equal(multimap_has(&m, hash, value), count[h][v] > 0);
    }
    size_t left = 0;
    for (uint32_t h = 0; h < HASHES; h++)
        for (uint32_t v = 0; v < VALUES; v++) {
            left += count[h][v];
            assert_int_equal(multimap_has(&m, (uint64_t)(h / 3) * 0x100000001, h * VALUES + v),
                             count[h][v] > 0);
        }
    assert_int_equal(m.count, left);
    multimap_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_values_live_under_one_hash),
        cmocka_unit_test(it_agrees_with_a_list_after_any_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
