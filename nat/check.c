/* SPDX-License-Identifier: MIT
 * The ranges of the configuration's fields. */
#include "nat/nat.h"

#include <stddef.h>

static bool has_external(const struct nat_config *c, enum bk_family family) {
    for (size_t i = 0; i < c->external_count && i < NAT_EXTERNAL_MAX; i++) {
        if (c->external[i].family == family)
            return true;
    }
    return false;
}

static bool times_positive(const struct nat_config *c) {
    return c->udp_first_us > 0 && c->udp_replied_us > 0 && c->udp_replied_after_us >= 0 &&
           c->udp_well_known_us >= 0 && c->tcp_partial_us > 0 && c->tcp_established_us > 0 &&
           c->tcp_transitory_us > 0 && c->tcp_closing_us >= 0 && c->tcp_reset_us >= 0 &&
           c->tcp_syn_wait_us >= 0 && c->icmp_us > 0 && c->mapping_epoch_us > 0 &&
           c->port_hold_us >= 0;
}

/* Filtering knows only how much of the remote endpoint counts. */
static bool filtering_right(const struct nat_config *c) {
    bool udp = c->filtering == NAT_EI || c->filtering == NAT_AD || c->filtering == NAT_APD;
    bool tcp = c->tcp_filtering == NAT_EI || c->tcp_filtering == NAT_AD ||
               c->tcp_filtering == NAT_APD || c->tcp_filtering == NAT_DEP_AS_UDP;
    bool icmp = c->icmp_filtering == NAT_EI || c->icmp_filtering == NAT_AD ||
                c->icmp_filtering == NAT_APD || c->icmp_filtering == NAT_DEP_AS_UDP;
    return udp && tcp && icmp;
}

static bool blocks_right(const struct nat_config *c) {
    uint32_t range = (uint32_t)c->port_max - c->port_min + 1;
    return c->port_space != NAT_SPACE_BLOCKS ||
           (c->block_size >= NAT_BLOCK_MIN && c->block_size <= range);
}

/* RFC 7597 section 5.1: a bits, k bits, and the rest of 16. */
static bool psid_right(const struct nat_config *c) {
    if (c->port_space != NAT_SPACE_PSID)
        return true;
    return c->psid_offset <= 15 && c->psid_len <= 16 - c->psid_offset &&
           c->psid < UINT32_C(1) << c->psid_len;
}

enum bk_err nat_config_check(const struct nat_config *c, const char **field) {
    bool v4 = c->ipv4 != NAT_MODE_TRANSLATE || has_external(c, BK_IPV4);
    bool v6 = c->ipv6 != NAT_MODE_TRANSLATE || has_external(c, BK_IPV6);
    const struct {
        bool right;
        const char *name;
    } rules[] = {
        {c->external_count <= NAT_EXTERNAL_MAX, "external_count"},
        {v4 && v6, "external"},
        {c->mapping != NAT_DEP_AS_UDP, "mapping"},
        {filtering_right(c), "filtering"},
        {c->ports != NAT_PORT_AS_UDP, "ports"},
        {c->port_min > 0 && c->port_min <= c->port_max, "port_min"},
        {c->port_step != 0 && c->port_step >= -1024 && c->port_step <= 1024, "port_step"},
        {c->port_rate > 0 && c->port_rate <= 1000000, "port_rate"},
        {blocks_right(c), "block_size"},
        {psid_right(c), "psid"},
        {!c->inbound_first || c->overload == NAT_OVERLOAD_REMOTE, "inbound_first"},
        {c->udp_allow.count <= NAT_ALLOW_MAX && c->tcp_allow.count <= NAT_ALLOW_MAX, "allow"},
        {c->fragments_max > 0 && c->fragments_max <= NAT_FRAGMENTS_MAX, "fragments_max"},
        {times_positive(c), "timers"},
        {c->mappings_max > 0 && c->mappings_max <= 65536 * 16, "mappings_max"},
        {c->sessions_max >= c->mappings_max && c->sessions_max <= 65536 * 64, "sessions_max"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].right)
            continue;
        if (field != NULL)
            *field = rules[i].name;
        return BK_ERR_ARGUMENT;
    }
    return BK_OK;
}
