/* SPDX-License-Identifier: MIT
 * Does the router speak NAT-PMP, and what is its outside address? RFC 6886 section 3.2. */
#include "natcheck/state.h"

#include "wire/natpmp.h"

size_t natpmp_build(uint8_t *buf) {
    const struct natpmp_request q = {.opcode = NATPMP_EXTERNAL};
    return natpmp_build_request(&q, buf, BK_NATCHECK_DATAGRAM_MAX);
}

/* A router that only knows PCP answers with version 2: RFC 6887 appendix A. Result codes other than
 * 0 (no network yet, refused) are answers all the same. */
bool natpmp_read(const uint8_t *data, size_t len, struct bk_ip *external) {
    struct natpmp_response p;
    if (natpmp_parse_response(data, len, &p) != BK_OK || p.opcode != NATPMP_EXTERNAL)
        return false;
    if (p.result == NATPMP_SUCCESS && !bk_ip_is_any(&p.external))
        *external = p.external;
    return true;
}
