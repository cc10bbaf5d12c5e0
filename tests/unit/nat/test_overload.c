/* SPDX-License-Identifier: MIT
 * Linux' port overloading and what follows from it. The expectations were measured on Linux 6.18;
 * tests/system/test_nat_equivalence.py asks the kernel again. */
#include "box.h"

static struct nat_config linux_config(void) {
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    c.overload = NAT_OVERLOAD_REMOTE;
    return c;
}

static void hosts_share_a_port_towards_different_remotes(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = linux_config();
    box_open(&b, &c);
    assert_true(
        same(box_out(&b, "192.168.1.2:41000", "198.51.100.1:1000"), at("203.0.113.1:41000")));
    assert_true(
        same(box_out(&b, "192.168.1.3:41000", "198.51.100.2:1000"), at("203.0.113.1:41000")));
    assert_true(box_in(&b, "198.51.100.1:1000", at("203.0.113.1:41000")));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.2:41000")));
    assert_true(box_in(&b, "198.51.100.2:1000", at("203.0.113.1:41000")));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.3:41000")));
    assert_false(box_in(&b, "198.51.100.2:1001", at("203.0.113.1:41000")));
    box_close(&b);
}

static void a_clash_changes_what_comes_after(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = linux_config();
    box_open(&b, &c);
    (void)box_out(&b, "192.168.1.2:41000", "198.51.100.1:1000");
    struct bk_addr before = box_out(&b, "192.168.1.3:41000", "198.51.100.2:1000");
    struct bk_addr clashed = box_out(&b, "192.168.1.3:41000", "198.51.100.1:1000");
    assert_int_not_equal(clashed.port, 41000);
    assert_true(same(box_out(&b, "192.168.1.3:41000", "198.51.100.3:1000"), clashed));
    assert_true(same(box_out(&b, "192.168.1.3:41000", "198.51.100.2:1000"), before));
    /* When the clashed flows have ended, the older one is the newest again. */
    for (int i = 0; i < 2; i++) {
        box_wait_s(&b, 20);
        (void)box_out(&b, "192.168.1.3:41000", "198.51.100.2:1000");
    }
    assert_true(same(box_out(&b, "192.168.1.3:41000", "198.51.100.4:1000"), before));
    box_close(&b);
}

/* The older flow leaves the place free, and the newest does not. */
static void the_newest_that_is_free_wins(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = linux_config();
    box_open(&b, &c);
    (void)box_out(&b, "192.168.1.2:41000", "198.51.100.1:1000");
    struct bk_addr first = box_out(&b, "192.168.1.3:41000", "198.51.100.2:1000");
    struct bk_addr second = box_out(&b, "192.168.1.3:41000", "198.51.100.1:1000");
    struct bk_addr third = {bk_ipv4(192, 168, 1, 4), second.port};
    assert_true(box_udp(&b, NAT_INSIDE, third, at("198.51.100.5:1000")));
    assert_true(same(b.v.header.flow.src, second));
    assert_true(same(box_out(&b, "192.168.1.3:41000", "198.51.100.5:1000"), first));
    box_close(&b);
}

static void without_overloading_a_port_has_one_owner(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    box_open(&b, &c);
    (void)box_out(&b, "192.168.1.2:41000", "198.51.100.1:1000");
    assert_int_not_equal(box_out(&b, "192.168.1.3:41000", "198.51.100.2:1000").port, 41000);
    box_close(&b);
}

static void strangers_reach_the_last_sender(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = linux_config();
    c.filtering = NAT_EI;
    box_open(&b, &c);
    struct bk_addr m = box_out(&b, "192.168.1.2:41000", "198.51.100.1:1000");
    (void)box_out(&b, "192.168.1.3:41000", "198.51.100.2:1000");
    assert_true(box_in(&b, "198.51.100.9:9", m));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.3:41000")));
    (void)box_out(&b, "192.168.1.2:41000", "198.51.100.1:1000");
    assert_true(box_in(&b, "198.51.100.9:10", m));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.2:41000")));
    assert_true(box_in(&b, "198.51.100.9:9", m)); /* who has a session keeps it */
    assert_true(same(b.v.header.flow.dst, at("192.168.1.3:41000")));
    box_close(&b);
}

