/* SPDX-License-Identifier: MIT
 * Records as a natcheck object would leave them, for the tests of what is shown. */
#ifndef TESTS_UNIT_CLI_NAT_RECORDS_H
#define TESTS_UNIT_CLI_NAT_RECORDS_H

#include <bodkin/natcheck.h>
#include <string.h>

static inline void finds(struct bk_nat_record *r, enum bk_nat_attr attr, int64_t value) {
    r->findings[attr] =
        (struct bk_nat_finding){.status = BK_NAT_KNOWN, .value = value, .permille = 1000};
}

static inline void cannot_tell(struct bk_nat_record *r, enum bk_nat_attr attr,
                               enum bk_nat_reason reason) {
    r->findings[attr] = (struct bk_nat_finding){.status = BK_NAT_UNCLEAR, .reason = reason};
}

static inline void sees(struct bk_nat_record *r, uint32_t attrs, uint16_t local, uint16_t seen,
                        int64_t sent_us, int64_t answered_us) {
    r->observations[r->observation_count++] = (struct bk_nat_observation){
        .test = BK_NAT_TEST_BINDING,
        .attrs = attrs,
        .local = bk_addr(bk_ipv4(0, 0, 0, 0), local),
        .remote = bk_addr(bk_ipv4(198, 51, 100, 10), 3478),
        .from = answered_us < 0 ? (struct bk_addr){.port = 0}
                                : bk_addr(bk_ipv4(198, 51, 100, 10), 3478),
        .seen =
            answered_us < 0 ? (struct bk_addr){.port = 0} : bk_addr(bk_ipv4(203, 0, 113, 7), seen),
        .sends = answered_us < 0 ? 3 : 1,
        .sent_us = sent_us,
        .answered_us = answered_us,
    };
}

/* A NAT with everything asked that a quick run asks. */
static inline void make_nat(struct bk_nat_record *r, enum bk_nat_dep mapping,
                            enum bk_nat_dep filtering, enum bk_nat_ports ports) {
    memset(r, 0, sizeof *r);
    r->traits = (struct bk_nat_traits){.translated = BK_YES,
                                       .udp_blocked = BK_NO,
                                       .mapping = mapping,
                                       .filtering = filtering,
                                       .ports = ports,
                                       .paired = BK_YES,
                                       .hairpin = BK_NAT_HAIRPIN_NONE,
                                       .unsolicited = BK_NAT_UNSOLICITED_DROP,
                                       .inbound_first = BK_NO,
                                       .external = bk_ipv4(203, 0, 113, 7)};
    finds(r, BK_NAT_UDP, BK_NAT_UDP_OPEN);
    finds(r, BK_NAT_TRANSLATED, BK_YES);
    finds(r, BK_NAT_MAPPING, mapping);
    finds(r, BK_NAT_FILTERING, filtering);
    finds(r, BK_NAT_PORTS, ports);
    finds(r, BK_NAT_POOLING, BK_YES);
    finds(r, BK_NAT_HAIRPIN, BK_NAT_HAIRPIN_NONE);
    finds(r, BK_NAT_UNSOLICITED, BK_NAT_UNSOLICITED_DROP);
    finds(r, BK_NAT_INBOUND_FIRST, BK_NO);
    finds(r, BK_NAT_ALG, BK_NO);
    finds(r, BK_NAT_PORT_SPECIFIC, BK_NO);
    finds(r, BK_NAT_TCP_MAPPING, mapping);
    finds(r, BK_NAT_DOUBLE, BK_NAT_DOUBLE_NO_SIGN);
    finds(r, BK_NAT_PCP, BK_NO);
    finds(r, BK_NAT_PMP, BK_NO);
    finds(r, BK_NAT_UPNP, BK_NO);
    r->externals[0] = r->traits.external;
    r->external_count = 1;
    r->other = bk_addr(bk_ipv4(198, 51, 100, 11), 3479);
    r->rtt_us = 40300;
    r->packets_sent = 34;
    r->took_us = 1234567;
    sees(r, 1u << BK_NAT_UDP | 1u << BK_NAT_MAPPING, 45001, 45001, 0, 40300);
    sees(r, 1u << BK_NAT_FILTERING, 45002, 0, 41000, -1);
}

static inline void make_home(struct bk_nat_record *r) {
    make_nat(r, BK_NAT_EI, BK_NAT_APD, BK_NAT_PORTS_PRESERVE);
}

static inline void make_blocked(struct bk_nat_record *r) {
    memset(r, 0, sizeof *r);
    r->traits.udp_blocked = BK_YES;
    finds(r, BK_NAT_UDP, BK_NAT_UDP_BLOCKED);
    for (unsigned i = BK_NAT_TRANSLATED; i < BK_NAT_TCP_MAPPING; i++)
        cannot_tell(r, (enum bk_nat_attr)i, BK_NAT_REASON_UDP_BLOCKED);
    finds(r, BK_NAT_TCP_MAPPING, BK_NAT_EI);
    r->packets_sent = 9;
    r->took_us = 2000000;
}

static inline void make_open(struct bk_nat_record *r) {
    make_nat(r, BK_NAT_EI, BK_NAT_EI, BK_NAT_PORTS_PRESERVE);
    r->traits.translated = BK_NO;
    finds(r, BK_NAT_TRANSLATED, BK_NO);
}

/* The text in one line with single spaces: where lines break does not matter. Valid until the next
 * call. */
static inline const char *flat(const char *text) {
    static char out[65536];
    size_t n = 0;
    for (; *text != '\0' && n < sizeof out - 1; text++) {
        char one = *text == '\n' ? ' ' : *text;
        if (one != ' ' || n == 0 || out[n - 1] != ' ')
            out[n++] = one;
    }
    out[n] = '\0';
    return out;
}

static const struct bk_addr nat_test_server = {{BK_IPV4, {198, 51, 100, 10}, 0}, 3478};

#endif
