/* SPDX-License-Identifier: MIT
 * Fragments through a box, in and out of order, and a flood of them: RFC 4787 REQ-14. */
#include "box.h"
#include "nat/fragment.h"

enum { PAYLOAD = 64, ROOM = 256 };

struct bytes {
    uint8_t data[ROOM];
    size_t len;
};

static void put16(uint8_t *p, unsigned value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void seal(struct bytes *b) {
    uint32_t sum = 0;
    put16(b->data + 10, 0);
    for (size_t i = 0; i < 20; i += 2)
        sum += (uint32_t)b->data[i] << 8 | b->data[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    put16(b->data + 10, ~(sum + (sum >> 16)) & 0xffff);
}

/* The fragment of `len` bytes at `offset` of a UDP (or, offset by nothing else, TCP) packet from
 * 192.168.1.2 to 198.51.100.1. */
static struct bytes fragment(uint8_t proto, uint16_t id, size_t offset, size_t len, bool more) {
    struct bytes b = {.len = 20 + len};
    memset(b.data, 0xaa, b.len);
    b.data[0] = 0x45;
    b.data[1] = 0;
    put16(b.data + 2, (unsigned)b.len);
    put16(b.data + 4, id);
    put16(b.data + 6, (unsigned)(offset / 8) | (more ? 0x2000U : 0));
    b.data[8] = 64;
    b.data[9] = proto;
    memcpy(b.data + 12, "\300\250\1\2\306\63\144\1", 8); /* 192.168.1.2, 198.51.100.1 */
    if (offset == 0) {
        put16(b.data + 20, 5000);
        put16(b.data + 22, 443);
        put16(b.data + 24, 500);
        put16(b.data + 26, 0x1234);
        if (proto == 6)
            b.data[32] = 0x50;
    }
    seal(&b);
    return b;
}

struct bench {
    struct box box;
    struct fragments *fragments;
};

static void bench_open(struct bench *t, enum nat_fragments mode, uint32_t max) {
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    c.ports = NAT_PORT_RANDOM;
    box_open(&t->box, &c);
    struct bk_rng rng = rng_from_seeded(&t->box.seeded);
    assert_int_equal(fragments_new(mode, max, &rng, &test_alloc, &t->fragments), BK_OK);
}

static void bench_close(struct bench *t) {
    fragments_free(t->fragments);
    box_close(&t->box);
}

/* A first fragment through the box; where it leaves. */
static struct bk_addr first(struct bench *t, uint16_t id) {
    struct bytes b = fragment(17, id, 0, PAYLOAD, true);
    struct packet p;
    struct nat_verdict v;
    assert_int_equal(packet_parse(&p, b.data, b.len, false), BK_ERR_UNSUPPORTED);
    assert_int_equal(packet_parse_any(&p, b.data, b.len, false), BK_OK);
    assert_int_equal(p.part, PACKET_FIRST);
    struct nat_header before = p.header;
    nat_packet(t->box.nat, NAT_INSIDE, &before, t->box.now, &v);
    assert_int_equal(v.action, NAT_FORWARD);
    packet_rewrite(&p, &v.header);
    fragments_learn(t->fragments, NAT_INSIDE, &p, &before, &v, t->box.now);
    return v.header.flow.src;
}

static enum fragment_fate later(struct bench *t, uint16_t id, struct bytes *b) {
    struct packet p;
    enum nat_side to = NAT_INSIDE;
    *b = fragment(17, id, PAYLOAD, PAYLOAD, false);
    assert_int_equal(packet_parse_any(&p, b->data, b->len, false), BK_OK);
    assert_true(p.part == PACKET_LATER && p.ip_id == id && p.ip_offset == PAYLOAD / 8);
    enum fragment_fate fate = fragments_pass(t->fragments, NAT_INSIDE, &p, t->box.now, &to);
    if (fate == FRAGMENT_PASSES) {
        assert_int_equal(to, NAT_OUTSIDE);
        assert_memory_equal(b->data + 12, "\313\0\161\1\306\63\144\1", 8);     /* 203.0.113.1 */
        assert_int_equal(packet_parse_any(&p, b->data, b->len, false), BK_OK); /* its checksum */
    }
    return fate;
}

static void test_in_order(void **state) {
    (void)state;
    struct bench t;
    struct bytes b;
    bench_open(&t, NAT_FRAGMENTS_IN_ORDER, 4);
    assert_int_equal(later(&t, 7, &b), FRAGMENT_DROPPED);
    (void)first(&t, 7);
    assert_int_equal(later(&t, 7, &b), FRAGMENT_PASSES);
    assert_int_equal(later(&t, 7, &b), FRAGMENT_PASSES);
    assert_int_equal(later(&t, 8, &b), FRAGMENT_DROPPED); /* another packet */
    box_wait_s(&t.box, FRAGMENT_LIFE_S);
    assert_int_equal(later(&t, 7, &b), FRAGMENT_DROPPED);
    bench_close(&t);
}

static void test_out_of_order(void **state) {
    (void)state;
    struct bench t;
    struct bytes b;
    struct packet p;
    enum nat_side to;
    bench_open(&t, NAT_FRAGMENTS_ANY_ORDER, 4);
    assert_int_equal(later(&t, 7, &b), FRAGMENT_WAITS);
    assert_int_equal(later(&t, 9, &b), FRAGMENT_WAITS);
    assert_int_equal(later(&t, 7, &b), FRAGMENT_WAITS);
    assert_false(fragments_next(t.fragments, &p, &to));
    (void)first(&t, 7);
    for (int i = 0; i < 2; i++) {
        assert_true(fragments_next(t.fragments, &p, &to));
        assert_true(to == NAT_OUTSIDE && p.ip_id == 7);
        struct bk_ip external = bk_ipv4(203, 0, 113, 1);
        assert_true(bk_ip_equal(&p.header.flow.src.ip, &external));
        assert_int_equal(packet_hop(&p), BK_OK);
    }
    assert_false(fragments_next(t.fragments, &p, &to));
    box_wait_s(&t.box, FRAGMENT_LIFE_S);
    (void)first(&t, 9); /* too late */
    assert_false(fragments_next(t.fragments, &p, &to));
    assert_int_equal(fragments_get_counters(t.fragments)->dropped, 1);
    bench_close(&t);
}

/* RFC 4787 REQ-14a. */
static void test_a_flood_hurts_only_itself(void **state) {
    (void)state;
    struct bench t;
    struct bytes b;
    bench_open(&t, NAT_FRAGMENTS_ANY_ORDER, 4);
    (void)first(&t, 1);
    for (uint16_t id = 100; id < 1100; id++)
        assert_int_equal(later(&t, id, &b), FRAGMENT_WAITS);
    assert_int_equal(later(&t, 1, &b), FRAGMENT_PASSES);
    assert_int_equal(fragments_get_counters(t.fragments)->dropped, 996);
    for (uint16_t id = 2; id < 6; id++) /* as many known packets push out the oldest */
        (void)first(&t, id);
    assert_int_equal(later(&t, 5, &b), FRAGMENT_PASSES);
    assert_int_equal(later(&t, 1, &b), FRAGMENT_WAITS);
    bench_close(&t);
}

static void test_what_the_box_refused_stays_refused(void **state) {
    (void)state;
    struct bench t;
    struct bytes b = fragment(17, 7, 0, PAYLOAD, true), rest;
    struct packet p;
    struct nat_verdict v;
    enum nat_side to;
    bench_open(&t, NAT_FRAGMENTS_ANY_ORDER, 4);
    assert_int_equal(later(&t, 7, &rest), FRAGMENT_WAITS);
    nat_block_udp(t.box.nat, true);
    assert_int_equal(packet_parse_any(&p, b.data, b.len, false), BK_OK);
    nat_packet(t.box.nat, NAT_INSIDE, &p.header, t.box.now, &v);
    assert_int_equal(v.action, NAT_DROP);
    fragments_learn(t.fragments, NAT_INSIDE, &p, &p.header, &v, t.box.now);
    assert_false(fragments_next(t.fragments, &p, &to));
    assert_int_equal(later(&t, 7, &rest), FRAGMENT_DROPPED);
    bench_close(&t);
}

/* RFC 1858 and RFC 3128: nothing may change a TCP header that has been looked at. */
static void test_tiny_and_overlapping_fragments(void **state) {
    (void)state;
    struct bench t;
    struct packet p;
    enum nat_side to;
    struct bytes tiny = fragment(6, 7, 0, 16, true), overlap = fragment(6, 7, 8, 16, false);
    bench_open(&t, NAT_FRAGMENTS_ANY_ORDER, 4);
    assert_int_equal(packet_parse_any(&p, tiny.data, tiny.len, false), BK_ERR_SHORT);
    assert_int_equal(packet_parse_any(&p, overlap.data, overlap.len, false), BK_OK);
    assert_int_equal(fragments_pass(t.fragments, NAT_INSIDE, &p, t.box.now, &to), FRAGMENT_DROPPED);
    bench_close(&t);
}

/* RFC 8200 section 4.5: a fragment header, first and later. */
static void test_ipv6(void **state) {
    (void)state;
    for (unsigned offset = 0; offset <= 8; offset += 8) {
        uint8_t d[40 + 8 + 16] = {0x60, [5] = 24, [6] = 44, [7] = 64};
        struct packet p;
        d[8] = d[24] = 0x20;
        d[9] = d[25] = 0x01;
        d[39] = 1;
        d[40] = 17;
        put16(d + 42, offset | 1);
        d[47] = 9;
        put16(d + 48, 5000);
        put16(d + 50, 443);
        put16(d + 52, 500);
        assert_int_equal(packet_parse_any(&p, d, sizeof d, false), BK_OK);
        assert_int_equal(p.part, offset == 0 ? PACKET_FIRST : PACKET_LATER);
        assert_true(p.ip_id == 9 && p.ip_proto == 17);
        assert_int_equal(p.header.flow.src.port, offset == 0 ? 5000 : 0);
        put16(d + 42, 0); /* RFC 6946: an atomic fragment is a whole packet */
        put16(d + 52, 16);
        assert_int_equal(packet_parse_any(&p, d, sizeof d, false), BK_OK);
        assert_int_equal(p.part, PACKET_WHOLE);
    }
}

static void test_off_and_bad_limits(void **state) {
    (void)state;
    struct bench t;
    struct bytes b;
    struct fragments *f;
    bench_open(&t, NAT_FRAGMENTS_DROP, 4);
    (void)first(&t, 7);
    assert_int_equal(later(&t, 7, &b), FRAGMENT_DROPPED);
    struct bk_rng rng = rng_from_seeded(&t.box.seeded);
    assert_int_equal(fragments_new(NAT_FRAGMENTS_DROP, 0, &rng, &test_alloc, &f), BK_ERR_ARGUMENT);
    assert_int_equal(
        fragments_new(NAT_FRAGMENTS_DROP, NAT_FRAGMENTS_MAX + 1, &rng, &test_alloc, &f),
        BK_ERR_ARGUMENT);
    bench_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_out_of_order),
        cmocka_unit_test(test_a_flood_hurts_only_itself),
        cmocka_unit_test(test_what_the_box_refused_stays_refused),
        cmocka_unit_test(test_tiny_and_overlapping_fragments),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_off_and_bad_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
