/* SPDX-License-Identifier: MIT
 * Does the router speak PCP? An ANNOUNCE request, RFC 6887 section 14.1, which maps nothing. Any
 * answer of version 2 counts, errors too. */
#include "natcheck/state.h"

#include "wire/pcp.h"

/* RFC 6887 section 7.1: the client's address is checked. */
size_t pcp_build(const struct bk_natcheck *nc, uint8_t *buf) {
    struct pcp_request q = {.opcode = PCP_ANNOUNCE, .client = {.family = BK_IPV4}};
    for (size_t i = 0; i < nc->config.local_count && bk_ip_is_any(&q.client); i++) {
        if (nc->config.locals[i].family == BK_IPV4)
            q.client = nc->config.locals[i];
    }
    return pcp_build_request(&q, buf, BK_NATCHECK_DATAGRAM_MAX);
}

/* RFC 6887 section 7.2. */
bool pcp_read(const uint8_t *data, size_t len) {
    struct pcp_response p;
    return pcp_parse_response(data, len, &p) == BK_OK && p.version == PCP_VERSION &&
           p.opcode == PCP_ANNOUNCE;
}
