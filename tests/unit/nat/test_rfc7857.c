/* SPDX-License-Identifier: MIT
 * RFC 7857, which updates the three others, and RFC 6888 for carriers. */
#include "box.h"

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:1000"
#define B1 "198.51.100.2:1000"

enum { SYN = NAT_TCP_SYN, ACK = NAT_TCP_ACK, FIN = NAT_TCP_FIN, RST = NAT_TCP_RST };

static bool segment(struct box *b, enum nat_side from, uint8_t flags, uint32_t seq, uint32_t len) {
    bool out = from == NAT_INSIDE;
    struct bk_addr x = at("203.0.113.1:5000");
    struct nat_header h = {
        .flow = {.proto = NAT_TCP, .src = out ? at(IN) : at(A1), .dst = out ? at(A1) : x},
        .tcp_flags = flags,
        .tcp_seq = seq,
        .tcp_len = len};
    return box_pass(b, from, &h);
}

static bool out(struct box *b, uint8_t flags, uint32_t seq, uint32_t len) {
    return segment(b, NAT_INSIDE, flags, seq, len);
}

static bool in(struct box *b, uint8_t flags, uint32_t seq, uint32_t len) {
    return segment(b, NAT_OUTSIDE, flags, seq, len);
}

/* A connection with 1000 as the next number on both sides. */
static void connect(struct box *b, const struct nat_config *c) {
    box_open(b, c);
    assert_true(out(b, SYN, 999, 1) && in(b, SYN | ACK, 999, 1) && out(b, ACK, 1000, 0));
}

/* Section 2.1: "different configurable parameters for ... open and closing idle timeouts". */
static void test_section2_1_timers(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    assert_int_equal(nat_config_set(&c, "tcp-partial", "11"), BK_OK);
    assert_int_equal(nat_config_set(&c, "tcp-established", "22"), BK_OK);
    assert_int_equal(nat_config_set(&c, "tcp-closing", "33"), BK_OK);
    assert_int_equal(nat_config_set(&c, "tcp-transitory", "44"), BK_OK);
    assert_int_equal(nat_config_set(&c, "tcp-after-reset", "55"), BK_OK);
    struct box b;
    box_open(&b, &c);
    assert_true(out(&b, SYN, 999, 1));
    assert_int_equal(box_life_s(&b), 11);
    assert_true(in(&b, SYN | ACK, 999, 1) && out(&b, ACK, 1000, 0));
    assert_int_equal(box_life_s(&b), 22);
    assert_true(in(&b, FIN | ACK, 1000, 1));
    assert_int_equal(box_life_s(&b), 33);
    assert_true(out(&b, FIN | ACK, 1000, 1));
    assert_int_equal(box_life_s(&b), 44);
    box_close(&b);
    connect(&b, &c);
    assert_true(in(&b, RST, 1000, 0));
    assert_int_equal(box_life_s(&b), 55);
    box_close(&b);
}

/* Section 2.2: a reset is translated and the session waits for 4 minutes; and what others do. */
static void test_section2_2_reset(void **state) {
    (void)state;
    static const struct {
        enum nat_tcp_reset how;
        int64_t life_s, later_s; /* after the reset, and after one more segment; 0: ended */
    } cases[] = {{NAT_RESET_SHORTENS, 240, 240},
                 {NAT_RESET_DOUBTED, 240, 7440},
                 {NAT_RESET_KILLS, 0, 0},
                 {NAT_RESET_IGNORED, 7440, 7440}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int from_inside = 0; from_inside < 2; from_inside++) {
            struct nat_config c = box_preset("full-cone");
            c.tcp_reset = cases[i].how;
            c.tcp_pickup = false;
            struct box b;
            connect(&b, &c);
            assert_true(from_inside ? out(&b, RST, 1000, 0) : in(&b, RST, 1000, 0));
            assert_int_equal(box_mappings(&b), cases[i].life_s > 0);
            if (cases[i].life_s > 0)
                assert_int_equal(box_life_s(&b), cases[i].life_s);
            assert_int_equal(out(&b, ACK, 1000, 0), cases[i].life_s > 0);
            if (cases[i].life_s > 0)
                assert_int_equal(box_life_s(&b), cases[i].later_s);
            box_close(&b);
        }
    }
}

