/* SPDX-License-Identifier: MIT */
#include "net/alloc.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static void *alloc_get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size == 0 ? 1 : size);
}

static void alloc_put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

const struct bk_alloc *net_alloc(void) {
    static const struct bk_alloc alloc = {alloc_get, alloc_put, NULL};
    return &alloc;
}

#ifdef __GLIBC__
void net_alloc_return_large(void) {
    (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
}

void net_alloc_return_all(void) {
    (void)malloc_trim(0);
}
#else
void net_alloc_return_large(void) {
}

void net_alloc_return_all(void) {
}
#endif
