/* SPDX-License-Identifier: MIT
 * Translation of IPv6 prefixes (NPTv6): one outside address for each inside one, and no word about
 * ports. To peers it is no obstacle: nothing expires, and STUN tells the address for good. */
#include "natcheck/state.h"
#include "natcheck/verdict.h"

#include <string.h>

enum { WORDS = 8, PREFIX_WORDS = 4, PREFIX_LEN = 8 /* bytes */ };

static uint32_t word_at(const struct bk_ip *ip, size_t i) {
    return (uint32_t)ip->bytes[2 * i] << 8 | ip->bytes[2 * i + 1];
}

/* The ones' complement sum; both zeros are one. RFC 6296 section 3.1. */
static uint32_t sum_of(const struct bk_ip *ip) {
    uint32_t sum = 0;
    for (size_t i = 0; i < WORDS; i++)
        sum += word_at(ip, i);
    while (sum > 0xffff)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff ? 0 : sum;
}

bool prefix_is_all(const struct bk_ip *inside, const struct bk_ip *outside) {
    size_t differ = 0; /* words of the interface identifier */
    if (inside->family != BK_IPV6 || outside->family != BK_IPV6 ||
        memcmp(inside->bytes, outside->bytes, PREFIX_LEN) == 0)
        return false;
    for (size_t i = PREFIX_WORDS; i < WORDS; i++)
        differ += word_at(inside, i) != word_at(outside, i);
    /* A prefix longer than /48 has the checksum mended in the identifier: section 3.5. */
    return differ == 0 || (differ == 1 && sum_of(inside) == sum_of(outside));
}

void prefix_tell(struct bk_natcheck *nc, const struct bk_addr *seen, uint16_t local_port) {
    bool found = false;
    if (!nc->side[V6].translated || nc->config.local_count == 0) {
        finding_unclear(nc, BK_NAT_IPV6_PREFIX, 0,
                        nc->config.local_count == 0 ? BK_NAT_REASON_NO_ADDRESS
                                                    : BK_NAT_REASON_NOT_APPLICABLE);
        return;
    }
    for (size_t i = 0; i < nc->config.local_count; i++)
        found = found || prefix_is_all(&nc->config.locals[i], &seen->ip);
    found = found && seen->port == local_port;
    finding_known(nc, BK_NAT_IPV6_PREFIX, found ? BK_YES : BK_NO, 990);
}
