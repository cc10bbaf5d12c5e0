/* SPDX-License-Identifier: MIT
 * Multicast DNS messages, RFC 6762. */
#include "../test.h"
#include "wire/mdns.h"

static const char uuid[] = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local";

/* The question and answer of a responder, byte for byte: RFC 1035 section 4, RFC 6762 section 18.
 */
static const uint8_t query[] = {
    0,    0,   0,   0,   0,   2, 0,   0,   0,   0,   0,   0, /* header: two questions */
    4,    'h', 'o', 's', 't', 5, 'l', 'o', 'c', 'a', 'l', 0, /* host.local */
    0,    1,   0,   1,                                       /* A, IN */
    0xc0, 12,  0,   28,  0,   1,                             /* the same name, AAAA, IN */
};
static const uint8_t answer[] = {
    0, 0,   0x84, 0,   0,   0, 0,   1,   0,   0,   0,   0,          /* response, authoritative */
    4, 'h', 'o',  's', 't', 5, 'l', 'o', 'c', 'a', 'l', 0,          /* host.local */
    0, 1,   0x80, 1,   0,   0, 0,   120, 0,   4,   192, 168, 1, 20, /* A, flush, IN, 120 s */
};

static void writes_a_query(void **state) {
    (void)state;
    uint8_t out[MDNS_WRITTEN_MAX];
    size_t len = mdns_write_query("host.local", false, out);
    assert_int_equal(len, sizeof query);
    assert_memory_equal(out, query, len);
    len = mdns_write_query("host.local", true, out);
    assert_int_equal(len, sizeof query);
    assert_int_equal(out[26], 0x80);
    assert_int_equal(out[32], 0x80);
}

static void writes_an_answer(void **state) {
    (void)state;
    uint8_t out[MDNS_WRITTEN_MAX];
    struct mdns_record r = {
        .name = "host.local", .ip = bk_ipv4(192, 168, 1, 20), .ttl_s = MDNS_TTL_S, .flush = true};
    size_t len = mdns_write_answer(&r, 7, NULL, out);
    assert_int_equal(len, sizeof answer);
    assert_memory_equal(out, answer, len);
}

static void reads_its_query(void **state) {
    (void)state;
    struct mdns_msg m;
    struct mdns_question q;
    struct mdns_record r;
    assert_int_equal(mdns_parse(&m, query, sizeof query), BK_OK);
    assert_false(m.response);
    struct mdns_iter it = mdns_iter(&m);
    assert_true(mdns_next_question(&it, &q));
    assert_string_equal(q.name, "host.local");
    assert_int_equal(q.type, MDNS_A);
    assert_false(q.unicast);
    assert_true(mdns_next_question(&it, &q));
    assert_string_equal(q.name, "host.local");
    assert_int_equal(q.type, MDNS_AAAA);
    assert_false(mdns_next_question(&it, &q));
    assert_false(mdns_next_record(&it, &r));
}

static void reads_its_answer(void **state) {
    (void)state;
    struct mdns_msg m;
    struct mdns_record r;
    struct bk_ip ip = bk_ipv4(192, 168, 1, 20);
    assert_int_equal(mdns_parse(&m, answer, sizeof answer), BK_OK);
    assert_true(m.response);
    struct mdns_iter it = mdns_iter(&m);
    assert_true(mdns_next_record(&it, &r));
    assert_string_equal(r.name, "host.local");
    assert_true(bk_ip_equal(&r.ip, &ip));
    assert_int_equal(r.ttl_s, 120);
    assert_true(r.flush && r.answer);
    assert_false(mdns_next_record(&it, &r));
}

