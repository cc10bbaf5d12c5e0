/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "wire/nat64.h"

static struct bk_ip ip(const char *text) {
    struct bk_ip out;
    assert_int_equal(bk_ip_parse(text, &out), BK_OK);
    return out;
}

static struct nat64_prefix prefix(const char *text, uint8_t len) {
    struct nat64_prefix p = {.len = len};
    struct bk_ip from = ip(text);
    memcpy(p.bytes, from.bytes, sizeof p.bytes);
    return p;
}

/* RFC 6052 section 2.4, tables 2 and 3; 192.0.2.33. */
static const struct {
    const char *prefix;
    uint8_t len;
    const char *whole, *for_170;
} rows[] = {
    {"2001:db8::", 32, "2001:db8:c000:221::", "2001:db8:c000:aa::"},
    {"2001:db8:100::", 40, "2001:db8:1c0:2:21::", "2001:db8:1c0:0:aa::"},
    {"2001:db8:122::", 48, "2001:db8:122:c000:2:2100::", "2001:db8:122:c000:0:aa00::"},
    {"2001:db8:122:300::", 56, "2001:db8:122:3c0:0:221::", "2001:db8:122:3c0:0:aa::"},
    {"2001:db8:122:344::", 64, "2001:db8:122:344:c0:2:2100::", "2001:db8:122:344:c0:0:aa00::"},
    {"2001:db8:122:344::", 96, "2001:db8:122:344::192.0.2.33", "2001:db8:122:344::192.0.0.170"},
    {"64:ff9b::", 96, "64:ff9b::192.0.2.33", "64:ff9b::192.0.0.170"},
};

static void the_rfcs_examples(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nat64_prefix p = prefix(rows[i].prefix, rows[i].len);
        struct bk_ip v4 = ip("192.0.2.33"), v6 = ip(rows[i].whole), made, back;
        assert_true(nat64_embed(&p, &v4, &made));
        assert_true(bk_ip_equal(&made, &v6));
        assert_true(nat64_extract(&p, &v6, &back));
        assert_true(bk_ip_equal(&back, &v4));
    }
}

static void a_prefix_is_found_at_every_place(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nat64_prefix p = prefix(rows[i].prefix, rows[i].len), found = {.len = 1};
        struct bk_ip answer = ip(rows[i].for_170);
        assert_true(nat64_find(&answer, &found));
        assert_true(nat64_prefix_equal(&found, &p));
    }
}

static void what_is_no_answer_of_a_dns64_is_no_prefix(void **state) {
    static const char *const bad[] = {
        "192.0.0.170",                   /* the name's own */
        "64:ff9b::192.0.2.170",          /* another address */
        "64:ff9b:0:0:100::192.0.0.170",  /* the reserved byte is used */
        "2001:db8:c000:aa::192.0.0.170", /* stands at two places */
        "::",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bk_ip answer = ip(bad[i]);
        struct nat64_prefix found = {.len = 7};
        assert_false(nat64_find(&answer, &found));
        assert_int_equal(found.len, 7);
    }
}

/* A peer must not have us reach for what is local to the NAT64. */
static void only_global_addresses_are_embedded(void **state) {
    static const char *const bad[] = {"10.0.0.1",  "127.0.0.1",   "192.168.1.1", "100.64.0.1",
                                      "224.0.0.1", "169.254.1.1", "0.0.0.0",     "2001:db8::1"};
    struct nat64_prefix p = prefix("64:ff9b::", 96), none = {.len = 0}, odd = {.len = 33};
    struct bk_ip out, v4 = ip("192.0.2.1"), elsewhere = ip("2001:db8::1");
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bk_ip address = ip(bad[i]);
        assert_false(nat64_embed(&p, &address, &out));
    }
    assert_false(nat64_embed(&none, &v4, &out));
    assert_false(nat64_embed(&odd, &v4, &out));
    assert_false(nat64_extract(&p, &elsewhere, &out));
    assert_false(nat64_extract(&p, &v4, &out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfcs_examples),
        cmocka_unit_test(a_prefix_is_found_at_every_place),
        cmocka_unit_test(what_is_no_answer_of_a_dns64_is_no_prefix),
        cmocka_unit_test(only_global_addresses_are_embedded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