/* RFC 5961 section 3, from afar: a guessed reset is dropped. */
static void test_reset_in_window(void **state) {
    (void)state;
    for (int check = 0; check < 2; check++) {
        struct nat_config c = box_preset("full-cone");
        c.tcp_reset_in_window = check != 0;
        c.tcp_reset = NAT_RESET_KILLS;
        struct box b;
        connect(&b, &c);
        assert_int_equal(in(&b, RST, 1000 + (1U << 30), 0), !check);
        if (check) {
            assert_int_equal(b.v.drop, NAT_DROP_TCP_STATE);
            assert_true(in(&b, ACK, 1000, 500) && in(&b, RST, 1500, 0));
        }
        assert_int_equal(box_mappings(&b), 0);
        box_close(&b);
    }
}

/* RFC 1122 section 4.2.2.13: TIME-WAIT ends for a SYN with a larger number. */
static void test_time_wait_wants_a_larger_number(void **state) {
    (void)state;
    for (int check = 0; check < 2; check++) {
        struct nat_config c = box_preset("full-cone");
        c.tcp_larger_isn = check != 0;
        struct box b;
        connect(&b, &c);
        assert_true(out(&b, FIN | ACK, 1000, 1) && in(&b, FIN | ACK, 1000, 1));
        assert_int_equal(out(&b, SYN, 500, 1), !check);
        if (check)
            assert_true(out(&b, SYN, 5000, 1));
        box_close(&b);
    }
}

/* Sections 5 and 6: independent for each protocol. */
static void test_section5_and_6_per_protocol(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    c.tcp_mapping = c.tcp_filtering = NAT_APD;
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    assert_true(same(box_out(&b, IN, B1), x));
    assert_true(box_in(&b, "198.51.100.9:9", x));
    assert_true(box_tcp(&b, NAT_INSIDE, at(IN), at(A1), SYN));
    x = b.v.header.flow.src;
    assert_true(box_tcp(&b, NAT_INSIDE, at(IN), at(B1), SYN));
    assert_false(same(b.v.header.flow.src, x));
    assert_false(box_tcp(&b, NAT_OUTSIDE, at("198.51.100.9:9"), x, SYN));
    box_close(&b);
}

/* Section 7.1: errors sent in answer to packets from outside refresh nothing. */
static void test_section7_1_errors_do_not_refresh(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    (void)box_out(&b, IN, A1);
    box_wait_s(&b, 100);
    struct nat_header e = {
        .flow = {.proto = NAT_ICMP, .src = at("192.168.1.2:0"), .dst = at("198.51.100.1:0")},
        .icmp = NAT_ICMP_ERROR,
        .inner = {.proto = NAT_UDP, .src = at(A1), .dst = at(IN)}};
    assert_true(box_pass(&b, NAT_INSIDE, &e));
    assert_int_equal(box_life_s(&b), 200);
    box_close(&b);
}

/* Section 9, RFC 6056: ports that cannot be guessed. */
static void test_section9_random_ports(void **state) {
    (void)state;
    struct nat_config c = box_preset("carrier");
    struct box b;
    unsigned near = 0;
    uint16_t last = 0;
    box_open(&b, &c);
    for (uint16_t n = 0; n < 100; n++) {
        struct bk_addr src = at(IN);
        src.port = (uint16_t)(5000 + n);
        assert_true(box_udp(&b, NAT_INSIDE, src, at(A1)));
        uint16_t port = b.v.header.flow.src.port;
        near += abs((int)port - (int)last) < 256;
        last = port;
    }
    assert_true(near < 10);
    box_close(&b);
}

/* RFC 6888 REQ-2 and 4: one address, so many ports a subscriber; and limits in time. */
static void test_rfc6888_req2_and_4(void **state) {
    (void)state;
    struct nat_config c = box_preset("cgn");
    c.external[1] = bk_ipv4(203, 0, 113, 2);
    c.external_count = 2;
    c.mappings_per_host_max = 20;
    struct box b;
    box_open(&b, &c);
    struct bk_addr first = box_out(&b, "100.64.0.2:1", A1);
    for (uint16_t port = 2; port <= 20; port++) {
        assert_true(box_udp(&b, NAT_INSIDE, bk_addr(bk_ipv4(100, 64, 0, 2), port), at(A1)));
        assert_true(bk_ip_equal(&b.v.header.flow.src.ip, &first.ip));
    }
    assert_false(box_udp(&b, NAT_INSIDE, at("100.64.0.2:21"), at(A1)));
    assert_int_equal(b.v.drop, NAT_DROP_FULL);
    assert_true(box_udp(&b, NAT_INSIDE, at("100.64.0.3:21"), at(A1)));
    box_close(&b);
}

