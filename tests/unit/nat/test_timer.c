/* SPDX-License-Identifier: MIT
 * How long mappings live, and what keeps them alive: RFC 4787 section 4.3, RFC 5382, RFC 5508. */
#include "box.h"

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:1000"
#define B1 "198.51.100.2:1000"

static struct nat_config timed(enum nat_refresh refresh) {
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    c.refresh = refresh;
    c.udp_first_us = c.udp_replied_us = 30 * BK_US_PER_S;
    return c;
}

/* One packet at 0; then, every 20 s for a minute, one in the given directions. Alive at the end? */
static bool survives(enum nat_refresh refresh, bool out, bool in) {
    struct nat_config c = timed(refresh);
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    bool alive = true;
    for (int i = 0; i < 3 && alive; i++) {
        box_wait_s(&b, 20);
        if (in)
            alive = box_in(&b, A1, x);
        if (out && alive)
            (void)box_out(&b, IN, A1);
    }
    box_wait_s(&b, 20);
    uint64_t made = nat_get_counters(b.nat)->mappings_made;
    alive = alive && box_in(&b, A1, x) && made == 1;
    box_close(&b);
    return alive;
}

static void test_refresh_directions(void **state) {
    (void)state;
    const struct {
        enum nat_refresh refresh;
        bool out_keeps, in_keeps;
    } cases[] = {
        {NAT_REFRESH_OUT, true, false},
        {NAT_REFRESH_IN, false, true},
        {NAT_REFRESH_BOTH, true, true},
    };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(survives(cases[i].refresh, true, false), cases[i].out_keeps);
        assert_int_equal(survives(cases[i].refresh, false, true), cases[i].in_keeps);
        assert_true(survives(cases[i].refresh, true, true));
        assert_false(survives(cases[i].refresh, false, false));
    }
}

/* The time until silence ends the mapping, to the microsecond. */
static void test_ends_exactly_on_time(void **state) {
    (void)state;
    struct nat_config c = timed(NAT_REFRESH_OUT);
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    struct bk_time born = b.now;
    b.now = bk_after(born, 30 * BK_US_PER_S - 1);
    assert_true(box_in(&b, A1, x));
    assert_int_equal(bk_elapsed_us(born, nat_deadline(b.nat)), 30 * BK_US_PER_S);
    b.now = bk_after(born, 30 * BK_US_PER_S);
    assert_false(box_in(&b, A1, x));
    assert_int_equal(box_mappings(&b), 0);
    assert_true(bk_is_never(nat_deadline(b.nat)));
    box_close(&b);
}

/* Linux: 30 s; 120 s once answered and older than 2 s. */
static void test_stream_timer_starts_late(void **state) {
    (void)state;
    const struct {
        int64_t answer_after_s, packet_after_s;
        int64_t lives_s;
    } cases[] = {
        {1, 0, 30},  /* one question, one quick answer */
        {3, 0, 120}, /* the answer itself is late enough */
        {1, 2, 120}, /* another packet after 2 s */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nat_config c = box_config(NAT_EI, NAT_APD);
        struct box b;
        box_open(&b, &c);
        struct bk_addr x = box_out(&b, IN, A1);
        box_wait_s(&b, cases[i].answer_after_s);
        assert_true(box_in(&b, A1, x));
        if (cases[i].packet_after_s > 0) {
            box_wait_s(&b, cases[i].packet_after_s);
            (void)box_out(&b, IN, A1);
        }
        struct bk_time last = b.now;
        struct nat_mapping_view view;
        uint32_t cursor = 0;
        assert_true(nat_next_mapping(b.nat, &cursor, &view));
        int64_t left = bk_elapsed_us(last, view.expires);
        /* The quick answer refreshes to 30 s from itself. */
        assert_int_equal(left, cases[i].lives_s * BK_US_PER_S);
        box_close(&b);
    }
}

/* Permissions die one by one, the mapping with the last. */
static void test_sessions_age_apart(void **state) {
    (void)state;
    struct nat_config c = timed(NAT_REFRESH_BOTH);
    struct box b;
    box_open(&b, &c);
    struct bk_addr x = box_out(&b, IN, A1);
    box_wait_s(&b, 20);
    assert_true(same(box_out(&b, IN, B1), x));
    box_wait_s(&b, 20);
    assert_false(box_in(&b, A1, x));
    assert_int_equal(b.v.drop, NAT_DROP_FILTERED);
    assert_true(box_in(&b, B1, x));
    box_close(&b);
}

static void test_advance_alone_frees_tables(void **state) {
    (void)state;
    struct nat_config c = timed(NAT_REFRESH_BOTH);
    struct box b;
    box_open(&b, &c);
    (void)box_out(&b, IN, A1);
    (void)box_out(&b, IN, B1);
    box_wait_s(&b, 31);
    nat_advance(b.nat, b.now);
    assert_int_equal(box_mappings(&b), 0);
    nat_advance(b.nat, test_at_ms(0)); /* an earlier time is the last one */
    box_close(&b);
}

static void test_icmp_timer(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    c.icmp_us = 60 * BK_US_PER_S; /* RFC 5508 REQ-2 */
    struct box b;
    box_open(&b, &c);
    struct nat_header ping = {
        .flow = {.proto = NAT_ICMP, .src = at("192.168.1.2:77"), .dst = at("198.51.100.1:0")},
        .icmp = NAT_ICMP_ECHO};
    assert_true(box_pass(&b, NAT_INSIDE, &ping));
    struct bk_addr x = b.v.header.flow.src;
    assert_int_equal(x.port, 77);
    struct nat_header pong = {.flow = {.proto = NAT_ICMP, .src = at("198.51.100.1:0"), .dst = x},
                              .icmp = NAT_ICMP_ECHO_REPLY};
    box_wait_s(&b, 59);
    assert_true(box_pass(&b, NAT_OUTSIDE, &pong));
    assert_true(same(b.v.header.flow.dst, at("192.168.1.2:77")));
    box_wait_s(&b, 61);
    assert_false(box_pass(&b, NAT_OUTSIDE, &pong));
    ping.flow.src = at("198.51.100.1:5");
    ping.flow.dst = at("203.0.113.1:0");
    assert_false(box_pass(&b, NAT_OUTSIDE, &ping)); /* nobody is pinged from outside */
    box_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refresh_directions),
        cmocka_unit_test(test_ends_exactly_on_time),
        cmocka_unit_test(test_stream_timer_starts_late),
        cmocka_unit_test(test_sessions_age_apart),
        cmocka_unit_test(test_advance_alone_frees_tables),
        cmocka_unit_test(test_icmp_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
