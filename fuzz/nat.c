/* SPDX-License-Identifier: MIT
 * links: nat
 * A script for a box: the first bytes are its configuration, the rest packets, pauses, reboots and
 * address changes among few addresses, so that they meet. After each step every invariant between
 * the tables is checked, and every verdict against what a NAT may do at all. */
#include "nat/nat.h"
#include "base/assert.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "wire/reader.h"

#include <stdlib.h>

static struct nat_config read_config(struct wire_reader *r) {
    struct nat_config c = nat_config_default;
    c.mapping = (enum nat_dep)(wire_u8(r) % 3);
    c.filtering = (enum nat_dep)(wire_u8(r) % 3);
    c.ports = (enum nat_port_choice)(wire_u8(r) % 3);
    c.hairpin = (enum nat_hairpin)(wire_u8(r) % 3);
    c.refresh = (enum nat_refresh)(wire_u8(r) % 3);
    uint8_t flags = wire_u8(r);
    c.unsolicited = (flags & 1) != 0 ? NAT_UNSOLICITED_REJECT : NAT_UNSOLICITED_DROP;
    c.tcp_simultaneous_open = (flags & 2) != 0;
    c.tcp_pickup = (flags & 4) != 0;
    c.mappings_per_host_max = (flags & 8) != 0 ? 3 : 0;
    c.ipv4 = (flags & 16) != 0 ? NAT_MODE_FIREWALL : NAT_MODE_TRANSLATE;
    c.port_min = 5000;
    c.port_max = (uint16_t)(5000 + wire_u8(r) % 8);
    c.mappings_max = 6;
    c.sessions_max = 10;
    c.external[0] = bk_ipv4(203, 0, 113, 1);
    c.external[1] = bk_ipv4(203, 0, 113, 2);
    c.external_count = 2;
    return c;
}

/* One byte names one of 8 hosts and 4 ports: inside, outside, the box itself, nonsense. */
static struct bk_addr read_addr(struct wire_reader *r) {
    uint8_t b = wire_u8(r);
    const struct bk_ip hosts[8] = {
        bk_ipv4(192, 168, 1, 2),
        bk_ipv4(192, 168, 1, 3),
        bk_ipv4(198, 51, 100, 1),
        bk_ipv4(198, 51, 100, 2),
        bk_ipv4(203, 0, 113, 1),
        bk_ipv4(203, 0, 113, 2),
        bk_ipv4(224, 0, 0, 1),
        {.family = BK_IPV6, .bytes = {0x20, 1, [15] = (uint8_t)(b >> 5)}}};
    return bk_addr(hosts[b % 8], (uint16_t)(5000 + b / 8 % 4));
}

static struct nat_flow read_flow(struct wire_reader *r) {
    struct nat_flow f = {.proto = (enum nat_proto)(wire_u8(r) % NAT_PROTOS)};
    f.src = read_addr(r);
    f.dst = read_addr(r);
    return f;
}

/* What holds for every box: only addresses change, and only those of the NAT's side. */
static void check_verdict(const struct nat *nat, enum nat_side from, const struct nat_header *in,
                          const struct nat_verdict *v) {
    bool passes = v->action == NAT_FORWARD || v->action == NAT_HAIRPIN;
    bk_assert(passes == (v->drop == NAT_DROP_NONE));
    bk_assert((v->action == NAT_ANSWER) == (v->answer != NAT_ANSWER_NONE));
    if (!passes)
        return;
    bk_assert(v->header.flow.proto == in->flow.proto && v->header.icmp == in->icmp);
    bk_assert(v->header.tcp_flags == in->tcp_flags);
    if (v->action == NAT_HAIRPIN)
        return;
    bool translates =
        in->flow.src.ip.family == BK_IPV4 && nat_get_config(nat)->ipv4 == NAT_MODE_TRANSLATE;
    if (from == NAT_INSIDE) {
        bk_assert(bk_addr_equal(&v->header.flow.dst, &in->flow.dst));
        bk_assert(nat_is_external(nat, &v->header.flow.src.ip) || !translates);
    } else {
        bk_assert(bk_addr_equal(&v->header.flow.src, &in->flow.src));
        bk_assert(!translates || nat_is_external(nat, &in->flow.dst.ip));
    }
}

static void do_packet(struct nat *nat, struct wire_reader *r, struct bk_time now) {
    struct nat_header in = {.flow = read_flow(r)};
    struct nat_verdict v;
    uint8_t flags = wire_u8(r);
    enum nat_side from = (flags & 0x80) != 0 ? NAT_OUTSIDE : NAT_INSIDE;
    in.tcp_flags = flags & 0x1f;
    if (in.flow.proto == NAT_ICMP) {
        in.icmp = (enum nat_icmp)(flags % 4);
        if (in.icmp == NAT_ICMP_ERROR)
            in.inner = read_flow(r);
    }
    nat_packet(nat, from, &in, now, &v);
    check_verdict(nat, from, &in, &v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { STEPS_MAX = 500 };
    struct wire_reader r = wire_reader(data, size);
    struct nat_config config = read_config(&r);
    struct rng_seeded seeded;
    struct nat *nat;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    bk_assert(nat_new(&config, &rng, &fuzz_alloc, &nat) == BK_OK);
    struct bk_time now = {0};
    for (int i = 0; i < STEPS_MAX && wire_left(&r) > 0; i++) {
        uint8_t what = wire_u8(&r);
        struct bk_ip fresh = bk_ipv4(203, 0, 113, (uint8_t)(1 + what % 4));
        if (what < 200)
            do_packet(nat, &r, now);
        else if (what < 240)
            now = bk_after(now, (int64_t)(what - 200) * 5 * BK_US_PER_S);
        else if (what < 250)
            nat_advance(nat, now);
        else if (what < 252)
            nat_reboot(nat);
        else if (what < 254 && !nat_is_external(nat, &fresh))
            bk_assert(nat_set_external(nat, what % 2, &fresh) == BK_OK);
        else
            nat_block_udp(nat, what == 255);
        nat_check(nat);
    }
    nat_free(nat);
    return 0;
}
