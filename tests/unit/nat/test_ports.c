/* SPDX-License-Identifier: MIT
 * Which outside port and address a new mapping gets: every choice, every space, and the limits. */
#include "box.h"

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:1000"
#define B1 "198.51.100.2:1000"

/* UDP from 192.168.1.HOST:port to A1; the outside endpoint, or port 0 if it was dropped. */
static struct bk_addr from(struct box *b, uint8_t host, uint16_t port) {
    struct bk_addr src = bk_addr(bk_ipv4(192, 168, 1, host), port), none = {0};
    return box_udp(b, NAT_INSIDE, src, at(A1)) ? b->v.header.flow.src : none;
}

static struct nat_config choice(enum nat_port_choice ports, uint16_t min, uint16_t max) {
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    c.ports = ports;
    c.port_min = min;
    c.port_max = max;
    return c;
}

static void test_strict_preservation_drops_the_second(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_PRESERVE_STRICT, 1024, 65535);
    struct box b;
    box_open(&b, &c);
    assert_int_equal(from(&b, 2, 5000).port, 5000);
    assert_int_equal(from(&b, 3, 5000).port, 0);
    assert_int_equal(b.v.drop, NAT_DROP_FULL);
    assert_int_equal(from(&b, 3, 5001).port, 5001);
    box_close(&b);
}

static void test_preserve_next_counts_up_from_the_clash(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_PRESERVE_NEXT, 1024, 65535);
    struct box b;
    box_open(&b, &c);
    assert_int_equal(from(&b, 2, 5000).port, 5000);
    assert_int_equal(from(&b, 3, 5001).port, 5001);
    assert_int_equal(from(&b, 4, 5000).port, 5002);
    assert_int_equal(from(&b, 2, 65535).port, 65535);
    assert_int_equal(from(&b, 3, 65535).port, 1024);
    box_close(&b);
}

static void test_steps_go_both_ways(void **state) {
    (void)state;
    static const struct {
        int32_t step;
        uint16_t want[4];
    } cases[] = {
        {1, {4000, 4001, 4002, 4003}},   {2, {4000, 4002, 4004, 4006}},
        {-1, {4000, 4009, 4008, 4007}},  {-3, {4000, 4007, 4004, 4001}},
        {4, {4000, 4004, 4008, 4002}},   {5, {4000, 4005, 4001, 4006}}, /* taken: the next one up */
        {-5, {4000, 4005, 4009, 4004}},                                 /* or down */
        {1000, {4000, 4001, 4002, 4003}}}; /* 0 modulo 10: the next one */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nat_config c = choice(NAT_PORT_SEQUENTIAL, 4000, 4009);
        c.port_step = cases[i].step;
        struct box b;
        box_open(&b, &c);
        for (uint16_t n = 0; n < 4; n++)
            assert_int_equal(from(&b, 2, (uint16_t)(100 + n)).port, cases[i].want[n]);
        box_close(&b);
    }
}

static void test_a_hash_survives_a_reboot(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_HASH, 1024, 65535);
    c.mapping = NAT_APD;
    struct box b;
    box_open(&b, &c);
    uint16_t first = from(&b, 2, 5000).port, other = from(&b, 3, 5000).port;
    assert_int_not_equal(first, other);
    uint16_t to_b = box_out(&b, IN, B1).port;
    assert_int_not_equal(to_b, first); /* taken by the mapping to A */
    nat_reboot(b.nat);
    assert_int_equal(box_out(&b, IN, B1).port, first); /* the remote plays no part */
    nat_reboot(b.nat);
    assert_int_equal(from(&b, 3, 5000).port, other);
    box_close(&b);
    c.ports = NAT_PORT_HASH_REMOTE;
    box_open(&b, &c);
    to_b = box_out(&b, IN, B1).port;
    nat_reboot(b.nat);
    assert_int_not_equal(from(&b, 2, 5000).port, to_b);
    assert_int_equal(box_out(&b, IN, B1).port, to_b);
    box_close(&b);
}

static void test_time_linear_ports_follow_the_clock(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_TIME, 10000, 59999);
    c.port_rate = 250;
    struct box b;
    box_open(&b, &c);
    uint16_t first = from(&b, 2, 5000).port;
    assert_int_equal(from(&b, 2, 5001).port, first + 1); /* at the same time: the next one */
    box_wait_s(&b, 4);
    assert_int_equal(from(&b, 2, 5002).port, first + 1000);
    b.now.us += 20000;
    assert_int_equal(from(&b, 2, 5003).port, first + 1005);
    box_close(&b);
}