/* RFC 6762 section 6.7: the id and the question come back, a short life, no flush bit. */
static void answers_ordinary_resolvers(void **state) {
    (void)state;
    uint8_t out[MDNS_WRITTEN_MAX];
    struct mdns_msg m;
    struct mdns_record r = {.name = "host.local", .ttl_s = MDNS_LEGACY_TTL_S, .flush = true};
    struct mdns_question q = {.name = "HOST.local", .type = MDNS_AAAA, .unicast = true};
    r.ip = bk_ipv6((const uint8_t[16]){0xfe, 0x80, [15] = 1});
    size_t len = mdns_write_answer(&r, 0x1234, &q, out);
    assert_int_equal(mdns_parse(&m, out, len), BK_OK);
    assert_int_equal(m.id, 0x1234);
    struct mdns_iter it = mdns_iter(&m);
    assert_true(mdns_next_question(&it, &q));
    assert_string_equal(q.name, "HOST.local");
    assert_int_equal(q.type, MDNS_AAAA);
    assert_false(q.unicast);
    assert_true(mdns_next_record(&it, &r));
    assert_int_equal(r.ip.family, BK_IPV6);
    assert_int_equal(r.ttl_s, MDNS_LEGACY_TTL_S);
    assert_false(r.flush);
}

/* A responder's reply with a service, whose name nobody could mean, before the address, which comes
 * among the additional records. */
static void passes_over_what_is_not_an_address(void **state) {
    (void)state;
    static const uint8_t reply[] = {
        0,    0,   0x84, 0,   0,    1,  0,   1,   0,   0,   0,   1, 10, 'M', 'y', ' ', 'P', 'r',
        'i',  'n', 't',  'e', 'r',  5,  'l', 'o', 'c', 'a', 'l', 0, 0,  255, 0,   1, /* asked for
                                                                                        anything */
        0xc0, 12,  0,    33,  0,    1,  0,   0,   0,   120, 0,   8, 0,  0,   0,   0,   2,   1,
        0xc0, 23, /* SRV */
        3,    'p', 'r',  'n', 0xc0, 23, 0,   1,   0,   1,   0,   0, 0,  9,   0,   4,   10,  0,
        0,    9,
    };
    struct mdns_msg m;
    struct mdns_question q;
    struct mdns_record r;
    assert_int_equal(mdns_parse(&m, reply, sizeof reply), BK_OK);
    struct mdns_iter it = mdns_iter(&m);
    assert_false(mdns_next_question(&it, &q));
    assert_true(mdns_next_record(&it, &r));
    assert_string_equal(r.name, "prn.local");
    assert_int_equal(r.ip.bytes[3], 9);
    assert_false(r.flush);
    assert_false(r.answer);
    assert_false(mdns_next_record(&it, &r));
}

static const struct {
    const char *what;
    enum bk_err err;
    uint8_t bytes[40];
    size_t len;
} broken[] = {
    {"no header", BK_ERR_SHORT, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 11},
    {"an opcode", BK_ERR_NOT_OURS, {0, 0, 0x28}, 12},
    {"a response code", BK_ERR_NOT_OURS, {0, 0, 0x84, 3}, 12},
    {"more questions than bytes", BK_ERR_SHORT, {[5] = 1}, 12},
    {"a label longer than the message", BK_ERR_SHORT, {[5] = 1, [12] = 9, 'a'}, 14},
    {"no end of the name", BK_ERR_SHORT, {[5] = 1, [12] = 1, 'a'}, 14},
    {"a question without its class", BK_ERR_SHORT, {[5] = 1, [12] = 0, 0, 1, 0}, 16},
    {"half a pointer", BK_ERR_SHORT, {[5] = 1, [12] = 0xc0}, 13},
    {"a pointer to itself", BK_ERR_MALFORMED, {[5] = 1, [12] = 0xc0, 12, 0, 1, 0, 1}, 18},
    {"a pointer into its own labels",
     BK_ERR_MALFORMED,
     {[5] = 1, [12] = 1, 'a', 0xc0, 12, 0, 1, 0, 1},
     20},
    {"a pointer ahead", BK_ERR_MALFORMED, {[5] = 1, [12] = 0xc0, 18, 0, 1, 0, 1, 0}, 19},
    {"a pointer into the header", BK_ERR_MALFORMED, {[5] = 1, [12] = 0xc0, 4, 0, 1, 0, 1}, 18},
    {"the label types of RFC 2673", BK_ERR_MALFORMED, {[5] = 1, [12] = 0x41, 0, 0, 1, 0, 1}, 18},
    {"an A record of 3 bytes",
     BK_ERR_MALFORMED,
     {[2] = 0x84, [7] = 1, [12] = 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 3, 1, 2, 3},
     26},
    {"an AAAA record of 4 bytes",
     BK_ERR_MALFORMED,
     {[2] = 0x84, [7] = 1, [12] = 0, 0, 28, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4},
     27},
    {"a record cut short",
     BK_ERR_SHORT,
     {[2] = 0x84, [7] = 1, [12] = 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3},
     26},
};

