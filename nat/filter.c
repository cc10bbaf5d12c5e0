/* SPDX-License-Identifier: MIT
 * Filtering behaviour, RFC 4787 section 5: whom a mapping listens to beyond the remote endpoints it
 * has sessions with. The permission belongs to the mapping, not to the inside endpoint: with an
 * endpoint-dependent mapping, having sent to a host through one mapping opens no other. */
#include "nat/state.h"

bool nat_filter_admits(const struct nat *nat, uint32_t mapping, const struct bk_addr *remote) {
    switch (nat->filtering_of[nat->mappings[mapping].proto]) {
    case NAT_EI:
        return true;
    case NAT_AD: {
        uint8_t key[NAT_KEY_HOST];
        nat_key_host(key, mapping, &remote->ip);
        return table_get(&nat->by_host, key, NULL);
    }
    case NAT_APD:
    case NAT_DEP_CONNECTION:
    case NAT_DEP_TIME:
    case NAT_DEP_HASH:
    case NAT_DEP_AS_UDP:
        break;
    }
    return false;
}
