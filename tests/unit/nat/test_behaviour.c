/* SPDX-License-Identifier: MIT
 * Mapping, filtering, port choice, hairpin and unsolicited packets: RFC 4787 sections 4 to 6. */
#include "box.h"

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:1000"
#define A2 "198.51.100.1:2000" /* the same host, another port */
#define B1 "198.51.100.2:1000"

/* RFC 4787 sections 4.1 (mapping) and 5 (filtering). A and B are two hosts on the far side. */
static const struct {
    const char *name;
    enum nat_dep mapping, filtering;
    bool one_port_for_a, one_port_for_all; /* is the mapping shared? */
    bool b_gets_in, a_other_port_gets_in;  /* after one packet to A:1000 */
} nat_cases[] = {
    {"full cone", NAT_EI, NAT_EI, true, true, true, true},
    {"restricted cone", NAT_EI, NAT_AD, true, true, false, true},
    {"port restricted cone", NAT_EI, NAT_APD, true, true, false, false},
    {"ADM EIF", NAT_AD, NAT_EI, true, false, true, true},
    {"ADM ADF", NAT_AD, NAT_AD, true, false, false, true},
    {"ADM APDF", NAT_AD, NAT_APD, true, false, false, false},
    {"APDM EIF", NAT_APD, NAT_EI, false, false, true, true},
    {"APDM ADF", NAT_APD, NAT_AD, false, false, false, true},
    {"symmetric", NAT_APD, NAT_APD, false, false, false, false},
};

static void test_mapping_and_filtering(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof nat_cases / sizeof *nat_cases; i++) {
        struct nat_config c = box_config(nat_cases[i].mapping, nat_cases[i].filtering);
        struct box b;
        print_message("%s\n", nat_cases[i].name);
        box_open(&b, &c);
        struct bk_addr out = box_out(&b, IN, A1);
        assert_true(box_in(&b, A1, out));
        assert_true(same(b.v.header.flow.dst, at(IN)));
        assert_true(same(b.v.header.flow.src, at(A1)));
        assert_int_equal(box_in(&b, B1, out), nat_cases[i].b_gets_in);
        assert_int_equal(box_in(&b, A2, out), nat_cases[i].a_other_port_gets_in);
        box_close(&b);
        box_open(&b, &c); /* afresh: what came in above may have made sessions */
        out = box_out(&b, IN, A1);
        assert_int_equal(same(box_out(&b, IN, A2), out), nat_cases[i].one_port_for_a);
        assert_int_equal(same(box_out(&b, IN, B1), out), nat_cases[i].one_port_for_all);
        assert_true(same(box_out(&b, IN, A1), out));
        box_close(&b);
    }
}

/* The permission to send belongs to the mapping, not to the inside endpoint. */
static void test_permissions_are_per_mapping(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_APD, NAT_AD);
    struct box b;
    box_open(&b, &c);
    struct bk_addr to_a = box_out(&b, IN, A1);
    (void)box_out(&b, IN, B1);
    assert_false(box_in(&b, B1, to_a));
    assert_int_equal(b.v.drop, NAT_DROP_FILTERED);
    box_close(&b);
}

/* An endpoint-dependent mapping with an open filter answers a stranger from the mapping he used. */
static void test_answer_leaves_by_the_session_it_came_in(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_APD, NAT_EI);
    struct box b;
    box_open(&b, &c);
    struct bk_addr to_a = box_out(&b, IN, A1);
    assert_true(box_in(&b, B1, to_a));
    assert_true(same(box_out(&b, IN, B1), to_a));
    /* If there is another mapping for him already, the one he used last counts. */
    struct bk_addr to_a2 = box_out(&b, IN, A2);
    assert_true(box_in(&b, A2, to_a));
    assert_true(same(box_out(&b, IN, A2), to_a));
    assert_true(box_in(&b, A2, to_a2));
    assert_true(same(box_out(&b, IN, A2), to_a2));
    box_close(&b);
}

