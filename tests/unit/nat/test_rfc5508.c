/* SPDX-License-Identifier: MIT
 * RFC 5508 section 9 (ICMP), requirement by requirement; REQ-3, checksums, is in test_packet.c. */
#include "box.h"

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:1000"
#define ROUTER "192.0.2.7:0"

static bool echo(struct box *b, const char *src, const char *dst) {
    struct nat_header h = {.flow = {.proto = NAT_ICMP, .src = at(src), .dst = at(dst)},
                           .icmp = NAT_ICMP_ECHO};
    return box_pass(b, NAT_INSIDE, &h);
}

static bool reply(struct box *b, const char *src, struct bk_addr dst) {
    struct nat_header h = {.flow = {.proto = NAT_ICMP, .src = at(src), .dst = dst},
                           .icmp = NAT_ICMP_ECHO_REPLY};
    return box_pass(b, NAT_OUTSIDE, &h);
}

static struct nat_header error(struct bk_addr from, struct bk_addr to, struct bk_addr inner_src,
                               struct bk_addr inner_dst) {
    from.port = to.port = 0;
    return (struct nat_header){.flow = {.proto = NAT_ICMP, .src = from, .dst = to},
                               .icmp = NAT_ICMP_ERROR,
                               .inner = {.proto = NAT_UDP, .src = inner_src, .dst = inner_dst}};
}

/* REQ-1 and 1a: queries out, replies in, identifiers the same for all hosts. */
static void test_req1_queries(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    assert_true(echo(&b, "192.168.1.2:77", "198.51.100.1:0"));
    struct bk_addr x = b.v.header.flow.src;
    assert_true(reply(&b, "198.51.100.1:0", x));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.2:77")));
    assert_true(echo(&b, "192.168.1.2:77", "198.51.100.2:0"));
    assert_true(same(b.v.header.flow.src, x));
    box_close(&b);
}

/* "MUST NOT expire in less than 60 seconds"; 2a: configurable. */
static void test_req2_timer(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    assert_true(echo(&b, "192.168.1.2:77", "198.51.100.1:0"));
    assert_int_equal(box_life_s(&b), 60);
    box_close(&b);
    assert_int_equal(nat_config_set(&c, "icmp", "30"), BK_OK); /* Linux */
    box_open(&b, &c);
    assert_true(echo(&b, "192.168.1.2:77", "198.51.100.1:0"));
    assert_int_equal(box_life_s(&b), 30);
    box_close(&b);
}

/* REQ-4: errors from outside, by the packet they quote; none of ours: dropped silently. */
static void test_req4_errors_from_outside(void **state) {
    (void)state;
    static const enum nat_icmp_errors kinds[] = {NAT_ICMP_ERRORS_TRANSLATE, NAT_ICMP_ERRORS_DROP};
    for (size_t i = 0; i < 2; i++) {
        struct nat_config c = box_preset("full-cone");
        c.icmp_errors = kinds[i];
        struct box b;
        box_open(&b, &c);
        struct bk_addr x = box_out(&b, IN, A1);
        struct nat_header e = error(at(ROUTER), x, x, at(A1));
        assert_int_equal(box_pass(&b, NAT_OUTSIDE, &e), kinds[i] == NAT_ICMP_ERRORS_TRANSLATE);
        if (kinds[i] == NAT_ICMP_ERRORS_TRANSLATE)
            assert_true(same(b.v.header.inner.src, at(IN)) &&
                        same(b.v.header.flow.dst, at("192.168.1.2:0")));
        e = error(at(ROUTER), x, x, at("198.51.100.9:9"));
        assert_false(box_pass(&b, NAT_OUTSIDE, &e));
        assert_int_equal(b.v.action, NAT_DROP);
        box_close(&b);
    }
}

/* REQ-5: errors from inside; 5c: a router's private address does not show. */
static void test_req5_errors_from_inside(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    struct nat_header e = error(at("192.168.1.254:0"), at(A1), at(A1), at(IN));
    assert_true(box_pass(&b, NAT_INSIDE, &e));
    assert_true(same(b.v.header.inner.dst, x) && bk_ip_equal(&b.v.header.flow.src.ip, &x.ip));
    e = error(at("192.168.1.254:0"), at(A1), at(A1), at("192.168.1.9:9"));
    assert_false(box_pass(&b, NAT_INSIDE, &e));
    assert_int_equal(b.v.drop, NAT_DROP_ICMP);
    box_close(&b);
}

/* "MUST NOT refresh or delete the NAT Session." */
static void test_req6_errors_change_no_session(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    box_wait_s(&b, 100);
    struct nat_header e = error(at(ROUTER), x, x, at(A1));
    assert_true(box_pass(&b, NAT_OUTSIDE, &e));
    assert_int_equal(box_life_s(&b), 200);
    box_close(&b);
}

/* REQ-7a: a hairpinned error is translated on both sides: what it quotes is what its receiver sent,
 * and its outer destination is the quoted source. */
static void test_req7_hairpinned_errors(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1), y = box_out(&b, "192.168.1.3:6000", A1);
    assert_true(box_udp(&b, NAT_INSIDE, at(IN), y)); /* 192.168.1.3 got it from x, and refuses */
    struct nat_header e = error(at("192.168.1.3:0"), x, x, at("192.168.1.3:6000"));
    assert_true(box_pass(&b, NAT_INSIDE, &e));
    assert_int_equal(b.v.action, NAT_HAIRPIN);
    assert_true(same(b.v.header.inner.src, at(IN)) && same(b.v.header.inner.dst, y));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.2:0")));
    assert_true(bk_ip_equal(&b.v.header.flow.src.ip, &y.ip));
    box_close(&b);
}

/* "SHOULD send an ICMP destination unreachable message, with a code of 13"; REQ-9: or not. */
static void test_req8_and_9_refusals(void **state) {
    (void)state;
    static const enum nat_refusal refusals[] = {NAT_REFUSAL_SILENT, NAT_REFUSAL_ADMIN};
    for (size_t i = 0; i < 2; i++) {
        struct nat_config c = box_preset("full-cone");
        c.refusal = refusals[i];
        c.mappings_per_host_max = 1;
        struct box b;
        box_open(&b, &c);
        (void)box_out(&b, IN, A1);
        assert_false(box_udp(&b, NAT_INSIDE, at("192.168.1.2:5001"), at(A1)));
        assert_int_equal(b.v.drop, NAT_DROP_FULL);
        assert_int_equal(b.v.answer, i == 0 ? NAT_ANSWER_NONE : NAT_ANSWER_ADMIN_PROHIBITED);
        box_close(&b);
    }
}

/* REQ-11: other kinds MAY be dropped. */
static void test_req11_other_kinds(void **state) {
    (void)state;
    struct nat_config c = box_preset("full-cone");
    struct box b;
    struct nat_header h = {
        .flow = {.proto = NAT_ICMP, .src = at("192.168.1.2:0"), .dst = at("198.51.100.1:0")},
        .icmp = NAT_ICMP_OTHER};
    box_open(&b, &c);
    assert_false(box_pass(&b, NAT_INSIDE, &h));
    assert_int_equal(b.v.drop, NAT_DROP_ICMP);
    box_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_req1_queries),
        cmocka_unit_test(test_req2_timer),
        cmocka_unit_test(test_req4_errors_from_outside),
        cmocka_unit_test(test_req5_errors_from_inside),
        cmocka_unit_test(test_req6_errors_change_no_session),
        cmocka_unit_test(test_req7_hairpinned_errors),
        cmocka_unit_test(test_req8_and_9_refusals),
        cmocka_unit_test(test_req11_other_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
