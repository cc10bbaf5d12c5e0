/* SPDX-License-Identifier: MIT
 * Where the errors of a UDP socket do not say who sent them. */
#ifndef __linux__
#include "net/hops.h"

enum bk_err net_hops_towards(const struct bk_addr *to, struct bk_ip out[NET_HOPS_MAX],
                             size_t *count) {
    (void)to;
    (void)out;
    (void)count;
    return BK_ERR_UNSUPPORTED;
}

#else
typedef int hops_posix_is_empty; /* ISO C wants a declaration in every file */
#endif