static void test_nothing_gets_in_unasked(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    struct box b;
    box_open(&b, &c);
    assert_false(box_in(&b, A1, at("203.0.113.1:5000")));
    assert_int_equal(b.v.action, NAT_DROP);
    assert_int_equal(b.v.drop, NAT_DROP_UNSOLICITED);
    assert_int_equal(nat_get_counters(b.nat)->dropped[NAT_DROP_UNSOLICITED], 1);
    box_close(&b);
}

/* RFC 4787 section 4.2.1: preservation, and what happens on a clash. */
static void test_port_is_preserved_or_random(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    struct box b;
    box_open(&b, &c);
    assert_int_equal(box_out(&b, "192.168.1.2:5000", A1).port, 5000);
    struct bk_addr second = box_out(&b, "192.168.1.3:5000", A1);
    assert_int_not_equal(second.port, 5000);
    assert_true(second.port >= 1024);
    assert_true(same(box_out(&b, "192.168.1.3:5000", B1), second));
    assert_int_equal(nat_get_counters(b.nat)->port_clashes, 1);
    /* EIM is per protocol: RFC 7857 section 5. */
    assert_true(box_tcp(&b, NAT_INSIDE, at("192.168.1.3:5000"), at(A1), NAT_TCP_SYN));
    assert_int_equal(b.v.header.flow.src.port, 5000);
    box_close(&b);
}

static void test_sequential_ports_count_up_and_wrap(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_APD, NAT_APD);
    c.ports = NAT_PORT_SEQUENTIAL;
    c.port_min = 4000;
    c.port_max = 4002;
    struct box b;
    box_open(&b, &c);
    assert_int_equal(box_out(&b, IN, A1).port, 4000);
    assert_int_equal(box_out(&b, IN, A2).port, 4001);
    box_wait_s(&b, 29);
    assert_int_equal(box_out(&b, IN, B1).port, 4002);
    assert_false(box_udp(&b, NAT_INSIDE, at(IN), at("198.51.100.3:1")));
    assert_int_equal(b.v.drop, NAT_DROP_FULL);
    box_wait_s(&b, 2); /* the first two have gone by now */
    assert_int_equal(box_out(&b, IN, "198.51.100.3:1").port, 4000);
    box_close(&b);
}

static void test_random_ports_stay_in_range_and_differ(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_APD, NAT_APD);
    c.ports = NAT_PORT_RANDOM;
    c.port_min = 20000;
    c.port_max = 20063;
    struct box b;
    bool seen[64] = {false}, sequential = true;
    box_open(&b, &c);
    uint16_t last = 0;
    for (uint16_t i = 0; i < 64; i++) {
        struct bk_addr to = at(A1);
        to.port = (uint16_t)(1 + i);
        assert_true(box_udp(&b, NAT_INSIDE, at(IN), to));
        uint16_t port = b.v.header.flow.src.port;
        assert_in_range(port, 20000, 20063);
        assert_false(seen[port - 20000]);
        seen[port - 20000] = true;
        sequential = sequential && (i == 0 || port == last + 1);
        last = port;
    }
    assert_false(sequential);
    box_close(&b);
}

/* RFC 4787 REQ-2: paired pooling. */
static void test_a_host_keeps_one_outside_address(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_APD, NAT_APD);
    c.external[1] = bk_ipv4(203, 0, 113, 2);
    c.external_count = 2;
    struct box b;
    box_open(&b, &c);
    struct bk_addr first = box_out(&b, "192.168.1.2:1", A1),
                   other = box_out(&b, "192.168.1.3:1", A1);
    for (uint16_t port = 2; port < 20; port++) {
        struct bk_addr src = at("192.168.1.2:1");
        src.port = port;
        assert_true(box_udp(&b, NAT_INSIDE, src, at(A1)));
        assert_true(bk_ip_equal(&b.v.header.flow.src.ip, &first.ip));
    }
    assert_false(bk_ip_equal(&first.ip, &other.ip));
    box_close(&b);
}