/* REQ-5: state per subscriber, with an endpoint-independent mapping the number of remotes. */
static void test_rfc6888_req5(void **state) {
    (void)state;
    struct nat_config c = box_preset("cgn");
    c.sessions_per_host_max = 10;
    c.refresh_strangers = true;
    struct box b;
    box_open(&b, &c);
    for (uint16_t port = 1; port <= 10; port++)
        assert_true(box_udp(&b, NAT_INSIDE, at("100.64.0.2:1"), bk_addr(at(A1).ip, port)));
    struct bk_addr x = b.v.header.flow.src;
    assert_false(box_udp(&b, NAT_INSIDE, at("100.64.0.2:1"), at(B1)));
    assert_int_equal(b.v.drop, NAT_DROP_FULL);
    assert_true(box_in(&b, B1, x)); /* a stranger passes, and leaves no trace */
    assert_false(box_udp(&b, NAT_INSIDE, at("100.64.0.2:1"), at(B1)));
    assert_true(box_udp(&b, NAT_INSIDE, at("100.64.0.3:1"), at(B1)));
    box_wait_s(&b, 36);
    assert_true(box_udp(&b, NAT_INSIDE, at("100.64.0.2:1"), at(B1)));
    box_close(&b);
}

/* REQ-7: endpoint-independent filtering. */
static void test_rfc6888_req7(void **state) {
    (void)state;
    struct nat_config c = box_preset("cgn");
    struct box b;
    box_open(&b, &c);
    assert_true(box_in(&b, B1, box_out(&b, "100.64.0.2:1", A1)));
    box_close(&b);
}

/* REQ-8: no port again for 120 s. One block and one subscriber after the other. */
static void test_rfc6888_req8(void **state) {
    (void)state;
    struct nat_config c = box_preset("cgn");
    c.port_min = 2048;
    c.port_max = 2048 + 15;
    c.block_size = 16;
    struct box b;
    box_open(&b, &c);
    for (uint16_t port = 1; port <= 16; port++)
        assert_true(box_udp(&b, NAT_INSIDE, bk_addr(bk_ipv4(100, 64, 0, 2), port), at(A1)));
    box_wait_s(&b, 36);
    assert_false(box_udp(&b, NAT_INSIDE, at("100.64.0.3:1"), at(A1)));
    box_wait_s(&b, 121);
    assert_true(box_udp(&b, NAT_INSIDE, at("100.64.0.3:1"), at(A1)));
    box_close(&b);
}

/* REQ-11: host unreachable, and no mapping of another is deleted. */
static void test_rfc6888_req11(void **state) {
    (void)state;
    struct nat_config c = box_preset("cgn");
    c.mappings_max = 2;
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, "100.64.0.2:1", A1), y = box_out(&b, "100.64.0.3:1", A1);
    assert_false(box_udp(&b, NAT_INSIDE, at("100.64.0.4:1"), at(A1)));
    assert_int_equal(b.v.answer, NAT_ANSWER_HOST_UNREACHABLE);
    assert_true(box_in(&b, A1, x) && box_in(&b, A1, y));
    box_close(&b);
}

/* REQ-14: as few log lines as can be: one a block, not one a mapping. */
static void test_rfc6888_req14(void **state) {
    (void)state;
    struct nat_config c = box_preset("cgn");
    struct box b;
    box_open(&b, &c);
    for (uint16_t port = 1; port <= 200; port++)
        assert_true(box_udp(&b, NAT_INSIDE, bk_addr(bk_ipv4(100, 64, 0, 2), port), at(A1)));
    assert_int_equal(nat_get_counters(b.nat)->blocks_taken, 1);
    box_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_section2_1_timers),
        cmocka_unit_test(test_section2_2_reset),
        cmocka_unit_test(test_reset_in_window),
        cmocka_unit_test(test_time_wait_wants_a_larger_number),
        cmocka_unit_test(test_section5_and_6_per_protocol),
        cmocka_unit_test(test_section7_1_errors_do_not_refresh),
        cmocka_unit_test(test_section9_random_ports),
        cmocka_unit_test(test_rfc6888_req2_and_4),
        cmocka_unit_test(test_rfc6888_req5),
        cmocka_unit_test(test_rfc6888_req7),
        cmocka_unit_test(test_rfc6888_req8),
        cmocka_unit_test(test_rfc6888_req11),
        cmocka_unit_test(test_rfc6888_req14),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
