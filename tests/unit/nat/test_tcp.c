/* SPDX-License-Identifier: MIT
 * TCP through the box: RFC 5382, RFC 7857 section 2. */
#include "box.h"

#define IN "192.168.1.2:5000"
#define A1 "198.51.100.1:443"
#define B1 "198.51.100.2:443"

enum { SYN = NAT_TCP_SYN, ACK = NAT_TCP_ACK, FIN = NAT_TCP_FIN, RST = NAT_TCP_RST };

static bool out(struct box *b, uint8_t flags) {
    return box_tcp(b, NAT_INSIDE, at(IN), at(A1), flags);
}

static bool in(struct box *b, uint8_t flags) {
    return box_tcp(b, NAT_OUTSIDE, at(A1), at("203.0.113.1:5000"), flags);
}

static int64_t life_s(const struct box *b) {
    struct nat_mapping_view view;
    uint32_t cursor = 0;
    assert_true(nat_next_mapping(b->nat, &cursor, &view));
    return bk_elapsed_us(b->now, view.expires) / BK_US_PER_S;
}

/* Each script: steps of direction and flags; after the last, how long the mapping lives. */
static const struct {
    const char *name;
    struct {
        bool out;
        uint8_t flags;
        bool passes;
    } steps[8];
    int64_t life_s;
} scripts[] = {
    {"a SYN alone", {{true, SYN, true}}, 120},
    {"an answered SYN", {{true, SYN, true}, {false, SYN | ACK, true}}, 120},
    {"a connection", {{true, SYN, true}, {false, SYN | ACK, true}, {true, ACK, true}}, 432000},
    {"a simultaneous open",
     {{true, SYN, true},
      {false, SYN, true},
      {true, SYN | ACK, true},
      {false, SYN | ACK, true},
      {true, ACK, true}},
     432000},
    {"half closed by us",
     {{true, SYN, true},
      {false, SYN | ACK, true},
      {true, ACK, true},
      {true, FIN | ACK, true},
      {false, ACK, true}},
     120},
    {"closed by both",
     {{true, SYN, true},
      {false, SYN | ACK, true},
      {true, ACK, true},
      {false, FIN | ACK, true},
      {true, FIN | ACK, true},
      {false, ACK, true}},
     120},
    {"a reset shortens, but does not end",
     {{true, SYN, true},
      {false, SYN | ACK, true},
      {true, ACK, true},
      {false, RST, true},
      {true, ACK, true}},
     120},
    {"a new SYN after a close",
     {{true, SYN, true},
      {false, SYN | ACK, true},
      {true, ACK, true},
      {true, RST, true},
      {true, SYN, true},
      {false, SYN | ACK, true},
      {true, ACK, true}},
     432000},
    {"picked up in the middle", {{true, ACK, true}, {false, ACK, true}}, 432000},
};

static void test_scripts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        struct nat_config c = box_config(NAT_EI, NAT_APD);
        struct box b;
        print_message("%s\n", scripts[i].name);
        box_open(&b, &c);
        for (size_t k = 0; k < 8 && scripts[i].steps[k].flags != 0; k++) {
            uint8_t flags = scripts[i].steps[k].flags;
            bool passed = scripts[i].steps[k].out ? out(&b, flags) : in(&b, flags);
            assert_int_equal(passed, scripts[i].steps[k].passes);
        }
        assert_int_equal(life_s(&b), scripts[i].life_s);
        box_close(&b);
    }
}

static void test_what_opens_no_mapping(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    c.tcp_pickup = false;
    struct box b;
    box_open(&b, &c);
    static const uint8_t flags[] = {SYN | ACK, ACK, FIN | ACK, RST, 0};
    for (size_t i = 0; i < sizeof flags; i++) {
        assert_false(out(&b, flags[i]));
        assert_int_equal(b.v.drop, NAT_DROP_TCP_STATE);
        assert_false(in(&b, flags[i]));
    }
    assert_false(in(&b, SYN));
    assert_int_equal(box_mappings(&b), 0);
    box_close(&b);
}

/* RFC 5382 REQ-3: an open filter lets a stranger's SYN in, and nothing else of his. */
static void test_open_filter(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_EI);
    struct box b;
    box_open(&b, &c);
    assert_true(out(&b, SYN));
    struct bk_addr x = at("203.0.113.1:5000");
    assert_false(box_tcp(&b, NAT_OUTSIDE, at(B1), x, ACK));
    assert_int_equal(b.v.drop, NAT_DROP_TCP_STATE);
    assert_true(box_tcp(&b, NAT_OUTSIDE, at(B1), x, SYN));
    assert_true(box_tcp(&b, NAT_INSIDE, at(IN), at(B1), SYN | ACK));
    assert_true(box_tcp(&b, NAT_OUTSIDE, at(B1), x, ACK));
    box_close(&b);
}

static void test_simultaneous_open_can_be_off(void **state) {
    (void)state;
    struct nat_config c = box_config(NAT_EI, NAT_APD);
    c.tcp_simultaneous_open = false;
    struct box b;
    box_open(&b, &c);
    assert_true(out(&b, SYN));
    assert_false(in(&b, SYN));
    assert_int_equal(b.v.drop, NAT_DROP_TCP_STATE);
    assert_true(in(&b, SYN | ACK));
    box_close(&b);
}

/* A closed connection is no invitation: its peer may call again only if the filter lets him. */
static void test_no_new_connection_by_the_peer_after_a_close(void **state) {
    (void)state;
    for (int open = 0; open < 2; open++) {
        struct nat_config c = box_config(NAT_EI, open ? NAT_EI : NAT_APD);
        struct box b;
        box_open(&b, &c);
        assert_true(out(&b, SYN) && in(&b, SYN | ACK) && out(&b, ACK) && out(&b, RST));
        assert_int_equal(in(&b, SYN), open);
        box_close(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_what_opens_no_mapping),
        cmocka_unit_test(test_open_filter),
        cmocka_unit_test(test_simultaneous_open_can_be_off),
        cmocka_unit_test(test_no_new_connection_by_the_peer_after_a_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