/* RFC 4787 section 6. */
static void test_hairpin(void **state) {
    (void)state;
    const struct {
        enum nat_hairpin hairpin;
        bool passes, external_source;
    } cases[] = {{NAT_HAIRPIN_OFF, false, false},
                 {NAT_HAIRPIN_EXTERNAL, true, true},
                 {NAT_HAIRPIN_INTERNAL, true, false}};
    for (size_t i = 0; i < 3; i++) {
        struct nat_config c = box_config(NAT_EI, NAT_EI);
        c.hairpin = cases[i].hairpin;
        struct box b;
        box_open(&b, &c);
        struct bk_addr x1 = box_out(&b, "192.168.1.2:5000", A1);
        struct bk_addr x2 = box_out(&b, "192.168.1.3:6000", A1);
        assert_int_equal(box_udp(&b, NAT_INSIDE, at("192.168.1.2:5000"), x2), cases[i].passes);
        if (cases[i].passes) {
            assert_int_equal(b.v.action, NAT_HAIRPIN);
            assert_int_equal(b.v.to, NAT_INSIDE);
            assert_true(same(b.v.header.flow.dst, at("192.168.1.3:6000")));
            struct bk_addr source = cases[i].external_source ? x1 : at("192.168.1.2:5000");
            assert_true(same(b.v.header.flow.src, source));
        } else {
            assert_int_equal(b.v.drop, NAT_DROP_HAIRPIN_OFF);
        }
        box_close(&b);
    }
}

/* The filter holds for hairpinned packets, too: punching works as it does from outside. */
static void test_hairpin_is_filtered(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    c.hairpin = NAT_HAIRPIN_EXTERNAL;
    struct box b;
    box_open(&b, &c);
    struct bk_addr x1 = box_out(&b, "192.168.1.2:5000", A1);
    struct bk_addr x2 = box_out(&b, "192.168.1.3:6000", A1);
    assert_false(box_udp(&b, NAT_INSIDE, at("192.168.1.2:5000"), x2));
    assert_int_equal(b.v.drop, NAT_DROP_FILTERED);
    assert_true(box_udp(&b, NAT_INSIDE, at("192.168.1.3:6000"), x1));
    assert_true(box_udp(&b, NAT_INSIDE, at("192.168.1.2:5000"), x2));
    box_close(&b);
}

static void test_unsolicited_can_be_answered(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    c.unsolicited = NAT_UNSOLICITED_REJECT;
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    assert_false(box_in(&b, B1, x));
    assert_int_equal(b.v.action, NAT_ANSWER);
    assert_int_equal(b.v.answer, NAT_ANSWER_PORT_UNREACHABLE);
    assert_int_equal(b.v.drop, NAT_DROP_FILTERED);
    assert_false(box_tcp(&b, NAT_OUTSIDE, at(A1), at("203.0.113.1:80"), NAT_TCP_SYN));
    assert_int_equal(b.v.answer, NAT_ANSWER_TCP_RESET);
    assert_false(box_tcp(&b, NAT_OUTSIDE, at(A1), at("203.0.113.1:80"), NAT_TCP_RST));
    assert_int_equal(b.v.action, NAT_DROP);
    assert_int_equal(nat_get_counters(b.nat)->answered, 2);
    box_close(&b);
}

static void test_udp_can_be_blocked(void **state) {
    (void)state;
    struct nat_config c;
    assert_int_equal(nat_preset("udp-blocked", &c), BK_OK);
    c.external[0] = bk_ipv4(203, 0, 113, 1);
    c.external_count = 1;
    struct box b;
    box_open(&b, &c);
    assert_false(box_udp(&b, NAT_INSIDE, at(IN), at(A1)));
    assert_int_equal(b.v.drop, NAT_DROP_BLOCKED);
    assert_true(box_tcp(&b, NAT_INSIDE, at(IN), at(A1), NAT_TCP_SYN));
    nat_block_udp(b.nat, false);
    struct bk_addr x = box_out(&b, IN, A1);
    nat_block_udp(b.nat, true);
    assert_false(box_in(&b, A1, x));
    box_close(&b);
}

