/* SPDX-License-Identifier: MIT
 * Every special-purpose range in every spelling is refused unless it is opened. */
#include "../test.h"

#include "turn/filter.h"

static const struct turn_filter closed;

static struct bk_ip ip(const char *text) {
    struct bk_ip out;
    if (bk_ip_parse(text, &out) != BK_OK)
        fail_msg("%s", text);
    return out;
}

static bool allows(const struct turn_filter *f, const char *text) {
    struct bk_ip peer = ip(text);
    return turn_filter_allows(f, &peer);
}

static const char *const inside_v4[] = {
    "0.0.0.0",       "0.1.2.3",         "10.0.0.1",       "10.255.255.255",  "100.64.0.1",
    "100.127.255.1", "100.100.100.200", "127.0.0.1",      "127.255.255.254", "168.63.129.16",
    "169.254.0.1",   "169.254.169.254", "172.16.0.1",     "172.31.255.254",  "192.0.0.1",
    "192.0.0.192",   "192.0.2.1",       "192.88.99.1",    "192.168.0.1",     "192.168.255.254",
    "198.18.0.1",    "198.19.255.254",  "198.51.100.1",   "203.0.113.1",     "224.0.0.1",
    "239.255.255.1", "240.0.0.1",       "255.255.255.255"};

static const char *const outside_v4[] = {
    "1.1.1.1",         "9.255.255.255",  "11.0.0.0",        "100.63.255.255",  "100.128.0.0",
    "126.255.255.255", "128.0.0.0",      "168.63.129.15",   "169.253.255.255", "172.15.255.255",
    "172.32.0.0",      "192.0.1.0",      "192.167.255.255", "198.17.255.255",  "198.20.0.0",
    "203.0.112.255",   "223.255.255.255"};

/* The same IPv4 address the ways IPv6 can say it. `low`: in the last four bytes. */
static struct bk_ip spell(const char *v4, unsigned how) {
    static const uint8_t prefix[][12] = {
        {[10] = 0xff, [11] = 0xff},  /* ::ffff:a.b.c.d */
        {0},                         /* ::a.b.c.d */
        {0, 0x64, 0xff, 0x9b},       /* 64:ff9b::a.b.c.d */
        {0, 0x64, 0xff, 0x9b, 0, 1}, /* 64:ff9b:1::a.b.c.d */
        {0x20, 0x02},                /* 2002:aabb:ccdd:: */
        {0x20, 0x01},                /* Teredo, its client's bits inverted */
    };
    struct bk_ip four = ip(v4);
    uint8_t bytes[16] = {0};
    memcpy(bytes, prefix[how], 12);
    if (how == 4)
        memcpy(bytes + 2, four.bytes, 4);
    for (size_t i = 0; i < 4; i++)
        bytes[12 + i] = how == 5 ? (uint8_t)~four.bytes[i] : how == 4 ? 0 : four.bytes[i];
    return bk_ipv6(bytes);
}

static void special_ranges_are_refused_in_every_spelling(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof inside_v4 / sizeof *inside_v4; i++) {
        if (allows(&closed, inside_v4[i]))
            fail_msg("%s", inside_v4[i]);
        for (unsigned how = 0; how < 6; how++) {
            struct bk_ip six = spell(inside_v4[i], how);
            if (turn_filter_allows(&closed, &six))
                fail_msg("%s as %u", inside_v4[i], how);
        }
    }
}

static void global_addresses_are_allowed(void **state) {
    static const char *const v6[] = {"2600::1",          "2001:200::1",     "2a00:1450::1",
                                     "64:ff9b::8.8.8.8", "2002:808:808::1", "3ffe::1",
                                     "2003::1"};
    (void)state;
    for (size_t i = 0; i < sizeof outside_v4 / sizeof *outside_v4; i++)
        if (!allows(&closed, outside_v4[i]))
            fail_msg("%s", outside_v4[i]);
    for (size_t i = 0; i < sizeof v6 / sizeof *v6; i++)
        if (!allows(&closed, v6[i]))
            fail_msg("%s", v6[i]);
}

static void special_v6_ranges_are_refused(void **state) {
    static const char *const v6[] = {
        "::",      "::1",       "::ffff:8.8.8.8", "::8.8.8.8",     "64:ff9b:1::1", "100::1",
        "2001::1", "2001:2::1", "2001:10::1",     "2001:db8::1",   "2001:1ff::1",  "2002:a00:1::1",
        "3fff::1", "5f00::1",   "fc00::1",        "fd00:ec2::254", "fe80::1",      "fec0::1",
        "ff02::1", "4000::1"};
    (void)state;
    for (size_t i = 0; i < sizeof v6 / sizeof *v6; i++)
        if (allows(&closed, v6[i]))
            fail_msg("%s", v6[i]);
}

static void ranges_can_be_opened_and_closed(void **state) {
    const struct turn_range allow[] = {{ip("10.1.0.0"), 16}, {ip("fd00::"), 8}, {ip("::1"), 128}};
    const struct turn_range deny[] = {{ip("10.1.2.0"), 24}, {ip("8.8.8.8"), 32}};
    const struct turn_filter f = {allow, deny, 3, 2};
    const struct turn_range all[] = {{ip("0.0.0.0"), 0}, {ip("::"), 0}};
    const struct turn_filter open = {all, NULL, 2, 0};
    struct bk_ip peer = ip("10.1.1.1");
    (void)state;
    assert_true(allows(&f, "10.1.1.1"));
    assert_true(turn_filter_opens(&f, &peer));
    assert_false(allows(&f, "10.2.1.1"));
    assert_false(allows(&f, "10.1.2.1")); /* deny wins */
    assert_false(allows(&f, "8.8.8.8"));
    assert_false(allows(&f, "64:ff9b::8.8.8.8"));
    assert_false(allows(&f, "2002:808:808::1"));
    assert_false(allows(&f, "::ffff:10.1.1.1"));  /* IPv4 has its own spelling */
    assert_true(allows(&f, "64:ff9b::10.1.1.1")); /* what it stands for is open */
    assert_true(allows(&f, "fd12::1"));
    assert_true(allows(&f, "::1"));
    assert_true(allows(&f, "8.8.4.4"));
    assert_true(allows(&open, "127.0.0.1"));
    assert_true(allows(&open, "::1"));
    assert_true(allows(&open, "64:ff9b::127.0.0.1"));
    assert_false(allows(&open, "::ffff:127.0.0.1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_ranges_are_refused_in_every_spelling),
        cmocka_unit_test(global_addresses_are_allowed),
        cmocka_unit_test(special_v6_ranges_are_refused),
        cmocka_unit_test(ranges_can_be_opened_and_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
