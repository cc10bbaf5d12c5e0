/* SPDX-License-Identifier: MIT
 * links: nat
 * A script for a box: the first bytes are its configuration (any option), the rest packets, pauses,
 * faults and address changes among few addresses, so that they meet. After each step every
 * invariant between the tables is checked, and every verdict against what a NAT may do at all. */
#include "nat/nat.h"
#include "base/assert.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "wire/reader.h"

#include <stdlib.h>

/* One option, by its place in the table and one of its words, or a small number. */
static void set_option(struct nat_config *c, struct wire_reader *r) {
    char values[300];
    size_t count = 0;
    while (nat_option(count, NULL, 0) != NULL)
        count++;
    const char *name = nat_option(wire_u8(r) % count, values, sizeof values);
    char *word = values;
    uint8_t pick = wire_u8(r);
    char number[] = {(char)('0' + pick / 10 % 10), (char)('0' + pick % 10), '\0'};
    if (nat_config_set(c, name, number) == BK_OK)
        return;
    for (unsigned i = 0; i < pick % 8U && strstr(word, ", ") != NULL; i++)
        word = strstr(word, ", ") + 2;
    char *end = strstr(word, ", ");
    if (end != NULL)
        *end = '\0';
    (void)!nat_config_set(c, name, word);
}

/* Any options, and tables small enough to be full now and then. */
static struct nat_config read_config(struct wire_reader *r) {
    struct nat_config c = nat_config_default;
    uint8_t options = wire_u8(r) % 16;
    for (uint8_t i = 0; i < options; i++)
        set_option(&c, r);
    uint8_t size = wire_u8(r);
    c.port_min = 5000;
    c.port_max = (uint16_t)(5000 + (size % 2 == 0 ? size % 8 : 40));
    c.block_size = NAT_BLOCK_MIN;
    c.mappings_max = 6;
    c.sessions_max = 10;
    if (c.port_hold_us == 0 && size % 5 == 0)
        c.port_hold_us = 20 * BK_US_PER_S;
    c.external[0] = bk_ipv4(203, 0, 113, 1);
    c.external[1] = bk_ipv4(203, 0, 113, 2);
    c.external[2] = bk_ipv6((const uint8_t[16]){0x20, 1, [15] = 9});
    c.external_count = 3;
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
    const struct nat_config *c = nat_get_config(nat);
    enum nat_mode mode = in->flow.src.ip.family == BK_IPV4 ? c->ipv4 : c->ipv6;
    bool translates = mode == NAT_MODE_TRANSLATE;
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
    in.tcp_seq = in.flow.proto == NAT_TCP ? (uint32_t)wire_u8(r) << 24 : 0;
    in.tcp_len = flags & 1;
    if (in.flow.proto == NAT_ICMP) {
        in.icmp = (enum nat_icmp)(flags % 4);
        if (in.icmp == NAT_ICMP_ERROR)
            in.inner = read_flow(r);
    }
    nat_packet(nat, from, &in, now, &v);
    check_verdict(nat, from, &in, &v);
}

static void advance(struct nat *nat, struct bk_time now) {
    struct nat_late late;
    nat_advance(nat, now);
    while (nat_next_late(nat, &late)) {
        bk_assert(late.answer != NAT_ANSWER_NONE);
        bk_assert(late.header.flow.proto == NAT_TCP);
    }
    bk_assert(bk_before(now, nat_deadline(nat)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { STEPS_MAX = 500 };
    struct wire_reader r = wire_reader(data, size);
    struct nat_config config = read_config(&r);
    struct rng_seeded seeded;
    struct nat *nat;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    if (nat_config_check(&config, NULL) != BK_OK)
        return 0;
    bk_assert(nat_new(&config, &rng, &fuzz_alloc, &nat) == BK_OK);
    struct bk_time now = {0};
    for (int i = 0; i < STEPS_MAX && wire_left(&r) > 0; i++) {
        uint8_t what = wire_u8(&r);
        struct bk_ip fresh = bk_ipv4(203, 0, 113, (uint8_t)(1 + what % 4));
        if (what < 200)
            do_packet(nat, &r, now);
        else if (what < 240)
            now = bk_after(now, (int64_t)(what - 200) * 5 * BK_US_PER_S);
        else if (what < 245)
            advance(nat, now);
        else if (what < 248)
            (void)nat_evict(nat, what % 2 == 0 ? NAT_EVICT_OLDEST : NAT_EVICT_RANDOM, what % 3);
        else if (what < 250)
            nat_exhaust(nat, what % 2 == 0);
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