static void a_hairpin_reaches_the_owner_of_the_port(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = linux_config();
    c.filtering = NAT_EI;
    c.hairpin = NAT_HAIRPIN_EXTERNAL;
    box_open(&b, &c);
    struct bk_addr m = box_out(&b, "192.168.1.2:41000", "198.51.100.1:1000");
    assert_true(box_udp(&b, NAT_INSIDE, at("192.168.1.3:41000"), m));
    assert_int_equal(b.v.action, NAT_HAIRPIN);
    assert_true(same(b.v.header.flow.dst, at("192.168.1.2:41000")));
    struct bk_addr back = b.v.header.flow.src;
    assert_int_not_equal(back.port, 41000); /* which would be the called one */
    assert_true(box_udp(&b, NAT_INSIDE, at("192.168.1.2:41000"), back));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.3:41000")));
    box_close(&b);
}

/* ---- packets from outside that come first ------------------------------------------------------
 */
static struct nat_config accepting(void) {
    struct nat_config c = linux_config();
    c.inbound_first = true;
    c.unsolicited = NAT_UNSOLICITED_REJECT;
    return c;
}

static void an_early_packet_moves_the_mapping(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = accepting();
    box_open(&b, &c);
    struct bk_addr stun = box_out(&b, "192.168.1.2:45001", "198.51.100.1:3478");
    assert_false(box_in(&b, "198.51.100.2:5000", stun));
    assert_int_equal(b.v.answer, NAT_ANSWER_PORT_UNREACHABLE);
    struct bk_addr moved = box_out(&b, "192.168.1.2:45001", "198.51.100.2:5000");
    assert_int_not_equal(moved.port, 45001);
    assert_true(same(box_out(&b, "192.168.1.2:45001", "198.51.100.3:1"), moved));
    assert_true(same(box_out(&b, "192.168.1.2:45001", "198.51.100.1:3478"), stun));
    assert_false(box_in(&b, "198.51.100.2:5000", stun));
    assert_true(box_in(&b, "198.51.100.2:5000", moved));
    box_close(&b);
}

static void the_box_forgets_an_early_packet(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = accepting();
    box_open(&b, &c);
    struct bk_addr x = at("203.0.113.1:45001");
    assert_false(box_in(&b, "198.51.100.2:5000", x));
    box_wait_s(&b, 20);
    assert_false(box_in(&b, "198.51.100.2:5000", x)); /* and is reminded */
    box_wait_s(&b, 20);
    assert_int_not_equal(box_out(&b, "192.168.1.2:45001", "198.51.100.2:5000").port, 45001);
    box_wait_s(&b, 31);
    assert_true(same(box_out(&b, "192.168.1.2:45001", "198.51.100.2:5000"), x));
    box_close(&b);
}

static void with_a_fixed_port_packets_are_dropped(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = accepting();
    c.ports = NAT_PORT_PRESERVE_STRICT;
    box_open(&b, &c);
    assert_false(box_in(&b, "198.51.100.2:5000", at("203.0.113.1:45001")));
    assert_false(box_udp(&b, NAT_INSIDE, at("192.168.1.2:45001"), at("198.51.100.2:5000")));
    assert_int_equal(b.v.drop, NAT_DROP_FULL);
    (void)box_out(&b, "192.168.1.2:45001", "198.51.100.3:5000");
    box_wait_s(&b, 31);
    assert_true(
        same(box_out(&b, "192.168.1.2:45001", "198.51.100.2:5000"), at("203.0.113.1:45001")));
    box_close(&b);
}

