/* SPDX-License-Identifier: MIT
 * Which outside address an inside host gets. RFC 4787 section 4.1 REQ-2: "paired", so that all of a
 * host's mappings have one address. Arbitrary pooling goes here. */
#include "nat/state.h"

bool nat_pool_pick(const struct nat *nat, const struct bk_ip *internal, struct bk_ip *out) {
    const struct nat_config *c = &nat->config;
    size_t usable = 0, sum = 0;
    for (size_t i = 0; i < c->external_count; i++)
        usable += c->external[i].family == internal->family ? 1 : 0;
    if (usable == 0)
        return false;
    for (size_t i = 0; i < sizeof internal->bytes; i++)
        sum += internal->bytes[i];
    size_t skip = sum % usable;
    for (size_t i = 0; i < c->external_count; i++) {
        if (c->external[i].family != internal->family)
            continue;
        if (skip == 0) {
            *out = c->external[i];
            return true;
        }
        skip--;
    }
    return false;
}
