/* SPDX-License-Identifier: MIT
 * RFC 5382 section 8 (TCP), requirement by requirement. */
#include "box.h"

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:1000"
#define A2 "198.51.100.1:2000"
#define B1 "198.51.100.2:1000"

enum { SYN = NAT_TCP_SYN, ACK = NAT_TCP_ACK, FIN = NAT_TCP_FIN, RST = NAT_TCP_RST };

static bool out(struct box *b, const char *dst, uint8_t flags) {
    return box_tcp(b, NAT_INSIDE, at(IN), at(dst), flags);
}

static bool in(struct box *b, const char *src, uint8_t flags) {
    return box_tcp(b, NAT_OUTSIDE, at(src), at("203.0.113.1:5000"), flags);
}

static void test_req1_mapping(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    assert_true(out(&b, A1, SYN));
    struct bk_addr x = b.v.header.flow.src;
    assert_true(out(&b, A2, SYN) && same(b.v.header.flow.src, x));
    assert_true(out(&b, B1, SYN) && same(b.v.header.flow.src, x));
    box_close(&b);
}

/* "MUST support all valid sequences of TCP packets ..., simultaneous-open." */
static void test_req2_simultaneous_open(void **state) {
    (void)state;
    struct nat_config c = box_preset("port-restricted");
    struct box b;
    box_open(&b, &c);
    assert_false(in(&b, A1, SYN)); /* too early: nobody called him yet */
    assert_true(out(&b, A1, SYN) && in(&b, A1, SYN));
    assert_true(out(&b, A1, SYN | ACK) && in(&b, A1, SYN | ACK));
    assert_true(out(&b, A1, ACK) && in(&b, A1, ACK));
    assert_int_equal(box_life_s(&b), 7440);
    box_close(&b);
}

static void test_req3_filtering(void **state) {
    (void)state;
    static const enum nat_dep filtering[] = {NAT_EI, NAT_AD, NAT_APD};
    for (size_t i = 0; i < 3; i++) {
        struct nat_config c = box_preset("full-cone");
        c.tcp_filtering = filtering[i]; /* 3a, 3b: configurable, and apart from UDP */
        struct box b;
        box_open(&b, &c);
        assert_true(out(&b, A1, SYN));
        assert_int_equal(in(&b, A2, SYN), filtering[i] != NAT_APD);
        assert_int_equal(in(&b, B1, SYN), filtering[i] == NAT_EI);
        box_close(&b);
    }
}

static bool late(struct box *b, struct nat_late *answer) {
    nat_advance(b->nat, b->now);
    return nat_next_late(b->nat, answer);
}

/* "MUST NOT respond to an unsolicited inbound SYN packet for at least 6 seconds." */
static void test_req4_waits_six_seconds(void **state) {
    (void)state;
    struct nat_config c = box_preset("port-restricted");
    c.unsolicited = NAT_UNSOLICITED_ICMP;
    c.tcp_syn_wait_us = 6 * BK_US_PER_S;
    struct box b;
    struct nat_late answer;
    box_open(&b, &c);
    assert_false(in(&b, A1, SYN));
    assert_int_equal(b.v.action, NAT_DROP);
    assert_int_equal(nat_deadline(b.nat).us, b.now.us + 6 * BK_US_PER_S);
    box_wait_s(&b, 1);
    assert_false(in(&b, A1, SYN)); /* sent again: the first one counts */
    b.now.us += 5 * BK_US_PER_S - 1;
    assert_false(late(&b, &answer));
    b.now.us++;
    assert_true(late(&b, &answer));
    assert_int_equal(answer.answer, NAT_ANSWER_PORT_UNREACHABLE); /* 4a */
    assert_true(same(answer.header.flow.src, at(A1)));
    assert_false(late(&b, &answer));
    assert_true(bk_is_never(nat_deadline(b.nat)));
    box_close(&b);
}

/* "If during this interval the NAT receives and translates an outbound SYN for the connection the
 * NAT MUST silently drop the original unsolicited inbound SYN packet." */
static void test_req4_silent_if_it_is_met(void **state) {
    (void)state;
    struct nat_config c = box_preset("port-restricted");
    c.unsolicited = NAT_UNSOLICITED_REJECT;
    c.tcp_syn_wait_us = 6 * BK_US_PER_S;
    struct box b;
    struct nat_late answer;
    box_open(&b, &c);
    assert_false(in(&b, A1, SYN));
    assert_false(in(&b, B1, SYN));
    box_wait_s(&b, 5);
    assert_true(out(&b, A1, SYN));
    box_wait_s(&b, 1);
    assert_true(late(&b, &answer)); /* the other one's */
    assert_int_equal(answer.answer, NAT_ANSWER_TCP_RESET);
    assert_true(same(answer.header.flow.src, at(B1)));
    assert_false(late(&b, &answer));
    for (uint16_t port = 1; port < 200; port++) /* a flood is bounded, and hurts nobody */
        assert_false(box_tcp(&b, NAT_OUTSIDE, bk_addr(at(B1).ip, port), at("203.0.113.1:80"), SYN));
    box_wait_s(&b, 6);
    unsigned answers = 0;
    while (late(&b, &answer))
        answers++;
    assert_in_range(answers, 1, 64);
    box_close(&b);
}

