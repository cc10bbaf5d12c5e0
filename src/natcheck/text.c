/* SPDX-License-Identifier: MIT
 * Names and values in words. */
#include "base/assert.h"
#include "natcheck/state.h"

const char *bk_nat_attr_name(enum bk_nat_attr attr) {
    static const char *const names[BK_NAT_ATTRS] = {
        [BK_NAT_UDP] = "udp",
        [BK_NAT_TRANSLATED] = "translated",
        [BK_NAT_MAPPING] = "mapping",
        [BK_NAT_FILTERING] = "filtering",
        [BK_NAT_PORTS] = "ports",
        [BK_NAT_PARITY] = "parity",
        [BK_NAT_POOLING] = "pooling",
        [BK_NAT_HAIRPIN] = "hairpin",
        [BK_NAT_UNSOLICITED] = "unsolicited",
        [BK_NAT_INBOUND_FIRST] = "inbound-first",
        [BK_NAT_ALG] = "alg",
        [BK_NAT_PORT_SPECIFIC] = "port-specific",
        [BK_NAT_TCP_MAPPING] = "tcp-mapping",
        [BK_NAT_DOUBLE] = "double-nat",
        [BK_NAT_PCP] = "pcp",
        [BK_NAT_PMP] = "nat-pmp",
        [BK_NAT_UPNP] = "upnp",
        [BK_NAT_IPV6] = "ipv6",
        [BK_NAT_IPV6_TRANSLATED] = "ipv6-translated",
        [BK_NAT_IPV6_PREFIX] = "ipv6-prefix",
        [BK_NAT_IPV6_MAPPING] = "ipv6-mapping",
        [BK_NAT_IPV6_FILTERING] = "ipv6-filtering",
        [BK_NAT_LIFE_FIRST] = "lifetime-unanswered",
        [BK_NAT_LIFE_REPLIED] = "lifetime-answered",
        [BK_NAT_REFRESH_OUT] = "refresh-outbound",
        [BK_NAT_REFRESH_IN] = "refresh-inbound",
    };
    return (unsigned)attr < BK_NAT_ATTRS ? names[attr] : "unknown";
}

const char *bk_nat_test_name(enum bk_nat_test test) {
    static const char *const names[BK_NAT_TESTS] = {
        [BK_NAT_TEST_BINDING] = "binding",
        [BK_NAT_TEST_CHANGE_BOTH] = "change-address-and-port",
        [BK_NAT_TEST_CHANGE_PORT] = "change-port",
        [BK_NAT_TEST_HAIRPIN] = "hairpin",
        [BK_NAT_TEST_TCP] = "tcp-binding",
        [BK_NAT_TEST_LIFE] = "lifetime",
        [BK_NAT_TEST_REDIRECT] = "redirect",
        [BK_NAT_TEST_PCP] = "pcp-announce",
        [BK_NAT_TEST_PMP] = "nat-pmp-address",
        [BK_NAT_TEST_UPNP] = "upnp-search",
    };
    return (unsigned)test < BK_NAT_TESTS ? names[test] : "unknown";
}

const char *bk_nat_reason_text(enum bk_nat_reason reason) {
    switch (reason) {
    case BK_NAT_REASON_NONE:
        return "";
    case BK_NAT_REASON_UDP_BLOCKED:
        return "no UDP gets through";
    case BK_NAT_REASON_NO_ANSWER:
        return "the server, or one of its addresses, did not answer";
    case BK_NAT_REASON_ONE_ADDRESS:
        return "cannot tell address-dependent behaviour with one server address";
    case BK_NAT_REASON_NO_SUPPORT:
        return "the server does not support this test";
    case BK_NAT_REASON_HIDDEN:
        return "cannot be seen from inside this NAT";
    case BK_NAT_REASON_TOO_FEW:
        return "too few observations to be sure";
    case BK_NAT_REASON_BUDGET:
        return "the limit of packets was reached";
    case BK_NAT_REASON_NO_SOCKET:
        return "a socket could not be opened";
    case BK_NAT_REASON_NO_ADDRESS:
        return "the host has no such address";
    case BK_NAT_REASON_STOPPED:
        return "stopped before it was known";
    case BK_NAT_REASON_NOT_APPLICABLE:
        return "there is nothing to test";
    }
    return "";
}

