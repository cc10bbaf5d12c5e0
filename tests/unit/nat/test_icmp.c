/* SPDX-License-Identifier: MIT
 * ICMP errors are translated by the packet they quote: RFC 5508 section 4, RFC 4787 REQ-12. */
#include "box.h"

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:1000"
#define ROUTER "192.0.2.7:0"

static struct nat_header error_about(const char *from, struct bk_addr to, struct bk_addr inner_src,
                                     struct bk_addr inner_dst) {
    to.port = 0;
    return (struct nat_header){
        .flow = {.proto = NAT_ICMP, .src = at(from), .dst = to},
        .icmp = NAT_ICMP_ERROR,
        .inner = {.proto = NAT_UDP, .src = inner_src, .dst = inner_dst},
    };
}

/* Any router on the way may send it: the filter does not apply (REQ-12a). */
static void test_error_from_outside(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_APD, NAT_APD);
    c.ports = NAT_PORT_RANDOM;
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    struct nat_header e = error_about(ROUTER, x, x, at(A1));
    assert_true(box_pass(&b, NAT_OUTSIDE, &e));
    assert_true(same(b.v.header.inner.src, at(IN)));
    assert_true(same(b.v.header.inner.dst, at(A1)));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.2:0")));
    assert_true(same(b.v.header.flow.src, at(ROUTER)));
    box_close(&b);
}

static void test_error_from_inside_hides_the_inside(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    struct nat_header e = error_about("192.168.1.2:0", at(A1), at(A1), at(IN));
    assert_true(box_pass(&b, NAT_INSIDE, &e));
    assert_true(same(b.v.header.inner.dst, x));
    assert_true(bk_ip_equal(&b.v.header.flow.src.ip, &x.ip));
    /* The firewall leaves addresses alone. */
    const char *in6 = "[2001:db8:1::2]:5", *out6 = "[2001:db8:2::1]:6";
    (void)box_out(&b, in6, out6);
    e = error_about("[2001:db8:1::ff]:0", at(out6), at(out6), at(in6));
    assert_true(box_pass(&b, NAT_INSIDE, &e));
    assert_true(same(b.v.header.flow.src, at("[2001:db8:1::ff]:0")));
    box_close(&b);
}

/* RFC 5508 REQ-4: about no session, dropped; REQ-6: neither refreshes nor ends one. */
static void test_errors_change_nothing(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    struct nat_header wrong_remote = error_about(ROUTER, x, x, at("198.51.100.9:1"));
    assert_false(box_pass(&b, NAT_OUTSIDE, &wrong_remote));
    assert_int_equal(b.v.drop, NAT_DROP_ICMP);
    struct nat_header other_dst = error_about(ROUTER, at("203.0.113.2:0"), x, at(A1));
    assert_false(box_pass(&b, NAT_OUTSIDE, &other_dst));
    struct nat_header e = error_about(ROUTER, x, x, at(A1));
    box_wait_s(&b, 29);
    assert_true(box_pass(&b, NAT_OUTSIDE, &e));
    assert_true(box_in(&b, A1, x)); /* still there, RFC 4787 REQ-12 */
    box_wait_s(&b, 29);
    assert_true(box_pass(&b, NAT_OUTSIDE, &e));
    box_wait_s(&b, 120);
    assert_false(box_pass(&b, NAT_OUTSIDE, &e)); /* the errors did not keep it */
    box_close(&b);
}

/* Found by fuzzing: an IPv4 error about an IPv6 session went out with its inside address. */
static void test_errors_do_not_cross_ip_versions(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    struct box b;
    box_open(&b, &c);
    const char *in6 = "[2001:db8:1::2]:5", *out6 = "[2001:db8:2::1]:6";
    (void)box_out(&b, in6, out6);
    struct nat_header e = error_about("192.168.1.2:0", at(A1), at(out6), at(in6));
    assert_false(box_pass(&b, NAT_INSIDE, &e));
    assert_int_equal(b.v.drop, NAT_DROP_ICMP);
    e = error_about(ROUTER, at("203.0.113.1:0"), at(in6), at(out6));
    assert_false(box_pass(&b, NAT_OUTSIDE, &e));
    box_close(&b);
}

/* RFC 5508 REQ-7. */
static void test_hairpinned_error(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    c.hairpin = NAT_HAIRPIN_EXTERNAL;
    struct box b;
    box_open(&b, &c);
    struct bk_addr x1 = box_out(&b, "192.168.1.2:5000", A1);
    struct bk_addr x2 = box_out(&b, "192.168.1.3:6000", A1);
    assert_true(box_udp(&b, NAT_INSIDE, at("192.168.1.2:5000"), x2));
    struct nat_header e = error_about("192.168.1.3:0", x1, x1, at("192.168.1.3:6000"));
    assert_true(box_pass(&b, NAT_INSIDE, &e));
    assert_int_equal(b.v.action, NAT_HAIRPIN);
    assert_true(same(b.v.header.inner.src, at("192.168.1.2:5000")));
    assert_true(same(b.v.header.inner.dst, x2));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.2:0")));
    box_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_from_outside),
        cmocka_unit_test(test_error_from_inside_hides_the_inside),
        cmocka_unit_test(test_errors_change_nothing),
        cmocka_unit_test(test_errors_do_not_cross_ip_versions),
        cmocka_unit_test(test_hairpinned_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
