/* SPDX-License-Identifier: MIT
 * u8 per enum, rates in thousandths, addresses as u8 family and its bytes. */
#include "peer/signal_nat.h"

#include <string.h>

enum { MILLI = 1000 };

static uint32_t milli(double value) {
    double m = value * MILLI;
    return m <= 0 ? 0 : m >= (double)UINT32_MAX ? UINT32_MAX : (uint32_t)m;
}

static size_t ip_len(uint8_t family) {
    return family == BK_IPV4 ? 4 : family == BK_IPV6 ? 16 : 0;
}

static void put_ip(struct wire_writer *w, const struct bk_ip *ip) {
    wire_put_u8(w, ip->family);
    wire_put_bytes(w, ip->bytes, ip_len(ip->family));
}

void signal_put_nat(struct wire_writer *w, const struct bk_nat_traits *nat) {
    const uint8_t enums[] = {
        (uint8_t)nat->translated,    (uint8_t)nat->udp_blocked, (uint8_t)nat->udp_limited,
        (uint8_t)nat->mapping,       (uint8_t)nat->filtering,   (uint8_t)nat->ports,
        (uint8_t)nat->paired,        (uint8_t)nat->hairpin,     (uint8_t)nat->unsolicited,
        (uint8_t)nat->inbound_first, (uint8_t)nat->two_nats,    (uint8_t)nat->port_mapping,
        (uint8_t)nat->tcp_punch,     (uint8_t)nat->ipv6};
    wire_put_bytes(w, enums, sizeof enums);
    wire_put_u32(w, (uint32_t)nat->step);
    wire_put_u32(w, milli(nat->ports_per_s));
    wire_put_u32(w, milli(nat->foreign_per_s));
    wire_put_u16(w, nat->port_min);
    wire_put_u16(w, nat->port_max);
    wire_put_u32(w, nat->port_count);
    wire_put_u32(w, nat->mappings_max);
    wire_put_u32(w, (uint32_t)(nat->udp_lifetime_us / BK_US_PER_MS));
    put_ip(w, &nat->external);
    put_ip(w, &nat->inner);
}

/* A value of an enum whose last one is `max`. */
static int get_enum(struct wire_reader *r, int max) {
    int value = wire_u8(r);
    r->failed = r->failed || value > max;
    return value;
}

static enum bk_maybe get_maybe(struct wire_reader *r) {
    return (enum bk_maybe)get_enum(r, BK_YES);
}

static void get_enums(struct wire_reader *r, struct bk_nat_traits *nat) {
    nat->translated = get_maybe(r);
    nat->udp_blocked = get_maybe(r);
    nat->udp_limited = get_maybe(r);
    nat->mapping = (enum bk_nat_dep)get_enum(r, BK_NAT_APD);
    nat->filtering = (enum bk_nat_dep)get_enum(r, BK_NAT_APD);
    nat->ports = (enum bk_nat_ports)get_enum(r, BK_NAT_PORTS_TIME);
    nat->paired = get_maybe(r);
    nat->hairpin = (enum bk_nat_hairpin)get_enum(r, BK_NAT_HAIRPIN_INTERNAL);
    nat->unsolicited = (enum bk_nat_unsolicited)get_enum(r, BK_NAT_UNSOLICITED_REJECT);
    nat->inbound_first = get_maybe(r);
    nat->two_nats = get_maybe(r);
    nat->port_mapping = get_maybe(r);
    nat->tcp_punch = get_maybe(r);
    nat->ipv6 = get_maybe(r);
}

static void get_ip(struct wire_reader *r, struct bk_ip *ip) {
    uint8_t family = wire_u8(r);
    const uint8_t *bytes = wire_bytes(r, ip_len(family));
    r->failed = r->failed || (family != BK_FAMILY_NONE && ip_len(family) == 0);
    if (r->failed || family == BK_FAMILY_NONE)
        return;
    ip->family = family;
    memcpy(ip->bytes, bytes, ip_len(family));
}

bool signal_get_nat(struct wire_reader *r, struct bk_nat_traits *nat) {
    struct bk_nat_traits n = {.translated = BK_UNKNOWN};
    get_enums(r, &n);
    n.step = (int32_t)wire_u32(r);
    n.ports_per_s = (double)wire_u32(r) / MILLI;
    n.foreign_per_s = (double)wire_u32(r) / MILLI;
    n.port_min = wire_u16(r);
    n.port_max = wire_u16(r);
    n.port_count = wire_u32(r);
    n.mappings_max = wire_u32(r);
    n.udp_lifetime_us = (int64_t)wire_u32(r) * BK_US_PER_MS;
    get_ip(r, &n.external);
    get_ip(r, &n.inner);
    if (r->failed || n.port_min > n.port_max)
        return false;
    *nat = n;
    return true;
}

bool signal_nat_equal(const struct bk_nat_traits *a, const struct bk_nat_traits *b) {
    uint8_t one[SIGNAL_NAT_MAX], other[SIGNAL_NAT_MAX];
    struct wire_writer w = wire_writer(one, sizeof one), v = wire_writer(other, sizeof other);
    signal_put_nat(&w, a);
    signal_put_nat(&v, b);
    return w.len == v.len && memcmp(one, other, w.len) == 0;
}
