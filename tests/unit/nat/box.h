/* SPDX-License-Identifier: MIT
 * A NAT box on the bench: one inside network, one outside address, packets by hand. */
#ifndef TESTS_UNIT_NAT_BOX_H
#define TESTS_UNIT_NAT_BOX_H

#include "../test.h"
#include "base/rng.h"
#include "nat/nat.h"

struct box {
    struct nat *nat;
    struct rng_seeded seeded;
    struct bk_time now;
    struct nat_verdict v; /* of the last packet */
};

static inline struct nat_config box_config(enum nat_dep mapping, enum nat_dep filtering) {
    struct nat_config c = nat_config_default;
    c.mapping = mapping;
    c.filtering = filtering;
    c.external[0] = bk_ipv4(203, 0, 113, 1);
    c.external_count = 1;
    c.mappings_max = 256;
    c.sessions_max = 512;
    return c;
}

static inline void box_open(struct box *b, const struct nat_config *config) {
    rng_seed(&b->seeded, 7);
    struct bk_rng rng = rng_from_seeded(&b->seeded);
    b->now = test_at_ms(1000);
    assert_int_equal(nat_new(config, &rng, &test_alloc, &b->nat), BK_OK);
}

static inline void box_close(struct box *b) {
    nat_check(b->nat);
    nat_free(b->nat);
}

static inline void box_wait_s(struct box *b, int64_t s) {
    b->now = bk_after(b->now, s * BK_US_PER_S);
}

static inline struct bk_addr at(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

/* Sends one packet through the box; false: it was not forwarded. */
static inline bool box_pass(struct box *b, enum nat_side from, const struct nat_header *h) {
    nat_packet(b->nat, from, h, b->now, &b->v);
    nat_check(b->nat);
    return b->v.action == NAT_FORWARD || b->v.action == NAT_HAIRPIN;
}

static inline bool box_udp(struct box *b, enum nat_side from, struct bk_addr src,
                           struct bk_addr dst) {
    struct nat_header h = {.flow = {.proto = NAT_UDP, .src = src, .dst = dst}};
    return box_pass(b, from, &h);
}

static inline bool box_tcp(struct box *b, enum nat_side from, struct bk_addr src,
                           struct bk_addr dst, uint8_t flags) {
    struct nat_header h = {.flow = {.proto = NAT_TCP, .src = src, .dst = dst}, .tcp_flags = flags};
    return box_pass(b, from, &h);
}

/* UDP from inside; returns where it comes out. */
static inline struct bk_addr box_out(struct box *b, const char *src, const char *dst) {
    assert_true(box_udp(b, NAT_INSIDE, at(src), at(dst)));
    return b->v.header.flow.src;
}

/* UDP from outside to an outside endpoint of the box: does it get in? */
static inline bool box_in(struct box *b, const char *src, struct bk_addr dst) {
    return box_udp(b, NAT_OUTSIDE, at(src), dst);
}

static inline bool same(struct bk_addr a, struct bk_addr b) {
    return bk_addr_equal(&a, &b);
}

/* A preset at 203.0.113.1, with small tables. */
static inline struct nat_config box_preset(const char *name) {
    struct nat_config c;
    assert_int_equal(nat_preset(name, &c), BK_OK);
    c.external[0] = bk_ipv4(203, 0, 113, 1);
    c.external_count = 1;
    c.mappings_max = 256;
    c.sessions_max = 512;
    return c;
}

/* How long the box's only mapping has left. */
static inline int64_t box_life_s(const struct box *b) {
    struct nat_mapping_view view;
    uint32_t cursor = 0;
    assert_true(nat_next_mapping(b->nat, &cursor, &view));
    return bk_elapsed_us(b->now, view.expires) / BK_US_PER_S;
}

static inline uint32_t box_mappings(const struct box *b) {
    struct nat_mapping_view view;
    uint32_t cursor = 0, n = 0;
    while (nat_next_mapping(b->nat, &cursor, &view))
        n++;
    return n;
}

#endif