/* A box that drops remembers nothing. */
static void a_dropping_box_keeps_the_port(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = linux_config();
    box_open(&b, &c);
    assert_false(box_in(&b, "198.51.100.2:5000", at("203.0.113.1:45001")));
    assert_int_equal(box_out(&b, "192.168.1.2:45001", "198.51.100.2:5000").port, 45001);
    box_close(&b);
}

static void a_flood_of_strangers_leaves_room_inside(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = accepting();
    box_open(&b, &c);
    for (uint16_t i = 1; i < 2000; i++) {
        struct bk_addr from = {bk_ipv4(198, 51, 100, 2), i};
        struct bk_addr to = {bk_ipv4(203, 0, 113, 1), (uint16_t)(1024 + i % 7)};
        assert_false(box_udp(&b, NAT_OUTSIDE, from, to));
    }
    (void)box_out(&b, "192.168.1.2:45001", "198.51.100.3:5000");
    struct nat_mapping_view view;
    uint32_t cursor = 0;
    assert_true(nat_next_mapping(b.nat, &cursor, &view)); /* the box's own are not shown */
    assert_int_equal(view.internal.port, 45001);
    assert_false(nat_next_mapping(b.nat, &cursor, &view));
    box_close(&b);
}

/* ---- TCP
 * ------------------------------------------------------------------------------------------
 */
static void a_new_connection_draws_a_new_port(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = linux_config();
    c.mapping = NAT_APD;
    c.ports = NAT_PORT_RANDOM;
    box_open(&b, &c);
    struct bk_addr in = at("192.168.1.2:5000"), out = at("198.51.100.1:80");
    assert_true(box_tcp(&b, NAT_INSIDE, in, out, NAT_TCP_SYN));
    struct bk_addr first = b.v.header.flow.src;
    assert_true(box_tcp(&b, NAT_OUTSIDE, out, first, NAT_TCP_RST | NAT_TCP_ACK));
    assert_true(box_tcp(&b, NAT_INSIDE, in, out, NAT_TCP_SYN));
    assert_false(same(b.v.header.flow.src, first));
    box_close(&b);
}

static void a_refused_hairpin_is_answered(void **state) {
    (void)state;
    struct box b;
    struct nat_config c = linux_config();
    c.unsolicited_inside = NAT_UNSOLICITED_REJECT;
    box_open(&b, &c);
    struct bk_addr m = box_out(&b, "192.168.1.2:41000", "198.51.100.1:1000");
    assert_false(box_udp(&b, NAT_INSIDE, at("192.168.1.3:41000"), m));
    assert_int_equal(b.v.answer, NAT_ANSWER_PORT_UNREACHABLE);
    assert_false(box_tcp(&b, NAT_INSIDE, at("192.168.1.3:41000"), m, NAT_TCP_SYN));
    assert_int_equal(b.v.answer, NAT_ANSWER_TCP_RESET);
    assert_false(box_tcp(&b, NAT_INSIDE, at("192.168.1.3:41000"), m, NAT_TCP_RST));
    assert_int_equal(b.v.answer, NAT_ANSWER_NONE);
    box_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_share_a_port_towards_different_remotes),
        cmocka_unit_test(a_clash_changes_what_comes_after),
        cmocka_unit_test(the_newest_that_is_free_wins),
        cmocka_unit_test(without_overloading_a_port_has_one_owner),
        cmocka_unit_test(strangers_reach_the_last_sender),
        cmocka_unit_test(a_hairpin_reaches_the_owner_of_the_port),
        cmocka_unit_test(an_early_packet_moves_the_mapping),
        cmocka_unit_test(the_box_forgets_an_early_packet),
        cmocka_unit_test(with_a_fixed_port_packets_are_dropped),
        cmocka_unit_test(a_dropping_box_keeps_the_port),
        cmocka_unit_test(a_flood_of_strangers_leaves_room_inside),
        cmocka_unit_test(a_new_connection_draws_a_new_port),
        cmocka_unit_test(a_refused_hairpin_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
