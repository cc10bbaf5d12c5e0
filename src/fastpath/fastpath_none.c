/* SPDX-License-Identifier: MIT
 * Builds without clang, libbpf or Linux. */
#ifndef BODKIN_FASTPATH
#include "fastpath/fastpath.h"
#include "fastpath/private.h"

#include <stdio.h>

enum bk_err fastpath_open(const struct fastpath_config *config, const struct bk_alloc *alloc,
                          struct fastpath **out, char *reason) {
    (void)config;
    (void)alloc;
    (void)out;
    (void)snprintf(reason, FASTPATH_REASON_MAX, "this build has no fast path");
    return BK_ERR_UNSUPPORTED;
}

enum bk_err fastpath_load(const struct fastpath_config *config, const struct bk_alloc *alloc,
                          struct fastpath **out, char *reason) {
    return fastpath_open(config, alloc, out, reason);
}

enum bk_err fastpath_attach(struct fastpath *f, const struct fastpath_config *config,
                            char *reason) {
    (void)f;
    (void)config;
    (void)reason;
    return BK_ERR_UNSUPPORTED;
}

void fastpath_close(struct fastpath *f) {
    (void)f;
}

enum bk_err fastpath_add(struct fastpath *f, const struct fastpath_flow *flow) {
    (void)f;
    (void)flow;
    return BK_ERR_UNSUPPORTED;
}

enum bk_err fastpath_remove(struct fastpath *f, uint64_t id, struct fastpath_count *last) {
    (void)f;
    (void)id;
    (void)last;
    return BK_ERR_NOT_FOUND;
}

enum bk_err fastpath_count(struct fastpath *f, uint64_t id, struct fastpath_count *out) {
    (void)f;
    (void)id;
    (void)out;
    return BK_ERR_NOT_FOUND;
}

size_t fastpath_interfaces(const struct fastpath *f, struct fastpath_interface *out, size_t max) {
    (void)f;
    (void)out;
    (void)max;
    return 0;
}

int fastpath_program(const struct fastpath *f, enum fastpath_mode mode) {
    (void)f;
    (void)mode;
    return -1;
}
#else
typedef int fastpath_none_is_empty; /* ISO C wants a declaration in every file */
#endif
