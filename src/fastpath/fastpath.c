/* SPDX-License-Identifier: MIT */
#include "fastpath/fastpath.h"

#include <stdio.h>

enum bk_err fastpath_open(const struct fastpath_config *config, const struct bk_alloc *alloc,
                          struct fastpath **out, char *reason) {
    (void)config;
    (void)alloc;
    (void)out;
    (void)snprintf(reason, FASTPATH_REASON_MAX, "this build has no fast path");
    return BK_ERR_UNSUPPORTED;
}
