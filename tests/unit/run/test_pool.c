/* SPDX-License-Identifier: MIT
 * The driver's memory: blocks that do not touch each other, and slabs that go back. */
#define _GNU_SOURCE /* test.h wants it for its threads */
#include "../test.h"

#include "run/pool.h"
#include <pthread.h>
#include <stdint.h>

enum { BLOCKS = 3000, LARGE = 200000 };

struct piece {
    uint8_t *at;
    size_t len;
    uint8_t mark;
};

static void *get(size_t len) {
    const struct bk_alloc *a = pool_alloc();
    return a->get(a->ctx, len);
}

static void put(void *at) {
    const struct bk_alloc *a = pool_alloc();
    a->put(a->ctx, at);
}

static uint32_t next(uint32_t *state) {
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void take(struct piece *p, uint32_t dice) {
    static const size_t most[] = {100, 1000, 5000, 40000, LARGE};
    p->len = 1 + dice / 5 % most[dice % 5];
    p->at = get(p->len);
    p->mark = (uint8_t)dice;
    if (p->at == NULL || (uintptr_t)p->at % 16 != 0)
        __builtin_trap(); /* cmocka's assertions belong to its thread */
    for (size_t i = 0; i < p->len; i++)
        if (p->at[i] != 0)
            __builtin_trap();
    memset(p->at, p->mark, p->len);
}

static void give_back(struct piece *p) {
    for (size_t i = 0; i < p->len; i++)
        if (p->at[i] != p->mark)
            __builtin_trap();
    put(p->at);
    p->at = NULL;
}

/* Takes and gives back at random, and everything at last. */
static void *churn(void *ctx) {
    static _Thread_local struct piece pieces[64];
    uint32_t state = *(const uint32_t *)ctx;
    for (int i = 0; i < BLOCKS; i++) {
        struct piece *p = &pieces[next(&state) % 64];
        if (p->at != NULL)
            give_back(p);
        else
            take(p, next(&state));
    }
    for (int i = 0; i < 64; i++)
        if (pieces[i].at != NULL)
            give_back(&pieces[i]);
    return NULL;
}

static void blocks_are_zeroed_and_do_not_overlap(void **state) {
    uint32_t seed = 1;
    (void)state;
    put(NULL);
    churn(&seed);
}

static void threads_may_share_it(void **state) {
    uint32_t seeds[3] = {2, 3, 4};
    pthread_t threads[3];
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &seeds[i]), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* What it is for: the large blocks go, although small ones that came in between stay. */
static void what_was_needed_for_a_while_goes_back(void **state) {
    static void *small[BLOCKS], *large[BLOCKS];
    (void)state;
    size_t before = pool_held();
    for (int i = 0; i < BLOCKS; i++) {
        small[i] = get(200);
        large[i] = get(3000);
        assert_non_null(small[i]);
        assert_non_null(large[i]);
    }
    assert_true(pool_held() - before > BLOCKS * 3000);
    for (int i = 0; i < BLOCKS; i++)
        put(large[i]);
    assert_in_range(pool_held() - before, BLOCKS * 200, BLOCKS * 350);
    for (int i = 0; i < BLOCKS; i++)
        put(small[i]);
    assert_true(pool_held() <= before + 300000); /* an empty slab of each size is kept */
}

static void too_much_is_refused(void **state) {
    (void)state;
    assert_null(get(SIZE_MAX));
    assert_null(get(SIZE_MAX - 200000));
    assert_null(get(SIZE_MAX / 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_and_do_not_overlap),
        cmocka_unit_test(threads_may_share_it),
        cmocka_unit_test(what_was_needed_for_a_while_goes_back),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