static const char *maybe_text(int64_t value) {
    static const char *const words[] = {"unknown", "no", "yes"};
    return value >= BK_UNKNOWN && value <= BK_YES ? words[value] : "";
}

static const char *udp_text(int64_t value) {
    static const char *const words[] = {"unknown", "open", "some ports only", "blocked"};
    return value >= 0 && value <= BK_NAT_UDP_BLOCKED ? words[value] : "";
}

static const char *hairpin_text(int64_t value) {
    static const char *const words[] = {"unknown", "no", "yes", "yes, with the inside source"};
    return value >= 0 && value <= BK_NAT_HAIRPIN_INTERNAL ? words[value] : "";
}

static const char *unsolicited_text(int64_t value) {
    static const char *const words[] = {"unknown", "dropped", "rejected"};
    return value >= 0 && value <= BK_NAT_UNSOLICITED_REJECT ? words[value] : "";
}

static const char *double_text(int64_t value) {
    static const char *const words[] = {"unknown", "no sign of a second one", "two NATs",
                                        "behind a carrier's NAT"};
    return value >= 0 && value <= BK_NAT_DOUBLE_CARRIER ? words[value] : "";
}

static const char *dep_text(int64_t value) {
    return value >= 0 && value <= BK_NAT_APD ? bk_nat_dep_text((enum bk_nat_dep)value) : "";
}

static const char *ports_text(int64_t value) {
    bool known = value >= 0 && value <= BK_NAT_PORTS_TIME;
    return known ? bk_nat_ports_text((enum bk_nat_ports)value) : "";
}

enum bk_nat_kind bk_nat_attr_kind(enum bk_nat_attr attr) {
    static const uint8_t kinds[BK_NAT_ATTRS] = {/* the others are MAYBE */
                                                [BK_NAT_UDP] = BK_NAT_KIND_UDP,
                                                [BK_NAT_MAPPING] = BK_NAT_KIND_DEP,
                                                [BK_NAT_FILTERING] = BK_NAT_KIND_DEP,
                                                [BK_NAT_TCP_MAPPING] = BK_NAT_KIND_DEP,
                                                [BK_NAT_IPV6_MAPPING] = BK_NAT_KIND_DEP,
                                                [BK_NAT_IPV6_FILTERING] = BK_NAT_KIND_DEP,
                                                [BK_NAT_PORTS] = BK_NAT_KIND_PORTS,
                                                [BK_NAT_HAIRPIN] = BK_NAT_KIND_HAIRPIN,
                                                [BK_NAT_UNSOLICITED] = BK_NAT_KIND_UNSOLICITED,
                                                [BK_NAT_DOUBLE] = BK_NAT_KIND_DOUBLE,
                                                [BK_NAT_LIFE_FIRST] = BK_NAT_KIND_TIME,
                                                [BK_NAT_LIFE_REPLIED] = BK_NAT_KIND_TIME};
    bk_assert(attr < BK_NAT_ATTRS);
    return (enum bk_nat_kind)kinds[attr];
}

const char *bk_nat_value_text(enum bk_nat_attr attr, int64_t value) {
    switch (bk_nat_attr_kind(attr)) {
    case BK_NAT_KIND_MAYBE:
        return maybe_text(value);
    case BK_NAT_KIND_UDP:
        return udp_text(value);
    case BK_NAT_KIND_DEP:
        return dep_text(value);
    case BK_NAT_KIND_PORTS:
        return ports_text(value);
    case BK_NAT_KIND_HAIRPIN:
        return hairpin_text(value);
    case BK_NAT_KIND_UNSOLICITED:
        return unsolicited_text(value);
    case BK_NAT_KIND_DOUBLE:
        return double_text(value);
    case BK_NAT_KIND_TIME:
        break;
    }
    return "";
}
