/* SPDX-License-Identifier: MIT
 * The STUN codec: RFC vectors, truncation, what is refused and why, getters, builder. */
#include "../test.h"

#include "../../vectors/stun.h"
#include "base/rng.h"
#include "wire/stun.h"

#define TXID ((const uint8_t *)"abcdefghijkl")

static const struct {
    const char *name;
    const uint8_t *data;
    size_t len;
} vectors[] = {
    {"RFC 5769 2.1", rfc5769_request, sizeof rfc5769_request},
    {"RFC 5769 2.2", rfc5769_ipv4_response, sizeof rfc5769_ipv4_response},
    {"RFC 5769 2.3", rfc5769_ipv6_response, sizeof rfc5769_ipv6_response},
    {"RFC 5769 2.4", rfc5769_long_term, sizeof rfc5769_long_term},
    {"RFC 8489 B.1", rfc8489_b1, sizeof rfc8489_b1},
};
enum { VECTORS = sizeof vectors / sizeof *vectors };

static struct stun_msg parsed(const uint8_t *data, size_t len) {
    struct stun_msg m;
    assert_int_equal(stun_parse(&m, data, len), BK_OK);
    return m;
}

static void assert_span(const struct stun_msg *m, uint16_t type, const char *text) {
    struct wire_span span;
    assert_int_equal(stun_get_bytes(m, type, &span), BK_OK);
    assert_int_equal(span.len, strlen(text));
    assert_memory_equal(span.data, text, span.len);
}

static void test_sample_request(void **state) {
    (void)state;
    struct stun_msg m = parsed(rfc5769_request, sizeof rfc5769_request);
    uint32_t priority;
    uint64_t tie;
    assert_int_equal(m.cls, STUN_REQUEST);
    assert_int_equal(m.method, STUN_BINDING);
    assert_ptr_equal(m.txid, rfc5769_request + 8);
    assert_span(&m, STUN_SOFTWARE, "STUN test client");
    assert_span(&m, STUN_USERNAME, "evtj:h6vY");
    assert_int_equal(stun_get_u32(&m, STUN_PRIORITY, &priority), BK_OK);
    assert_int_equal(priority, 0x6e0001ff);
    assert_int_equal(stun_get_u64(&m, STUN_ICE_CONTROLLED, &tie), BK_OK);
    assert_true(tie == UINT64_C(0x932ff9b151263b36));
    assert_int_equal(stun_get_u64(&m, STUN_ICE_CONTROLLING, &tie), BK_ERR_NOT_FOUND);
    assert_true(m.integrity_at != 0 && m.fingerprint_at == m.len - 8);
    assert_int_equal(m.integrity_sha256_at, 0);
}

static void test_sample_responses(void **state) {
    (void)state;
    static const char *const mapped[] = {
        [1] = "192.0.2.1:32853",
        [2] = "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
    };
    for (size_t i = 1; i <= 2; i++) {
        struct stun_msg m = parsed(vectors[i].data, vectors[i].len);
        struct bk_addr addr;
        char text[BK_ADDR_TEXT_MAX];
        assert_int_equal(m.cls, STUN_SUCCESS);
        assert_int_equal(stun_get_addr(&m, STUN_XOR_MAPPED_ADDRESS, &addr), BK_OK);
        assert_string_equal(bk_addr_format(&addr, text), mapped[i]);
        assert_span(&m, STUN_SOFTWARE, "test vector");
    }
}

static void test_long_term_samples(void **state) {
    (void)state;
    struct stun_msg m = parsed(rfc5769_long_term, sizeof rfc5769_long_term);
    assert_span(&m, STUN_USERNAME, RFC5769_USERNAME);
    assert_span(&m, STUN_REALM, RFC5769_REALM);
    assert_span(&m, STUN_NONCE, RFC5769_NONCE);
    m = parsed(rfc8489_b1, sizeof rfc8489_b1);
    struct stun_algorithms chosen;
    assert_span(&m, STUN_NONCE, RFC8489_B1_NONCE);
    assert_int_equal(stun_get_algorithms(&m, STUN_PASSWORD_ALGORITHM, &chosen), BK_OK);
    assert_int_equal(chosen.list[0], STUN_ALGORITHM_SHA256);
}

