/* SPDX-License-Identifier: MIT
 * Which outside address a mapping gets. RFC 4787 section 4.1 REQ-2: "paired", so that all of a
 * host's mappings have one address; 21 % of carriers' NATs do otherwise (Richter et al., IMC 2016,
 * section 6.2). */
#include "nat/state.h"

#include <string.h>

/* The `skip`-th outside address of that family. */
static void nth(const struct nat_config *c, uint8_t family, size_t skip, struct bk_ip *out) {
    for (size_t i = 0; i < c->external_count; i++) {
        if (c->external[i].family != family)
            continue;
        if (skip == 0)
            *out = c->external[i];
        skip--;
    }
}

static size_t count(const struct nat_config *c, uint8_t family) {
    size_t usable = 0;
    for (size_t i = 0; i < c->external_count; i++)
        usable += c->external[i].family == family ? 1 : 0;
    return usable;
}

static size_t sum(const struct bk_ip *ip) {
    size_t total = 0;
    for (size_t i = 0; i < sizeof ip->bytes; i++)
        total += ip->bytes[i];
    return total;
}

/* Carriers that spread connections over several NATs by a hash of the five-tuple: NetPiculet,
 * section 4.2. */
static size_t hash_of_flow(const struct nat *nat, const struct nat_flow *flow) {
    uint8_t key[NAT_KEY_FLOW];
    nat_key_flow(key, flow->proto, &flow->src, &flow->dst);
    return (size_t)(siphash24(nat->hash_key, key, sizeof key) >> 32);
}

uint8_t nat_pool_hash(const struct nat *nat, const struct nat_flow *flow) {
    size_t usable = count(&nat->config, flow->src.ip.family);
    return (uint8_t)(usable == 0 ? 0 : hash_of_flow(nat, flow) % usable);
}

bool nat_pool_pick(struct nat *nat, const struct nat_flow *flow, struct bk_ip *out) {
    uint8_t family = flow->src.ip.family;
    size_t usable = count(&nat->config, family), skip;
    if (usable == 0)
        return false;
    if (nat->mapping_of[flow->proto] == NAT_DEP_HASH)
        skip = nat_pool_hash(nat, flow);
    else if (nat->config.pooling == NAT_POOL_ARBITRARY)
        skip = rng_below(&nat->rng, (uint32_t)usable);
    else
        skip = sum(&flow->src.ip) % usable;
    nth(&nat->config, family, skip, out);
    return true;
}