static void refuses_broken_messages(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct mdns_msg m;
        enum bk_err err = mdns_parse(&m, broken[i].bytes, broken[i].len);
        if (err != broken[i].err)
            fail_msg("%s: %s, not %s", broken[i].what, bk_err_text(err),
                     bk_err_text(broken[i].err));
    }
    uint8_t *big = calloc(1, MDNS_READ_MAX + 1);
    struct mdns_msg m;
    assert_non_null(big);
    assert_int_equal(mdns_parse(&m, big, MDNS_READ_MAX + 1), BK_ERR_TOO_LONG);
    assert_int_equal(mdns_parse(&m, big, MDNS_READ_MAX), BK_OK);
    free(big);
}

/* A name of 255 octets is the longest; one more label by way of a pointer is too much. */
static void names_have_a_limit(void **state) {
    (void)state;
    uint8_t bytes[400] = {[5] = 2};
    struct mdns_msg m;
    struct mdns_question q;
    size_t at = 12;
    for (int i = 0; i < 127; i++, at += 2) {
        bytes[at] = 1;
        bytes[at + 1] = 'a';
    }
    bytes[at] = 0; /* 127 labels: 255 octets */
    bytes[at + 2] = MDNS_A;
    bytes[at + 4] = 1;
    at += 5;
    bytes[at] = 0xc0;
    bytes[at + 1] = 12;
    bytes[at + 3] = MDNS_A;
    bytes[at + 5] = 1;
    assert_int_equal(mdns_parse(&m, bytes, at + 6), BK_OK);
    struct mdns_iter it = mdns_iter(&m);
    assert_true(mdns_next_question(&it, &q) && mdns_next_question(&it, &q));
    assert_int_equal(strlen(q.name), MDNS_NAME_MAX);
    memmove(bytes + at + 2, bytes + at, 6);
    bytes[at] = 1;
    bytes[at + 1] = 'b';
    assert_int_equal(mdns_parse(&m, bytes, at + 8), BK_ERR_MALFORMED);
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    for (size_t len = 0; len < sizeof answer; len++) {
        struct mdns_msg m;
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, answer, len);
        assert_int_equal(mdns_parse(&m, copy, len), BK_ERR_SHORT);
        free(copy);
    }
}

static void names_are_checked_and_compared(void **state) {
    (void)state;
    char longest[300];
    uint8_t out[MDNS_WRITTEN_MAX];
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = i % 64 == 63 ? '.' : 'x';
    longest[MDNS_NAME_MAX] = '\0';
    assert_true(mdns_is_name(longest));
    assert_int_equal(mdns_write_query(longest, false, out), 12 + 255 + 4 + 6);
    longest[MDNS_NAME_MAX] = 'x';
    longest[MDNS_NAME_MAX + 1] = '\0';
    assert_false(mdns_is_name(longest));
    assert_true(mdns_is_name(uuid));
    static const char *const bad[] = {
        "",
        ".",
        "a..b",
        ".a",
        "a.",
        "a b.local",
        "a\n.local",
        "\xc3\xa4.local",
        "x123456789012345678901234567890123456789012345678901234567890123.local",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(mdns_is_name(bad[i]));
        assert_int_equal(mdns_write_query(bad[i], false, out), 0);
    }
    assert_true(mdns_same_name("Host.LOCAL", "hOST.local"));
    assert_false(mdns_same_name("host.local", "host.loca"));
    assert_false(mdns_same_name("host.loca", "host.local"));
    assert_true(mdns_same_name("", ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_query),
        cmocka_unit_test(writes_an_answer),
        cmocka_unit_test(reads_its_query),
        cmocka_unit_test(reads_its_answer),
        cmocka_unit_test(answers_ordinary_resolvers),
        cmocka_unit_test(passes_over_what_is_not_an_address),
        cmocka_unit_test(refuses_broken_messages),
        cmocka_unit_test(names_have_a_limit),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(names_are_checked_and_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
