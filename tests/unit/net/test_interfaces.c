/* SPDX-License-Identifier: MIT
 * Which addresses may become candidates: RFC 8445 section 5.1.1.1. */
#include "../test.h"
#include "net/interfaces.h"

static struct net_interface on(uint32_t index, const char *text, bool temporary) {
    struct net_interface i = {.index = index, .prefix_len = 64, .temporary = temporary};
    assert_int_equal(bk_ip_parse(text, &i.ip), BK_OK);
    return i;
}

#define CASE_MAX 5

static const struct {
    const char *name;
    struct {
        const char *ip; /* NULL: the end */
        uint32_t index;
        bool temporary, stays;
    } list[CASE_MAX];
} cases[] = {
    {"plain addresses stay",
     {{"192.0.2.1", 1, false, true}, {"2001:db8::1", 1, false, true}, {"fe80::1", 1, false, true}}},
    {"site-local", {{"fec0::1", 1, false, false}, {"fdc0::1", 1, false, true}}},
    {"IPv4-compatible", {{"::192.0.2.1", 1, false, false}, {"::ffff:0:0:1", 1, false, true}}},
    {"a temporary address hides the stable one of its prefix",
     {{"2001:db8::1", 1, false, false}, {"2001:db8::abcd", 1, true, true}}},
    {"but not those of other prefixes and interfaces, nor IPv4",
     {{"2001:db8:0:1::1", 1, false, true},
      {"2001:db8::1", 2, false, true},
      {"192.0.2.1", 1, false, true},
      {"2001:db8::abcd", 1, true, true}}},
    {"it hides link-local ones everywhere",
     {{"fe80::1", 2, false, false}, {"2001:db8::abcd", 1, true, true}}},
    {"of several temporary ones all stay",
     {{"2001:db8::abcd", 1, true, true}, {"2001:db8::abce", 1, true, true}}},
};

static void what_betrays_the_host_is_left_out(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_interface list[CASE_MAX], expected[CASE_MAX];
        size_t count = 0, stay = 0;
        print_message("%s\n", cases[i].name);
        for (; count < CASE_MAX && cases[i].list[count].ip != NULL; count++) {
            list[count] = on(cases[i].list[count].index, cases[i].list[count].ip,
                             cases[i].list[count].temporary);
            if (cases[i].list[count].stays)
                expected[stay++] = list[count];
        }
        assert_int_equal(net_interfaces_choose(list, count), stay);
        for (size_t k = 0; k < stay; k++)
            assert_true(bk_ip_equal(&list[k].ip, &expected[k].ip));
    }
}

static void prefixes_may_end_within_a_byte(void **state) {
    struct net_interface list[2] = {on(1, "2001:db8::1", false), on(1, "2001:db8:8::1", true)};
    (void)state;
    list[0].prefix_len = list[1].prefix_len = 45;
    assert_int_equal(net_interfaces_choose(list, 2), 2);
    list[0].prefix_len = list[1].prefix_len = 44;
    assert_int_equal(net_interfaces_choose(list, 2), 1);
    assert_true(list[0].temporary);
}

static void the_kernels_lines_tell_what_is_temporary(void **state) {
    struct net_interface list[2] = {on(2, "2001:db8::1", false), on(2, "2001:db8::abcd", false)};
    (void)state;
    interfaces_mark_by_line("20010db8000000000000000000000001 02 40 00 80     eth0\n", list, 2);
    interfaces_mark_by_line("20010db800000000000000000000abcd 03 40 00 01     eth1\n", list, 2);
    assert_false(list[0].temporary || list[1].temporary);
    interfaces_mark_by_line("20010db800000000000000000000abcd 02 40 00 01     eth0\n", list, 2);
    assert_true(list[1].temporary && !list[0].temporary);
}

static void the_kernels_lines_tell_what_is_not_ours_yet_or_no_longer(void **state) {
    static const struct {
        const char *flags;
        bool tentative, deprecated;
    } rows[] = {
        {"80", false, false}, {"c0", true, false}, {"44", false, false}, /* optimistic */
        {"c8", true, false},  {"88", true, false},                       /* a duplicate */
        {"20", false, true},  {"21", false, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct net_interface list[1] = {on(2, "2001:db8::1", false)};
        char line[64] = "20010db8000000000000000000000001 02 40 00 ";
        strcat(line, rows[i].flags);
        interfaces_mark_by_line(line, list, 1);
        assert_int_equal(list[0].tentative, rows[i].tentative);
        assert_int_equal(list[0].deprecated, rows[i].deprecated);
    }
}

static void what_a_new_path_should_use_comes_first(void **state) {
    static const char *const order[] = {"2001:db8::abcd", "2001:db8::2",  "2001:db8::1",
                                        "192.0.2.1",      "192.168.1.1",  "fdc0::1",
                                        "192.0.0.2",      "2001:db8::99", "fe80::1"};
    static const size_t shuffled[] = {4, 8, 1, 7, 6, 2, 0, 5, 3};
    enum { COUNT = sizeof order / sizeof *order };
    struct net_interface list[COUNT];
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        list[i] = on(1, order[shuffled[i]], shuffled[i] == 0);
    for (size_t i = 0; i < COUNT; i++)
        list[i].deprecated = shuffled[i] == 7;
    net_interfaces_rank(list, COUNT);
    /* of one rank the order is the kernel's */
    static const char *const expected[] = {"2001:db8::abcd", "2001:db8::2", "2001:db8::1",
                                           "192.168.1.1",    "192.0.2.1",   "fdc0::1",
                                           "192.0.0.2",      "fe80::1",     "2001:db8::99"};
    for (size_t i = 0; i < COUNT; i++) {
        struct net_interface want = on(1, expected[i], false);
        assert_true(bk_ip_equal(&list[i].ip, &want.ip));
    }
}

static void other_lines_tell_nothing(void **state) {
    static const char whole[] = "20010db8000000000000000000000001 02 40 00 01";
    (void)state;
    for (size_t len = 0; len + 2 < sizeof whole; len++) {
        struct net_interface i = on(2, "2001:db8::1", false);
        char line[sizeof whole];
        memcpy(line, whole, len);
        line[len] = '\0';
        interfaces_mark_by_line(line, &i, 1);
        assert_false(i.temporary);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_betrays_the_host_is_left_out),
        cmocka_unit_test(prefixes_may_end_within_a_byte),
        cmocka_unit_test(the_kernels_lines_tell_what_is_temporary),
        cmocka_unit_test(the_kernels_lines_tell_what_is_not_ours_yet_or_no_longer),
        cmocka_unit_test(what_a_new_path_should_use_comes_first),
        cmocka_unit_test(other_lines_tell_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