/* Each prefix is its own heap block, so that reading one byte too far is caught. */
static void test_every_truncation_is_short(void **state) {
    (void)state;
    for (size_t v = 0; v < VECTORS; v++)
        for (size_t len = 0; len < vectors[v].len; len++) {
            uint8_t *copy = malloc(len + 1);
            struct stun_msg m;
            memcpy(copy + 1, vectors[v].data, len);
            enum bk_err err = stun_parse(&m, copy + 1, len);
            free(copy);
            if (err != BK_ERR_SHORT)
                fail_msg("%s cut to %zu: %s", vectors[v].name, len, bk_err_text(err));
        }
}

/* The same with the header's length made to fit: attributes cut in the middle. */
static void test_attributes_cut_short_are_malformed(void **state) {
    (void)state;
    for (size_t v = 0; v < VECTORS; v++) {
        size_t whole = 0;
        for (size_t len = STUN_HEADER_LEN; len < vectors[v].len; len += 4) {
            uint8_t *copy = malloc(len);
            struct stun_msg m;
            memcpy(copy, vectors[v].data, len);
            copy[2] = (uint8_t)((len - STUN_HEADER_LEN) >> 8);
            copy[3] = (uint8_t)(len - STUN_HEADER_LEN);
            enum bk_err err = stun_parse(&m, copy, len);
            whole += err == BK_OK; /* cut between two attributes */
            if (err != BK_OK && err != BK_ERR_MALFORMED)
                fail_msg("%s cut to %zu: %s", vectors[v].name, len, bk_err_text(err));
            free(copy);
        }
        struct stun_msg m = parsed(vectors[v].data, vectors[v].len);
        struct stun_iter it = stun_attrs(&m);
        struct stun_attr a;
        while (stun_next_attr(&it, &a))
            whole--;
        assert_int_equal(whole, 0);
    }
}

static void test_refusals_are_distinct(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum bk_err err;
        uint8_t len;
        uint8_t data[32];
    } cases[] = {
        {"empty", BK_ERR_SHORT, 0, {0}},
        {"no attributes", BK_OK, 20, {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}},
        {"RTP", BK_ERR_NOT_OURS, 20, {0x80, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}},
        {"channel data", BK_ERR_NOT_OURS, 4, {0x40, 0, 0, 0}},
        {"RFC 3489, no cookie", BK_ERR_NOT_OURS, 20, {0, 1, 0, 0, 1, 2, 3, 4}},
        {"a byte of the cookie wrong", BK_ERR_NOT_OURS, 20, {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x43}},
        {"longer than it says", BK_ERR_MALFORMED, 24, {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}},
        {"shorter than it says", BK_ERR_SHORT, 20, {0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42}},
        {"length not of four", BK_ERR_MALFORMED, 22, {0, 1, 0, 2, 0x21, 0x12, 0xa4, 0x42}},
        {"attribute past the end",
         BK_ERR_MALFORMED,
         24,
         {0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, [20] = 0x80, 0x22, 0, 1}},
        {"USE-CANDIDATE with a value",
         BK_ERR_MALFORMED,
         28,
         {0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, [20] = 0, 0x25, 0, 4}},
        {"unknown attribute", BK_OK, 24, {0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, [20] = 0x7f, 0xff}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stun_msg m;
        enum bk_err err = stun_parse(&m, cases[i].data, cases[i].len);
        if (err != cases[i].err)
            fail_msg("%s: %s", cases[i].name, bk_err_text(err));
    }
}

/* RFC 8489 section 5, figure 3: all methods and classes go through. */
static void test_type_bits(void **state) {
    (void)state;
    for (unsigned method = 0; method < 0x1000; method++)
        for (unsigned cls = 0; cls < 4; cls++) {
            uint8_t buf[STUN_HEADER_LEN];
            size_t len;
            struct stun_builder b =
                stun_start(buf, sizeof buf, (enum stun_class)cls, (uint16_t)method, TXID);
            assert_int_equal(stun_finish(&b, &len), BK_OK);
            struct stun_msg m = parsed(buf, len);
            assert_int_equal(m.method, method);
            assert_int_equal(m.cls, cls);
        }
    assert_int_equal(rfc5769_ipv4_response[0] << 8 | rfc5769_ipv4_response[1], 0x0101);
}

