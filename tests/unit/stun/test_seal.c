/* SPDX-License-Identifier: MIT
 * MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT: the RFCs' vectors, then our own. */
#include "../test.h"

#include "../../vectors/stun.h"
#include "crypto/hmac.h"
#include "stun/seal.h"

#define PASSWORD RFC5769_PASSWORD
#define PASSWORD_LEN (sizeof RFC5769_PASSWORD - 1)

static struct stun_msg parsed(const uint8_t *data, size_t len) {
    struct stun_msg m;
    assert_int_equal(stun_parse(&m, data, len), BK_OK);
    return m;
}

static void test_short_term_vectors(void **state) {
    (void)state;
    static const struct {
        const uint8_t *data;
        size_t len;
    } cases[] = {
        {rfc5769_request, sizeof rfc5769_request},
        {rfc5769_ipv4_response, sizeof rfc5769_ipv4_response},
        {rfc5769_ipv6_response, sizeof rfc5769_ipv6_response},
    };
    for (size_t i = 0; i < 3; i++) {
        struct stun_msg m = parsed(cases[i].data, cases[i].len);
        assert_int_equal(stun_check_integrity(&m, PASSWORD, PASSWORD_LEN), BK_OK);
        assert_int_equal(stun_check_integrity(&m, PASSWORD, PASSWORD_LEN - 1), BK_ERR_AUTH);
        assert_int_equal(stun_check_fingerprint(&m), BK_OK);
        assert_int_equal(stun_check_integrity_sha256(&m, PASSWORD, PASSWORD_LEN), BK_ERR_NOT_FOUND);
    }
}

/* user:realm:password, RFC 8489 section 9.2.2 */
static const struct crypto_piece long_term[] = {
    {RFC5769_USERNAME ":" RFC5769_REALM ":" RFC5769_LONG_TERM_PASSWORD,
     sizeof RFC5769_USERNAME ":" RFC5769_REALM ":" RFC5769_LONG_TERM_PASSWORD - 1},
};

static void test_long_term_vector(void **state) {
    (void)state;
    uint8_t key[MD5_LEN];
    md5(long_term, 1, key);
    struct stun_msg m = parsed(rfc5769_long_term, sizeof rfc5769_long_term);
    assert_int_equal(stun_check_integrity(&m, key, sizeof key), BK_OK);
    assert_int_equal(stun_check_fingerprint(&m), BK_ERR_NOT_FOUND);
}

static void test_appendix_b1(void **state) {
    (void)state;
    uint8_t key[SHA256_LEN], hash[SHA256_LEN];
    const struct crypto_piece user[] = {
        {RFC5769_USERNAME ":" RFC5769_REALM, sizeof RFC5769_USERNAME ":" RFC5769_REALM - 1}};
    struct wire_span span;
    sha256(long_term, 1, key);
    struct stun_msg m = parsed(rfc8489_b1, sizeof rfc8489_b1);
    assert_int_equal(stun_check_integrity_sha256(&m, key, sizeof key), BK_OK);
    assert_int_equal(stun_get_bytes(&m, STUN_USERHASH, &span), BK_OK);
    sha256(user, 1, hash);
    assert_memory_equal(span.data, hash, SHA256_LEN);
}

/* The vectors that pad with zeros, as we do, come out of the builder byte for byte. */
static void test_builder_reproduces_vectors(void **state) {
    (void)state;
    uint8_t buf[256], key[SHA256_LEN], hash[SHA256_LEN];
    const uint8_t *txid = rfc5769_long_term + 8;
    size_t len;
    md5(long_term, 1, key);
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&b, STUN_USERNAME, RFC5769_USERNAME, sizeof RFC5769_USERNAME - 1);
    stun_put_bytes(&b, STUN_NONCE, RFC5769_NONCE, sizeof RFC5769_NONCE - 1);
    stun_put_bytes(&b, STUN_REALM, RFC5769_REALM, sizeof RFC5769_REALM - 1);
    stun_put_integrity(&b, key, MD5_LEN);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    assert_int_equal(len, sizeof rfc5769_long_term);
    assert_memory_equal(buf, rfc5769_long_term, len);

    const struct crypto_piece user[] = {
        {RFC5769_USERNAME ":" RFC5769_REALM, sizeof RFC5769_USERNAME ":" RFC5769_REALM - 1}};
    const struct stun_algorithms algorithm = {{STUN_ALGORITHM_SHA256}, 1};
    sha256(long_term, 1, key);
    sha256(user, 1, hash);
    b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&b, STUN_USERHASH, hash, sizeof hash);
    stun_put_bytes(&b, STUN_NONCE, RFC8489_B1_NONCE, sizeof RFC8489_B1_NONCE - 1);
    stun_put_bytes(&b, STUN_REALM, RFC5769_REALM, sizeof RFC5769_REALM - 1);
    stun_put_algorithms(&b, STUN_PASSWORD_ALGORITHM, &algorithm);
    stun_put_integrity_sha256(&b, key, sizeof key);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    assert_int_equal(len, sizeof rfc8489_b1);
    assert_memory_equal(buf, rfc8489_b1, len);
}

