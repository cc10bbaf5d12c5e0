/* SPDX-License-Identifier: MIT
 * What every harness includes: the entry point, memory for the objects under test, a check. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <bodkin/env.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void *fuzz_get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}

static inline void fuzz_put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

static const struct bk_alloc fuzz_alloc = {fuzz_get, fuzz_put, NULL};

static inline void fuzz_check(bool ok) {
    if (!ok)
        abort();
}

/* A heap copy of exactly `len` bytes, so that the sanitizer sees a read past the end. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t len) {
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    fuzz_check(copy != NULL);
    if (len > 0)
        memcpy(copy, data, len);
    return copy;
}

#endif