static void test_what_follows_integrity_is_hidden(void **state) {
    (void)state;
    uint8_t buf[256];
    const uint8_t mac[32] = {0};
    size_t len;
    struct stun_attr a;
    struct stun_types unknown;
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, TXID);
    stun_put_bytes(&b, STUN_USERNAME, "first", 5);
    stun_put_bytes(&b, STUN_USERNAME, "second", 6);
    stun_put_bytes(&b, STUN_MESSAGE_INTEGRITY, mac, 20);
    stun_put_bytes(&b, STUN_REALM, "late", 4);
    stun_put_bytes(&b, 0x7fff, "late", 4);
    stun_put_bytes(&b, STUN_MESSAGE_INTEGRITY_SHA256, mac, 32);
    stun_put_bytes(&b, STUN_MESSAGE_INTEGRITY, mac, 20);
    stun_put_bytes(&b, STUN_NONCE, "late", 4);
    stun_put_u32(&b, STUN_FINGERPRINT, 0);
    stun_put_bytes(&b, STUN_SOFTWARE, "late", 4);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    struct stun_msg m = parsed(buf, len);
    static const uint16_t seen[] = {STUN_USERNAME, STUN_USERNAME, STUN_MESSAGE_INTEGRITY,
                                    STUN_MESSAGE_INTEGRITY_SHA256, STUN_FINGERPRINT};
    struct stun_iter it = stun_attrs(&m);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        assert_true(stun_next_attr(&it, &a));
        assert_int_equal(a.type, seen[i]);
    }
    assert_false(stun_next_attr(&it, &a));
    assert_span(&m, STUN_USERNAME, "first");
    stun_unknown_required(&m, STUN_USE_BASE, &unknown);
    assert_int_equal(unknown.count, 0);
}

static void test_unknown_required(void **state) {
    (void)state;
    uint8_t buf[256];
    size_t len;
    struct stun_types unknown;
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, TXID);
    stun_put_bytes(&b, STUN_USERNAME, "u", 1);
    stun_put_u32(&b, STUN_PRIORITY, 1);
    stun_put_bytes(&b, 0x7fff, "", 0);
    stun_put_bytes(&b, 0x7fff, "", 0);
    stun_put_bytes(&b, 0x80ff, "", 0);
    stun_put_u32(&b, STUN_CHANGE_REQUEST, 0);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    struct stun_msg m = parsed(buf, len);
    stun_unknown_required(&m, STUN_USE_BASE, &unknown);
    assert_int_equal(unknown.count, 3);
    assert_int_equal(unknown.types[0], STUN_PRIORITY);
    assert_int_equal(unknown.types[1], 0x7fff);
    assert_int_equal(unknown.types[2], STUN_CHANGE_REQUEST);
    stun_unknown_required(&m, STUN_USE_BASE | STUN_USE_ICE | STUN_USE_DISCOVERY, &unknown);
    assert_int_equal(unknown.count, 1);
    /* A flood of them is told in part and never overruns. */
    b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, TXID);
    for (uint16_t i = 0; i < 50; i++)
        stun_put_bytes(&b, (uint16_t)(0x7000 + i), "", 0);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    m = parsed(buf, len);
    stun_unknown_required(&m, STUN_USE_BASE, &unknown);
    assert_int_equal(unknown.count, STUN_UNKNOWN_MAX);
}

/* RFC 5780 section 7.5: 16 bits, and two bytes that mean nothing and may be missing. */
static void test_ports(void **state) {
    (void)state;
    static const struct {
        uint8_t value[6];
        size_t len;
        enum bk_err want;
    } rows[] = {
        {{0x0d, 0x96, 0, 0}, 4, BK_OK},
        {{0x0d, 0x96, 0xff, 0xff}, 4, BK_OK},
        {{0x0d, 0x96}, 2, BK_OK},
        {{0x0d, 0x96, 0}, 3, BK_OK},
    };
    static const uint16_t types[] = {STUN_RESPONSE_PORT, STUN_OTHER_PORT};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t t = 0; t < 2; t++) {
            uint8_t buf[64];
            size_t len;
            uint16_t port = 0;
            struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, TXID);
            stun_put_bytes(&b, types[t], rows[i].value, rows[i].len);
            assert_int_equal(stun_finish(&b, &len), BK_OK);
            struct stun_msg m = parsed(buf, len);
            assert_int_equal(stun_get_port(&m, types[t], &port), rows[i].want);
            assert_int_equal(port, 3478);
        }
    uint8_t buf[64];
    size_t len;
    uint16_t port = 0;
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, TXID);
    stun_put_port(&b, STUN_RESPONSE_PORT, 65535);
    stun_put_bytes(&b, 0x7001, rows[0].value, 6);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    struct stun_msg m = parsed(buf, len);
    assert_int_equal(stun_get_port(&m, STUN_RESPONSE_PORT, &port), BK_OK);
    assert_int_equal(port, 65535);
    assert_int_equal(stun_get_port(&m, STUN_OTHER_PORT, &port), BK_ERR_NOT_FOUND);
    assert_int_equal(stun_get_port(&m, 0x7001, &port), BK_ERR_MALFORMED);
    assert_int_equal(port, 65535);
}

