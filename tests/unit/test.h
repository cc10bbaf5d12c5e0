/* SPDX-License-Identifier: MIT
 * What every unit test includes: cmocka, and helpers that keep tests short. */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bodkin/env.h>
#include <bodkin/time.h>

static inline void *test_get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size == 0 ? 1 : size);
}

static inline void test_put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

static const struct bk_alloc test_alloc = {test_get, test_put, NULL};

/* The point `ms` milliseconds after the tests' origin. */
static inline struct bk_time test_at_ms(int64_t ms) {
    struct bk_time t = {ms * 1000};
    return t;
}

#endif
