/* SPDX-License-Identifier: MIT
 * links: punch
 * Two NATs as strangers may describe them, and any budget: whatever the oracle accepts it answers
 * within bounds, the same for both orders, and never better with less known. */
#include <bodkin/oracle.h>

#include <base/assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t len;
};

static uint32_t take(struct input *in, uint32_t below) {
    uint32_t value = 0;
    for (int i = 0; i < 3 && in->len > 0; i++, in->len--)
        value = value << 8 | *in->data++;
    return value % below;
}

static enum bk_maybe maybe(struct input *in) {
    return (enum bk_maybe)take(in, 3);
}

static struct bk_nat_traits traits(struct input *in) {
    struct bk_nat_traits t = {
        .translated = maybe(in),
        .udp_blocked = maybe(in),
        .udp_limited = maybe(in),
        .mapping = (enum bk_nat_dep)take(in, 5),
        .filtering = (enum bk_nat_dep)take(in, 5),
        .ports = (enum bk_nat_ports)take(in, 6),
        .step = (int32_t)take(in, 5) - 2,
        .foreign_per_s = (double)take(in, 2000) / 3,
        .port_min = (uint16_t)take(in, 65536),
        .port_max = (uint16_t)take(in, 65536),
        .port_count = take(in, 70000),
        .paired = maybe(in),
        .hairpin = (enum bk_nat_hairpin)take(in, 4),
        .inbound_first = maybe(in),
        .mappings_max = take(in, 3000),
        .two_nats = maybe(in),
        .port_mapping = maybe(in),
        .tcp_punch = maybe(in),
        .ipv6 = maybe(in),
    };
    if (take(in, 2) == 1)
        t.external = bk_ipv4(203, 0, 113, (uint8_t)take(in, 2));
    if (take(in, 2) == 1)
        t.inner = bk_ipv4(100, 64, 0, (uint8_t)take(in, 2));
    return t;
}

static struct bk_oracle_budget budget(struct input *in) {
    return (struct bk_oracle_budget){
        .methods = take(in, 1U << BK_ORACLE_METHODS),
        .sockets = take(in, 600),
        .probes = take(in, 2000),
        .pace_pps = take(in, 1000),
        .rtt_us = take(in, 1000000),
        .signal_rtt_us = take(in, 1000000),
        .skew_us = take(in, 1000000),
        .low_ttl = take(in, 2) == 1,
        .synchronised = take(in, 2) == 1,
        .foreign_per_s = (double)take(in, 100),
        .tcp_success = (double)take(in, 101) / 100,
    };
}

static bool near(double a, double b, double within) {
    return a <= b + within && b <= a + within;
}

static void check_side(const struct bk_oracle_side *s) {
    bk_assert(s->packets_mean >= 0 && s->packets_p95 >= 0);
    bk_assert((s->role == BK_ORACLE_ROLE_NONE) == (s->packets_p95 <= 0 && s->sockets == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, size};
    struct bk_nat_traits a = traits(&in), b = traits(&in);
    struct bk_oracle_budget spend = budget(&in);
    struct bk_oracle_verdict v, turned;
    enum bk_err e = bk_oracle(&a, &b, &spend, &v);
    bk_assert(e == bk_oracle(&b, &a, &spend, &turned));
    if (e != BK_OK) {
        bk_assert(e == BK_ERR_ARGUMENT);
        return 0;
    }
    bk_assert(v.p_low >= 0 && v.p_low <= v.p_high && v.p_high <= 1);
    bk_assert(v.time_mean_us >= 0 && v.time_p95_us >= 0 && v.why != NULL);
    bk_assert(near(v.p_low, turned.p_low, 0.002) && near(v.p_high, turned.p_high, 0.002));
    check_side(&v.side[0]);
    check_side(&v.side[1]);
    struct bk_nat_traits less = a; /* knowing less widens */
    less.mapping = BK_NAT_DEP_UNKNOWN;
    if (a.translated != BK_NO && bk_oracle(&less, &b, &spend, &turned) == BK_OK)
        bk_assert(turned.p_low <= v.p_low + 0.002 && turned.p_high >= v.p_high - 0.002);
    return 0;
}