/* RFC 4787 REQ-4. */
static void test_parity(void **state) {
    (void)state;
    static const enum nat_port_choice ports[] = {NAT_PORT_RANDOM, NAT_PORT_SEQUENTIAL,
                                                 NAT_PORT_PRESERVE, NAT_PORT_PRESERVE_NEXT,
                                                 NAT_PORT_HASH};
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        struct nat_config c = choice(ports[i], 2000, 3999);
        c.port_parity = true;
        struct box b;
        box_open(&b, &c);
        for (uint16_t n = 0; n < 40; n++) {
            uint16_t inside = (uint16_t)(5000 + n / 2);
            assert_int_equal(from(&b, (uint8_t)(2 + n % 2), inside).port % 2, inside % 2);
        }
        box_close(&b);
    }
}

/* RFC 4787 REQ-3a; the two low classes are Linux'. */
static void test_port_class(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_RANDOM, 1024, 65535);
    c.port_class = true;
    struct box b;
    box_open(&b, &c);
    for (uint16_t n = 1; n < 60; n++) {
        assert_in_range(from(&b, 2, n).port, 1, 511);
        assert_in_range(from(&b, 2, (uint16_t)(600 + n)).port, 600, 1023);
        assert_in_range(from(&b, 2, (uint16_t)(1024 + n)).port, 1024, 65535);
    }
    box_close(&b);
    c.ports = NAT_PORT_SEQUENTIAL; /* a counter for each class */
    box_open(&b, &c);
    assert_int_equal(from(&b, 2, 5000).port, 1024);
    assert_int_equal(from(&b, 2, 500).port, 1);
    assert_int_equal(from(&b, 2, 5001).port, 1025);
    assert_int_equal(from(&b, 2, 501).port, 2);
    box_close(&b);
}

static void test_contiguity(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_RANDOM, 1024, 65535);
    c.port_contiguity = c.port_parity = true;
    struct box b;
    box_open(&b, &c);
    for (uint16_t n = 0; n < 20; n++) {
        uint16_t rtp = from(&b, 2, (uint16_t)(5000 + 2 * n)).port;
        assert_int_equal(from(&b, 2, (uint16_t)(5001 + 2 * n)).port, rtp + 1);
    }
    box_close(&b);
}

/* RFC 6888 REQ-8, by "the same subscriber may have it back". */
static void test_ports_are_held(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_PRESERVE_STRICT, 1024, 65535);
    c.port_hold_us = 120 * BK_US_PER_S;
    struct box b;
    box_open(&b, &c);
    assert_int_equal(from(&b, 2, 5000).port, 5000);
    box_wait_s(&b, 31); /* the mapping ends at 30 s, seen when the next packet comes */
    assert_int_equal(from(&b, 3, 5000).port, 0);
    assert_int_equal(from(&b, 2, 5000).port, 5000);
    box_wait_s(&b, 31);
    assert_int_equal(from(&b, 3, 5000).port, 0);
    box_wait_s(&b, 119);
    assert_int_equal(from(&b, 3, 5000).port, 0);
    box_wait_s(&b, 2);
    assert_int_equal(from(&b, 3, 5000).port, 5000);
    nat_reboot(b.nat);
    assert_int_equal(from(&b, 2, 5000).port, 5000);
    box_close(&b);
}

static void test_a_full_ring_of_holds_lets_the_oldest_go(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_PRESERVE_STRICT, 1024, 65535);
    c.port_hold_us = 120 * BK_US_PER_S;
    c.mappings_max = 2;
    struct box b;
    box_open(&b, &c);
    for (uint16_t n = 0; n < 3; n++) {
        assert_int_equal(from(&b, 2, (uint16_t)(5000 + n)).port, 5000 + n);
        box_wait_s(&b, 31);
    }
    assert_int_equal(from(&b, 3, 5000).port, 5000);
    assert_int_equal(from(&b, 3, 5001).port, 0);
    box_close(&b);
}

static struct nat_config blocks(enum nat_port_choice ports, uint32_t size, uint32_t per_host) {
    struct nat_config c = choice(ports, 1024, 1024 + 64 * 4 - 1);
    c.port_space = NAT_SPACE_BLOCKS;
    c.block_size = size;
    c.blocks_per_host = per_host;
    return c;
}

