/* SPDX-License-Identifier: MIT
 * Table keys: packed bytes, because structs have padding. */
#include "nat/state.h"

#include <string.h>

void nat_key_ip(uint8_t key[NAT_KEY_IP], const struct bk_ip *ip) {
    key[0] = ip->family;
    memcpy(key + 1, ip->bytes, sizeof ip->bytes);
}

static void put_addr(uint8_t *key, const struct bk_addr *addr) {
    nat_key_ip(key, &addr->ip);
    memcpy(key + NAT_KEY_IP, &addr->port, sizeof addr->port);
}

void nat_key_flow(uint8_t key[NAT_KEY_FLOW], enum nat_proto proto, const struct bk_addr *internal,
                  const struct bk_addr *remote) {
    key[0] = (uint8_t)proto;
    put_addr(key + 1, internal);
    put_addr(key + 1 + NAT_KEY_ADDR, remote);
}

void nat_key_outside(uint8_t key[NAT_KEY_OUTSIDE], enum nat_proto proto,
                     const struct bk_addr *external) {
    key[0] = (uint8_t)proto;
    put_addr(key + 1, external);
}

void nat_key_remote(uint8_t key[NAT_KEY_REMOTE], uint32_t mapping, const struct bk_addr *remote) {
    memcpy(key, &mapping, sizeof mapping);
    put_addr(key + sizeof mapping, remote);
}

void nat_key_host(uint8_t key[NAT_KEY_HOST], uint32_t mapping, const struct bk_ip *host) {
    memcpy(key, &mapping, sizeof mapping);
    nat_key_ip(key + sizeof mapping, host);
}