static void test_addresses_round_trip(void **state) {
    (void)state;
    static const char *const texts[] = {"192.0.2.1:1", "0.0.0.0:0", "255.255.255.255:65535",
                                        "[2001:db8::1]:3478", "[::]:0"};
    static const uint16_t types[] = {STUN_MAPPED_ADDRESS, STUN_XOR_MAPPED_ADDRESS,
                                     STUN_ALTERNATE_SERVER, STUN_OTHER_ADDRESS};
    for (size_t i = 0; i < 5; i++)
        for (size_t t = 0; t < 4; t++) {
            uint8_t buf[64];
            size_t len;
            struct bk_addr in, out;
            assert_int_equal(bk_addr_parse(texts[i], &in), BK_OK);
            struct stun_builder b = stun_start(buf, sizeof buf, STUN_SUCCESS, STUN_BINDING, TXID);
            stun_put_addr(&b, types[t], &in);
            assert_int_equal(stun_finish(&b, &len), BK_OK);
            struct stun_msg m = parsed(buf, len);
            assert_int_equal(stun_get_addr(&m, types[t], &out), BK_OK);
            assert_true(bk_addr_equal(&in, &out));
        }
}

static void test_bad_addresses_are_malformed(void **state) {
    (void)state;
    static const struct {
        size_t len;
        uint8_t value[20];
    } cases[] = {
        {8, {0, 0, 0, 1}}, {8, {0, 3, 0, 1}}, {8, {0, 2, 0, 1}}, {20, {0, 1, 0, 1}}, {12, {0, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t buf[64] = {1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
        struct bk_addr addr;
        buf[3] = (uint8_t)(4 + cases[i].len);
        buf[21] = 0x20;
        buf[23] = (uint8_t)cases[i].len;
        memcpy(buf + 24, cases[i].value, cases[i].len);
        struct stun_msg m = parsed(buf, 24 + cases[i].len);
        assert_int_equal(stun_get_addr(&m, STUN_XOR_MAPPED_ADDRESS, &addr), BK_ERR_MALFORMED);
        assert_int_equal(stun_get_addr(&m, STUN_MAPPED_ADDRESS, &addr), BK_ERR_NOT_FOUND);
    }
}

static void test_error_codes(void **state) {
    (void)state;
    uint8_t buf[64];
    size_t len;
    uint16_t code;
    struct wire_span reason;
    for (uint16_t want = 300; want <= 699; want++) {
        struct stun_builder b = stun_start(buf, sizeof buf, STUN_ERROR, STUN_BINDING, TXID);
        stun_put_error(&b, want, "Why");
        assert_int_equal(stun_finish(&b, &len), BK_OK);
        struct stun_msg m = parsed(buf, len);
        assert_int_equal(stun_get_error(&m, &code, &reason), BK_OK);
        assert_int_equal(code, want);
        assert_int_equal(reason.len, 3);
        assert_memory_equal(reason.data, "Why", 3);
    }
    static const uint8_t bad[][2] = {{2, 0}, {7, 0}, {4, 100}, {0, 0}};
    for (size_t i = 0; i < 4; i++) {
        buf[26] = bad[i][0];
        buf[27] = bad[i][1];
        struct stun_msg m = parsed(buf, len);
        assert_int_equal(stun_get_error(&m, &code, NULL), BK_ERR_MALFORMED);
    }
}

static void test_lists(void **state) {
    (void)state;
    uint8_t buf[128];
    size_t len;
    const struct stun_types types = {{0x7001, 0x7002, 0x7003}, 3};
    const struct stun_algorithms list = {{STUN_ALGORITHM_SHA256, STUN_ALGORITHM_MD5, 9}, 3};
    struct stun_types types_out;
    struct stun_algorithms list_out;
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_ERROR, STUN_BINDING, TXID);
    stun_put_unknown(&b, &types);
    stun_put_algorithms(&b, STUN_PASSWORD_ALGORITHMS, &list);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    struct stun_msg m = parsed(buf, len);
    assert_int_equal(stun_get_unknown(&m, &types_out), BK_OK);
    assert_int_equal(types_out.count, 3);
    assert_memory_equal(types_out.types, types.types, 3 * sizeof types.types[0]);
    assert_int_equal(stun_get_algorithms(&m, STUN_PASSWORD_ALGORITHMS, &list_out), BK_OK);
    assert_int_equal(list_out.count, 3);
    assert_int_equal(list_out.list[2], 9);
    assert_int_equal(stun_get_algorithms(&m, STUN_PASSWORD_ALGORITHM, &list_out), BK_ERR_NOT_FOUND);
}

/* RFC 8489 section 14.11: parameters are skipped with their padding, and may not run past the end.
 */
static void test_algorithm_parameters(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum bk_err err;
        size_t count, len;
        uint8_t value[16];
    } cases[] = {
        {"one with a parameter of 3", BK_OK, 2, 12, {0, 9, 0, 3, 1, 2, 3, 0, 0, 2, 0, 0}},
        {"the last unpadded", BK_OK, 1, 7, {0, 9, 0, 3, 1, 2, 3}},
        {"cut in the parameter", BK_ERR_MALFORMED, 0, 6, {0, 9, 0, 3, 1, 2}},
        {"cut in the header", BK_ERR_MALFORMED, 0, 6, {0, 2, 0, 0, 0, 1}},
        {"more than we read", BK_OK, STUN_ALGORITHMS_MAX, 0, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t buf[128], many[40] = {0};
        struct stun_algorithms out;
        bool flood = cases[i].len == 0;
        size_t len;
        struct stun_builder b = stun_start(buf, sizeof buf, STUN_ERROR, STUN_BINDING, TXID);
        size_t value_len = flood ? sizeof many : cases[i].len;
        uint8_t *room = stun_put_room(&b, STUN_PASSWORD_ALGORITHMS, value_len);
        assert_non_null(room);
        memcpy(room, flood ? many : cases[i].value, value_len);
        assert_int_equal(stun_finish(&b, &len), BK_OK);
        struct stun_msg m = parsed(buf, len);
        enum bk_err err = stun_get_algorithms(&m, STUN_PASSWORD_ALGORITHMS, &out);
        if (err != cases[i].err || (err == BK_OK && out.count != cases[i].count))
            fail_msg("%s: %s", cases[i].name, bk_err_text(err));
    }
}

static size_t build_everything(uint8_t *buf, size_t cap, enum bk_err *err) {
    struct bk_addr addr = bk_addr(bk_ipv4(192, 0, 2, 7), 9);
    size_t len = 0;
    struct stun_builder b = stun_start(buf, cap, STUN_REQUEST, STUN_BINDING, TXID);
    stun_put_bytes(&b, STUN_USERNAME, "abc", 3);
    stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &addr);
    stun_put_error(&b, 420, "x");
    stun_put_u64(&b, STUN_ICE_CONTROLLING, 1);
    stun_put_flag(&b, STUN_USE_CANDIDATE);
    *err = stun_finish(&b, &len);
    return len;
}

static void test_builder_overflow_sticks(void **state) {
    (void)state;
    uint8_t whole[128];
    enum bk_err err;
    size_t full = build_everything(whole, sizeof whole, &err);
    assert_int_equal(err, BK_OK);
    for (size_t cap = 0; cap <= full; cap++) {
        uint8_t *buf = malloc(cap + 1); /* exactly cap bytes: an overrun is caught */
        (void)build_everything(buf + 1, cap, &err);
        assert_int_equal(err, cap == full ? BK_OK : BK_ERR_TOO_LONG);
        free(buf);
    }
}

static void test_builder_refuses_bad_values(void **state) {
    (void)state;
    static const uint8_t big[1024];
    const struct bk_addr none = {.port = 1};
    uint8_t buf[2048];
    size_t len;
    for (int i = 0; i < 8; i++) {
        struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, TXID);
        switch (i) {
        case 0:
            stun_put_bytes(&b, STUN_USERNAME, big, 514);
            break;
        case 1:
            stun_put_bytes(&b, STUN_MESSAGE_INTEGRITY, big, 19);
            break;
        case 2:
            stun_put_u32(&b, STUN_ICE_CONTROLLED, 1);
            break;
        case 3:
            stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &none);
            break;
        case 4:
            stun_put_addr(&b, STUN_REALM, &none);
            break;
        case 5:
            stun_put_error(&b, 200, NULL);
            break;
        case 6:
            stun_put_flag(&b, STUN_PRIORITY);
            break;
        default:
            stun_put_u64(&b, STUN_PRIORITY, 1);
        }
        if (stun_finish(&b, &len) != BK_ERR_ARGUMENT)
            fail_msg("case %d was accepted", i);
    }
}

