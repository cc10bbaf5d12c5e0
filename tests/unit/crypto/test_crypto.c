/* SPDX-License-Identifier: MIT
 * Published vectors of every primitive, in one piece and in several. */
#include "../test.h"

#include "crypto/crc32.h"
#include "crypto/hmac.h"

static void hex(const uint8_t *bytes, size_t len, char *out) {
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

static void test_hashes(void **state) {
    (void)state;
    /* RFC 1321 A.5, RFC 3174 and FIPS 180-4: "abc", in two pieces around an empty one */
    const struct crypto_piece abc[] = {{"a", 1}, {"", 0}, {"bc", 2}};
    uint8_t out[SHA256_LEN];
    char text[2 * SHA256_LEN + 1];
    md5(abc, 3, out);
    hex(out, MD5_LEN, text);
    assert_string_equal(text, "900150983cd24fb0d6963f7d28e17f72");
    sha1(abc, 3, out);
    hex(out, SHA1_LEN, text);
    assert_string_equal(text, "a9993e364706816aba3e25717850c26c9cd0d89d");
    sha256(abc, 3, out);
    hex(out, SHA256_LEN, text);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_hmac(void **state) {
    (void)state;
    /* RFC 2202 case 2 and RFC 4231 case 2 */
    const struct crypto_piece data[] = {{"what do ya want ", 16}, {"for nothing?", 12}};
    uint8_t out[SHA256_LEN], long_key[131];
    char text[2 * SHA256_LEN + 1];
    hmac_sha1("Jefe", 4, data, 2, out);
    hex(out, SHA1_LEN, text);
    assert_string_equal(text, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    hmac_sha256("Jefe", 4, data, 2, out);
    hex(out, SHA256_LEN, text);
    assert_string_equal(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    /* RFC 4231 case 6: a key longer than a block */
    const struct crypto_piece six = {"Test Using Larger Than Block-Size Key - Hash Key First", 54};
    memset(long_key, 0xaa, sizeof long_key);
    hmac_sha256(long_key, sizeof long_key, &six, 1, out);
    hex(out, SHA256_LEN, text);
    assert_string_equal(text, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_crc32(void **state) {
    (void)state;
    assert_int_equal(crc32(0, "", 0), 0);
    assert_int_equal(crc32(0, "123456789", 9), 0xcbf43926);
    for (size_t cut = 0; cut <= 9; cut++) {
        uint32_t first = crc32(0, "123456789", cut);
        assert_int_equal(crc32(first, &"123456789"[cut], 9 - cut), 0xcbf43926);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_crc32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
