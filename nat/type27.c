/* SPDX-License-Identifier: MIT
 * The 27 types of NATCracker: mapping x port allocation x filtering. "Preserved" falls to the next
 * free port, since with an endpoint-dependent mapping only an inside port's first mapping can have
 * its number. Timers and the rest are those of RFC 4787's minimum, so that types differ in nothing
 * else. */
#include "nat/nat.h"

static const enum nat_dep deps[] = {NAT_EI, NAT_AD, NAT_APD};
static const enum nat_port_choice ports[] = {NAT_PORT_PRESERVE_NEXT, NAT_PORT_SEQUENTIAL,
                                             NAT_PORT_RANDOM};

/* Index = 9 * mapping + 3 * ports + filtering. */
static const char *const names[NAT_TYPES27] = {
    "EI-PP-EI",  "EI-PP-AD",  "EI-PP-APD",  "EI-PC-EI",  "EI-PC-AD",  "EI-PC-APD",  "EI-RD-EI",
    "EI-RD-AD",  "EI-RD-APD", "AD-PP-EI",   "AD-PP-AD",  "AD-PP-APD", "AD-PC-EI",   "AD-PC-AD",
    "AD-PC-APD", "AD-RD-EI",  "AD-RD-AD",   "AD-RD-APD", "APD-PP-EI", "APD-PP-AD",  "APD-PP-APD",
    "APD-PC-EI", "APD-PC-AD", "APD-PC-APD", "APD-RD-EI", "APD-RD-AD", "APD-RD-APD",
};

const char *nat_type27(size_t index, struct nat_config *out) {
    if (index >= NAT_TYPES27)
        return NULL;
    *out = nat_config_default;
    out->mapping = deps[index / 9];
    out->ports = ports[index / 3 % 3];
    out->filtering = deps[index % 3];
    out->udp_first_us = out->udp_replied_us = 120 * BK_US_PER_S; /* RFC 4787 REQ-5 */
    return names[index];
}