static void test_padding_is_zero_and_ignored(void **state) {
    (void)state;
    for (size_t n = 0; n < 9; n++) {
        uint8_t buf[64];
        size_t len;
        memset(buf, 0xee, sizeof buf);
        struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, TXID);
        stun_put_bytes(&b, STUN_SOFTWARE, "12345678", n);
        assert_int_equal(stun_finish(&b, &len), BK_OK);
        assert_int_equal(len, 24 + (n + 3) / 4 * 4);
        for (size_t i = 24 + n; i < len; i++) {
            assert_int_equal(buf[i], 0);
            buf[i] = 0xff;
        }
        struct stun_msg m = parsed(buf, len);
        struct wire_span span;
        assert_int_equal(stun_get_bytes(&m, STUN_SOFTWARE, &span), BK_OK);
        assert_int_equal(span.len, n);
    }
}

static void test_names(void **state) {
    (void)state;
    assert_string_equal(stun_attr_name(STUN_MAPPED_ADDRESS), "MAPPED-ADDRESS");
    assert_string_equal(stun_attr_name(STUN_USE_CANDIDATE), "USE-CANDIDATE");
    assert_string_equal(stun_attr_name(STUN_OTHER_ADDRESS), "OTHER-ADDRESS");
    assert_string_equal(stun_attr_name(0), "unknown");
    assert_string_equal(stun_attr_name(0xffff), "unknown");
}