static void test_req4_or_at_once_or_never(void **state) {
    (void)state;
    static const struct {
        enum nat_unsolicited how;
        enum nat_answer tcp, udp;
    } cases[] = {
        {NAT_UNSOLICITED_DROP, NAT_ANSWER_NONE, NAT_ANSWER_NONE},
        {NAT_UNSOLICITED_REJECT, NAT_ANSWER_TCP_RESET, NAT_ANSWER_PORT_UNREACHABLE},
        {NAT_UNSOLICITED_ICMP, NAT_ANSWER_PORT_UNREACHABLE, NAT_ANSWER_PORT_UNREACHABLE},
        {NAT_UNSOLICITED_RESET, NAT_ANSWER_TCP_RESET, NAT_ANSWER_NONE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nat_config c = box_preset("port-restricted");
        c.unsolicited = cases[i].how;
        struct box b;
        box_open(&b, &c);
        assert_false(in(&b, A1, SYN));
        assert_int_equal(b.v.answer, cases[i].tcp);
        assert_false(box_in(&b, A1, at("203.0.113.1:5000")));
        assert_int_equal(b.v.answer, cases[i].udp);
        assert_false(in(&b, A1, RST)); /* never a reset for a reset */
        assert_int_equal(b.v.answer, NAT_ANSWER_NONE);
        box_close(&b);
    }
}

/* "established ... MUST NOT be less than 2 hours 4 minutes", "transitory ... 4 minutes". */
static void test_req5_timers(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    c.tcp_partial_us = 240 * BK_US_PER_S;
    struct box b;
    box_open(&b, &c);
    assert_true(out(&b, A1, SYN));
    assert_int_equal(box_life_s(&b), 240);
    assert_true(in(&b, A1, SYN | ACK) && out(&b, A1, ACK));
    assert_int_equal(box_life_s(&b), 7440);
    assert_true(out(&b, A1, FIN | ACK) && in(&b, A1, FIN | ACK));
    assert_int_equal(box_life_s(&b), 240);
    box_close(&b);
}

static void test_req7_no_overloading(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    assert_true(out(&b, A1, SYN));
    struct bk_addr x = b.v.header.flow.src;
    assert_true(box_tcp(&b, NAT_INSIDE, at("192.168.1.3:5000"), at(B1), SYN));
    assert_false(same(b.v.header.flow.src, x));
    box_close(&b);
}

static void test_req8_hairpin(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    assert_true(out(&b, A1, SYN));
    struct bk_addr x = b.v.header.flow.src, other = at("192.168.1.3:6000");
    assert_true(box_tcp(&b, NAT_INSIDE, other, x, SYN));
    assert_int_equal(b.v.action, NAT_HAIRPIN);
    struct bk_addr y = b.v.header.flow.src;
    assert_true(bk_ip_equal(&y.ip, &x.ip));
    assert_true(box_tcp(&b, NAT_INSIDE, at(IN), y, SYN | ACK));
    assert_true(same(b.v.header.flow.dst, other) && same(b.v.header.flow.src, x));
    assert_true(box_tcp(&b, NAT_INSIDE, other, x, ACK));
    box_close(&b);
}

/* REQ-9: type 3 is translated; REQ-10: it ends nothing. */
static void test_req9_and_10_icmp(void **state) {
    (void)state;
    struct nat_config c = box_preset("port-restricted");
    struct box b;
    box_open(&b, &c);
    assert_true(out(&b, A1, SYN));
    struct bk_addr x = b.v.header.flow.src, to = x;
    to.port = 0;
    struct nat_header e = {.flow = {.proto = NAT_ICMP, .src = at("192.0.2.7:0"), .dst = to},
                           .icmp = NAT_ICMP_ERROR,
                           .inner = {.proto = NAT_TCP, .src = x, .dst = at(A1)}};
    assert_true(box_pass(&b, NAT_OUTSIDE, &e));
    assert_true(same(b.v.header.inner.src, at(IN)));
    assert_true(in(&b, A1, SYN | ACK));
    box_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_req1_mapping),
        cmocka_unit_test(test_req2_simultaneous_open),
        cmocka_unit_test(test_req3_filtering),
        cmocka_unit_test(test_req4_waits_six_seconds),
        cmocka_unit_test(test_req4_silent_if_it_is_met),
        cmocka_unit_test(test_req4_or_at_once_or_never),
        cmocka_unit_test(test_req5_timers),
        cmocka_unit_test(test_req7_no_overloading),
        cmocka_unit_test(test_req8_hairpin),
        cmocka_unit_test(test_req9_and_10_icmp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
