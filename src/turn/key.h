/* SPDX-License-Identifier: MIT
 * Addresses as bytes to be hashed: as short as they can be, since hashing takes as long as they
 * are. The family is told by the length, so no two addresses give the same bytes. Zones are left
 * out; whoever compares looks at them. */
#ifndef TURN_KEY_H
#define TURN_KEY_H

#include <bodkin/addr.h>
#include <string.h>

enum { TURN_KEY_IP = 16, TURN_KEY_ADDR = TURN_KEY_IP + 2 };

static inline size_t turn_key_ip(uint8_t *out, const struct bk_ip *ip) {
    size_t len = ip->family == BK_IPV4 ? 4 : 16;
    memcpy(out, ip->bytes, len);
    return len;
}

static inline size_t turn_key_addr(uint8_t *out, const struct bk_addr *addr) {
    size_t len = turn_key_ip(out, &addr->ip);
    memcpy(out + len, &addr->port, sizeof addr->port);
    return len + sizeof addr->port;
}

#endif
