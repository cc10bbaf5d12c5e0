/* SPDX-License-Identifier: MIT
 * A NAT's traits in words. */
#include <bodkin/nat_traits.h>

const char *bk_nat_dep_text(enum bk_nat_dep dep) {
    switch (dep) {
    case BK_NAT_EI:
        return "endpoint-independent";
    case BK_NAT_AD:
        return "address-dependent";
    case BK_NAT_APD:
        return "address- and port-dependent";
    case BK_NAT_DEP_UNKNOWN:
        break;
    }
    return "unknown";
}

const char *bk_nat_ports_text(enum bk_nat_ports ports) {
    switch (ports) {
    case BK_NAT_PORTS_PRESERVE:
        return "port-preserving";
    case BK_NAT_PORTS_SEQUENTIAL:
        return "sequential";
    case BK_NAT_PORTS_RANDOM:
        return "random";
    case BK_NAT_PORTS_TIME:
        return "growing with time";
    case BK_NAT_PORTS_UNKNOWN:
        break;
    }
    return "unknown";
}

/* RFC 3489 section 5 knew only these; RFC 4787 section 3 says why they are not enough. */
const char *bk_nat_cone_text(const struct bk_nat_traits *traits) {
    if (traits->mapping == BK_NAT_AD || traits->mapping == BK_NAT_APD)
        return "symmetric";
    if (traits->mapping != BK_NAT_EI)
        return "";
    bool nat = traits->translated != BK_NO;
    switch (traits->filtering) {
    case BK_NAT_EI:
        return nat ? "full cone" : "open";
    case BK_NAT_AD:
        return nat ? "restricted cone" : "firewall";
    case BK_NAT_APD:
        return nat ? "port-restricted cone" : "symmetric firewall";
    case BK_NAT_DEP_UNKNOWN:
        break;
    }
    return "";
}