/* IPv6 behind the same box: filtered, never translated. RFC 6092. */
static void test_firewall_mode(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_APD, NAT_APD);
    struct box b;
    box_open(&b, &c);
    const char *in = "[2001:db8:1::2]:5000", *out = "[2001:db8:2::1]:1000";
    assert_false(box_udp(&b, NAT_OUTSIDE, at(out), at(in)));
    assert_int_equal(b.v.drop, NAT_DROP_UNSOLICITED);
    assert_true(same(box_out(&b, in, out), at(in)));
    assert_true(box_in(&b, out, at(in)));
    assert_true(same(b.v.header.flow.dst, at(in)));
    assert_false(box_in(&b, "[2001:db8:2::1]:1001", at(in)));
    assert_true(same(box_out(&b, in, "[2001:db8:3::1]:1"), at(in)));
    assert_int_equal(box_mappings(&b), 1);
    box_close(&b);
}

static void test_route_and_block_modes(void **state) {
    (void)state;
    struct nat_config c;
    assert_int_equal(nat_preset("open", &c), BK_OK);
    c.ipv6 = NAT_MODE_BLOCK;
    struct box b;
    box_open(&b, &c);
    assert_true(box_udp(&b, NAT_OUTSIDE, at(A1), at(IN)));
    assert_true(same(b.v.header.flow.dst, at(IN)));
    assert_int_equal(b.v.to, NAT_INSIDE);
    assert_false(box_udp(&b, NAT_INSIDE, at("[2001:db8::1]:1"), at("[2001:db8::2]:1")));
    assert_int_equal(b.v.drop, NAT_DROP_BLOCKED);
    box_close(&b);
}

static void test_some_addresses_are_never_routed(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    struct box b;
    box_open(&b, &c);
    static const char *const bad[] = {"224.0.0.1:1", "255.255.255.255:1", "127.0.0.1:1",
                                      "0.0.0.0:1",   "169.254.1.1:1",     "[2001:db8::1]:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(box_udp(&b, NAT_INSIDE, at(IN), at(bad[i])));
        assert_int_equal(b.v.drop, NAT_DROP_UNROUTABLE);
    }
    assert_int_equal(box_mappings(&b), 0);
    box_close(&b);
}

static void test_reboot_forgets_and_new_address_moves(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    nat_reboot(b.nat);
    assert_false(box_in(&b, A1, x));
    assert_int_equal(box_mappings(&b), 0);
    x = box_out(&b, IN, A1);
    struct bk_ip fresh = bk_ipv4(203, 0, 113, 99);
    assert_int_equal(nat_set_external(b.nat, 0, &fresh), BK_OK);
    assert_false(box_in(&b, A1, x));
    assert_false(nat_is_external(b.nat, &x.ip));
    x = box_out(&b, IN, A1);
    assert_true(bk_ip_equal(&x.ip, &fresh));
    struct bk_ip v6 = at("[2001:db8::1]:1").ip;
    assert_int_equal(nat_set_external(b.nat, 0, &v6), BK_ERR_ARGUMENT);
    assert_int_equal(nat_set_external(b.nat, 1, &fresh), BK_ERR_ARGUMENT);
    box_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapping_and_filtering),
        cmocka_unit_test(test_permissions_are_per_mapping),
        cmocka_unit_test(test_answer_leaves_by_the_session_it_came_in),
        cmocka_unit_test(test_nothing_gets_in_unasked),
        cmocka_unit_test(test_port_is_preserved_or_random),
        cmocka_unit_test(test_sequential_ports_count_up_and_wrap),
        cmocka_unit_test(test_random_ports_stay_in_range_and_differ),
        cmocka_unit_test(test_a_host_keeps_one_outside_address),
        cmocka_unit_test(test_hairpin),
        cmocka_unit_test(test_hairpin_is_filtered),
        cmocka_unit_test(test_unsolicited_can_be_answered),
        cmocka_unit_test(test_udp_can_be_blocked),
        cmocka_unit_test(test_firewall_mode),
        cmocka_unit_test(test_route_and_block_modes),
        cmocka_unit_test(test_some_addresses_are_never_routed),
        cmocka_unit_test(test_reboot_forgets_and_new_address_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