/* Random bytes behind a right header: whatever comes out, getters stay inside (ASan watches). */
static void test_random_bodies(void **state) {
    (void)state;
    struct rng_seeded seed;
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    size_t whole = 0;
    for (int i = 0; i < 20000; i++) {
        size_t body = 4 * (size_t)rng_below(&rng, 12);
        uint8_t *buf = malloc(STUN_HEADER_LEN + body);
        rng_fill(&rng, buf, STUN_HEADER_LEN + body);
        for (size_t at = STUN_HEADER_LEN; at < STUN_HEADER_LEN + body; at += 8) {
            buf[at] = (uint8_t)(rng_below(&rng, 2) * 0x80);
            buf[at + 1] &= 0x2f;
            buf[at + 2] = 0;
            buf[at + 3] &= 0x07;
        }
        static const uint8_t head[] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
        memcpy(buf, head, sizeof head);
        buf[3] = (uint8_t)body;
        struct stun_msg m;
        if (stun_parse(&m, buf, STUN_HEADER_LEN + body) == BK_OK) {
            struct bk_addr addr;
            uint16_t code;
            struct stun_types types;
            struct stun_algorithms list;
            (void)!stun_get_addr(&m, STUN_XOR_MAPPED_ADDRESS, &addr);
            (void)!stun_get_error(&m, &code, NULL);
            (void)!stun_get_unknown(&m, &types);
            (void)!stun_get_algorithms(&m, STUN_PASSWORD_ALGORITHMS, &list);
            whole++;
        }
        free(buf);
    }
    assert_true(whole > 1000); /* the test does reach the getters */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_request),
        cmocka_unit_test(test_sample_responses),
        cmocka_unit_test(test_long_term_samples),
        cmocka_unit_test(test_every_truncation_is_short),
        cmocka_unit_test(test_attributes_cut_short_are_malformed),
        cmocka_unit_test(test_refusals_are_distinct),
        cmocka_unit_test(test_type_bits),
        cmocka_unit_test(test_what_follows_integrity_is_hidden),
        cmocka_unit_test(test_unknown_required),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_addresses_round_trip),
        cmocka_unit_test(test_bad_addresses_are_malformed),
        cmocka_unit_test(test_error_codes),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_algorithm_parameters),
        cmocka_unit_test(test_builder_overflow_sticks),
        cmocka_unit_test(test_builder_refuses_bad_values),
        cmocka_unit_test(test_padding_is_zero_and_ignored),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_random_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