static void test_a_host_fills_its_block_then_takes_another(void **state) {
    (void)state;
    struct nat_config c = blocks(NAT_PORT_RANDOM, 64, 2);
    struct box b;
    box_open(&b, &c);
    uint16_t block = (uint16_t)((from(&b, 2, 5000).port - 1024) / 64);
    for (uint16_t n = 1; n < 64; n++)
        assert_int_equal((from(&b, 2, (uint16_t)(5000 + n)).port - 1024) / 64, block);
    assert_int_equal(nat_get_counters(b.nat)->blocks_taken, 1);
    uint16_t next = (uint16_t)((from(&b, 2, 5064).port - 1024) / 64);
    assert_int_not_equal(next, block);
    uint16_t other = (uint16_t)((from(&b, 3, 5000).port - 1024) / 64);
    assert_true(other != block && other != next);
    for (uint16_t n = 65; n < 128; n++)
        assert_int_equal((from(&b, 2, (uint16_t)(5000 + n)).port - 1024) / 64, next);
    assert_int_equal(from(&b, 2, 6000).port, 0); /* blocks_per_host */
    assert_int_equal(b.v.drop, NAT_DROP_FULL);
    box_wait_s(&b, 31); /* all end, and so do the blocks */
    assert_int_not_equal(from(&b, 2, 6000).port, 0);
    assert_int_equal(nat_get_counters(b.nat)->blocks_taken, 4);
    box_close(&b);
}

static void test_sequential_and_preserved_within_a_block(void **state) {
    (void)state;
    struct nat_config c = blocks(NAT_PORT_SEQUENTIAL, 32, 1);
    struct box b;
    box_open(&b, &c);
    uint16_t mine = from(&b, 2, 5000).port, other = from(&b, 3, 5000).port;
    assert_int_equal((mine - 1024) % 32, 0);
    assert_int_equal(from(&b, 2, 5001).port, mine + 1);
    assert_int_equal(from(&b, 3, 5001).port, other + 1); /* a counter per block */
    box_close(&b);
    c.ports = NAT_PORT_PRESERVE; /* only a port of one's own block can be kept */
    box_open(&b, &c);
    mine = from(&b, 2, 5000).port;
    uint16_t start = (uint16_t)(mine - (mine - 1024) % 32);
    uint16_t own = (uint16_t)(mine == start ? start + 1 : start);
    assert_int_equal(from(&b, 2, own).port, own);
    assert_in_range(from(&b, 2, (uint16_t)(start + 40)).port, start, start + 31);
    box_close(&b);
}

static void test_blocks_run_out(void **state) {
    (void)state;
    struct nat_config c = blocks(NAT_PORT_RANDOM, 64, 1);
    struct box b;
    box_open(&b, &c);
    for (uint8_t host = 2; host < 6; host++)
        assert_int_not_equal(from(&b, host, 5000).port, 0);
    assert_int_equal(from(&b, 6, 5000).port, 0);
    c.external[1] = bk_ipv4(203, 0, 113, 2); /* another address, other blocks */
    c.external_count = 2;
    box_close(&b);
    box_open(&b, &c);
    for (uint8_t host = 2; host < 10; host++)
        assert_int_not_equal(from(&b, host, 5000).port, 0);
    assert_int_equal(from(&b, 10, 5000).port, 0);
    box_close(&b);
}

/* RFC 7597 appendix A, example 1: offset 6, PSID 0x34 of 8 bits: 1232-1235, 2256-2259, ...,
 * 63696-63699, 64720-64723. */
static void test_map_e_example_of_the_rfc(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_SEQUENTIAL, 1, 65535);
    c.port_space = NAT_SPACE_PSID;
    c.psid_offset = 6;
    c.psid_len = 8;
    c.psid = 0x34;
    struct box b;
    box_open(&b, &c);
    for (uint16_t n = 0; n < 63 * 4; n++)
        assert_int_equal(from(&b, 2, (uint16_t)(5000 + n)).port, 1232 + n / 4 * 1024 + n % 4);
    assert_int_equal(from(&b, 2, 7000).port, 0);
    box_close(&b);
}

/* 240 ports in 15 runs of 16: offset 4, 8 bits. */
static void test_map_e_of_240_ports(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_RANDOM, 1, 65535);
    c.port_space = NAT_SPACE_PSID;
    c.psid_offset = 4;
    c.psid_len = 8;
    c.psid = 7;
    struct box b;
    bool seen[65536] = {false};
    box_open(&b, &c);
    for (uint16_t n = 0; n < 240; n++) {
        uint16_t port = from(&b, 2, (uint16_t)(5000 + n)).port;
        assert_true(port >= 4096 && (port >> 4 & 0xff) == 7 && !seen[port]);
        seen[port] = true;
    }
    assert_int_equal(from(&b, 2, 7000).port, 0);
    box_close(&b);
}

