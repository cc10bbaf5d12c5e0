/* SPDX-License-Identifier: MIT
 * Where there is no rtnetlink to ask. */
#ifndef __linux__
#include "net/gateway.h"

enum bk_err net_gateway_via(const struct bk_ip *to, uint32_t interface, struct bk_ip *out) {
    (void)to;
    (void)interface;
    (void)out;
    return BK_ERR_UNSUPPORTED;
}

enum bk_err net_gateway_for(const struct bk_ip *to, struct bk_ip *out) {
    return net_gateway_via(to, 0, out);
}

#else
typedef int gateway_posix_is_empty; /* ISO C wants a declaration in every file */
#endif