/* Any flipped bit is noticed by the parser, MESSAGE-INTEGRITY or FINGERPRINT. */
static void test_bit_flips_are_noticed(void **state) {
    (void)state;
    uint8_t copy[sizeof rfc5769_request];
    for (size_t bit = 0; bit < 8 * sizeof copy; bit++) {
        struct stun_msg m;
        memcpy(copy, rfc5769_request, sizeof copy);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (stun_parse(&m, copy, sizeof copy) != BK_OK)
            continue;
        if (stun_check_integrity(&m, PASSWORD, PASSWORD_LEN) == BK_OK &&
            stun_check_fingerprint(&m) == BK_OK)
            fail_msg("bit %zu flipped unnoticed", bit);
    }
}

static size_t sealed(uint8_t *buf, size_t cap) {
    size_t len;
    struct stun_builder b =
        stun_start(buf, cap, STUN_REQUEST, STUN_BINDING, (const uint8_t *)"abcdefghijkl");
    stun_put_bytes(&b, STUN_USERNAME, "user", 4);
    stun_put_integrity(&b, "key", 3);
    stun_put_integrity_sha256(&b, "key", 3);
    stun_put_fingerprint(&b);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    return len;
}

static void test_all_three_together(void **state) {
    (void)state;
    uint8_t buf[128];
    struct stun_msg m = parsed(buf, sealed(buf, sizeof buf));
    assert_int_equal(stun_check_integrity(&m, "key", 3), BK_OK);
    assert_int_equal(stun_check_integrity_sha256(&m, "key", 3), BK_OK);
    assert_int_equal(stun_check_fingerprint(&m), BK_OK);
    assert_int_equal(stun_check_integrity(&m, "kez", 3), BK_ERR_AUTH);
    assert_int_equal(stun_check_integrity_sha256(&m, "kez", 3), BK_ERR_AUTH);
}

/* RFC 8489 section 14.6: an HMAC cut to 16 bytes or more, in steps of four, is valid. */
static void test_truncated_sha256(void **state) {
    (void)state;
    for (size_t mac_len = 12; mac_len <= SHA256_LEN; mac_len++) {
        uint8_t buf[64] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42};
        uint8_t mac[SHA256_LEN];
        size_t padded = (mac_len + 3) & ~(size_t)3;
        size_t len = STUN_HEADER_LEN + 4 + padded;
        struct crypto_piece covered = {buf, STUN_HEADER_LEN};
        struct stun_msg m;
        buf[3] = (uint8_t)(4 + padded);
        buf[21] = STUN_MESSAGE_INTEGRITY_SHA256;
        buf[23] = (uint8_t)mac_len;
        hmac_sha256("key", 3, &covered, 1, mac);
        memcpy(buf + STUN_HEADER_LEN + 4, mac, mac_len);
        enum bk_err err = stun_parse(&m, buf, len);
        if (err == BK_OK)
            err = stun_check_integrity_sha256(&m, "key", 3);
        bool valid = mac_len >= STUN_SHA256_MAC_MIN && mac_len % 4 == 0;
        if ((err == BK_OK) != valid)
            fail_msg("%zu bytes: %s", mac_len, bk_err_text(err));
    }
}

static void test_fingerprint_must_be_last(void **state) {
    (void)state;
    uint8_t buf[160];
    size_t len;
    struct stun_builder b =
        stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, (const uint8_t *)"abcdefghijkl");
    stun_put_fingerprint(&b);
    stun_put_bytes(&b, STUN_SOFTWARE, "late", 4);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    struct stun_msg m = parsed(buf, len);
    assert_int_equal(stun_check_fingerprint(&m), BK_ERR_NOT_OURS);
    assert_false(stun_has(&m, STUN_SOFTWARE));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_term_vectors),
        cmocka_unit_test(test_long_term_vector),
        cmocka_unit_test(test_appendix_b1),
        cmocka_unit_test(test_builder_reproduces_vectors),
        cmocka_unit_test(test_bit_flips_are_noticed),
        cmocka_unit_test(test_all_three_together),
        cmocka_unit_test(test_truncated_sha256),
        cmocka_unit_test(test_fingerprint_must_be_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