static void test_every_psid_has_its_own_ports(void **state) {
    (void)state;
    static const uint32_t shapes[][2] = {{6, 6}, {4, 8}, {0, 8}, {0, 0}, {1, 15}, {15, 1}, {0, 16}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct nat_config c = choice(NAT_PORT_SEQUENTIAL, 1, 65535);
        c.port_space = NAT_SPACE_PSID;
        c.psid_offset = shapes[i][0];
        c.psid_len = shapes[i][1];
        for (c.psid = 0; c.psid < 3 && c.psid < 1U << c.psid_len; c.psid++) {
            struct box b;
            box_open(&b, &c);
            uint32_t first = c.psid_offset > 0 ? UINT32_C(1) << (16 - c.psid_offset) : 0;
            uint16_t port = from(&b, 2, 5000).port;
            assert_true(port >= first && port > 0);
            uint32_t psid = (uint32_t)port >> (16 - c.psid_offset - c.psid_len);
            if (!(c.psid_offset == 0 && c.psid_len == 16)) /* PSID 0 would be port 0 */
                assert_int_equal(psid & ((1U << c.psid_len) - 1), c.psid);
            box_close(&b);
        }
    }
}

/* RFC 4787 REQ-2 and its opposite. */
static void test_arbitrary_pooling_uses_all_addresses(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_RANDOM, 1024, 65535);
    c.pooling = NAT_POOL_ARBITRARY;
    for (size_t i = 0; i < 4; i++)
        c.external[i] = bk_ipv4(203, 0, 113, (uint8_t)(1 + i));
    c.external_count = 4;
    struct box b;
    unsigned seen = 0;
    box_open(&b, &c);
    for (uint16_t n = 0; n < 40; n++)
        seen |= 1U << from(&b, 2, (uint16_t)(5000 + n)).ip.bytes[3];
    assert_int_equal(seen, 2 + 4 + 8 + 16);
    struct bk_addr first = from(&b, 2, 5000);
    assert_true(same(box_out(&b, IN, B1), first)); /* an endpoint keeps its mapping */
    box_close(&b);
}

/* RFC 6888 REQ-4 and a box that can do no more. */
static void test_new_mappings_a_second(void **state) {
    (void)state;
    struct nat_config c = choice(NAT_PORT_RANDOM, 1024, 65535);
    c.mappings_per_s = 10;
    c.mappings_per_s_host = 4;
    struct box b;
    unsigned passed = 0;
    box_open(&b, &c);
    for (uint16_t n = 0; n < 6; n++)
        passed += from(&b, 2, (uint16_t)(5000 + n)).port != 0;
    assert_int_equal(passed, 4);
    assert_int_equal(b.v.drop, NAT_DROP_RATE);
    for (uint16_t n = 0; n < 20; n++)
        passed += from(&b, (uint8_t)(3 + n), 5000).port != 0;
    assert_int_equal(passed, 10);
    assert_true(box_udp(&b, NAT_INSIDE, at("192.168.1.2:5000"), at(B1))); /* not a new one */
    b.now.us += BK_US_PER_S / 4;
    assert_int_not_equal(from(&b, 2, 6000).port, 0);
    assert_int_equal(from(&b, 2, 6001).port, 0);
    nat_limit_rate(b.nat, 0);
    assert_int_not_equal(from(&b, 90, 6001).port, 0);
    box_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strict_preservation_drops_the_second),
        cmocka_unit_test(test_preserve_next_counts_up_from_the_clash),
        cmocka_unit_test(test_steps_go_both_ways),
        cmocka_unit_test(test_a_hash_survives_a_reboot),
        cmocka_unit_test(test_time_linear_ports_follow_the_clock),
        cmocka_unit_test(test_parity),
        cmocka_unit_test(test_port_class),
        cmocka_unit_test(test_contiguity),
        cmocka_unit_test(test_ports_are_held),
        cmocka_unit_test(test_a_full_ring_of_holds_lets_the_oldest_go),
        cmocka_unit_test(test_a_host_fills_its_block_then_takes_another),
        cmocka_unit_test(test_sequential_and_preserved_within_a_block),
        cmocka_unit_test(test_blocks_run_out),
        cmocka_unit_test(test_map_e_example_of_the_rfc),
        cmocka_unit_test(test_map_e_of_240_ports),
        cmocka_unit_test(test_every_psid_has_its_own_ports),
        cmocka_unit_test(test_arbitrary_pooling_uses_all_addresses),
        cmocka_unit_test(test_new_mappings_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
