/* SPDX-License-Identifier: MIT
 * Published vectors of every primitive, in one piece and in several. */
#include "../test.h"

#include "crypto/aead.h"
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
    /* At once or byte by byte, whatever the length. */
    uint8_t data[67];
    uint32_t singly = 0;
    for (size_t len = 0; len < sizeof data; len++) {
        data[len] = (uint8_t)(len * 89 + 7);
        singly = crc32(singly, &data[len], 1);
        assert_int_equal(crc32(0, data, len + 1), singly);
    }
}

/* The Galois/Counter Mode of Operation (McGrew and Viega), appendix B, test cases 4 and 16. */
static void test_aes_gcm_vectors(void **state) {
    static const uint8_t key[] = {0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f,
                                  0x94, 0x67, 0x30, 0x83, 0x08, 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65,
                                  0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
    static const uint8_t nonce[] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                                    0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
    static const uint8_t extra[] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                                    0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
    static const uint8_t plain[] = {
        0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26,
        0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31,
        0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49,
        0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39};
    static const struct {
        size_t key_len;
        uint8_t first[4], tag[16];
    } rows[] = {
        {16,
         {0x42, 0x83, 0x1e, 0xc2},
         {0x5b, 0xc9, 0x4f, 0xbc, 0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a,
          0x47}},
        {32,
         {0x52, 0x2d, 0xc1, 0xf0},
         {0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55,
          0x1b}},
    };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct aead a = {key, rows[i].key_len, {nonce, sizeof nonce}, {extra, sizeof extra}};
        uint8_t sealed[sizeof plain + AEAD_TAG_LEN], opened[sizeof plain];
        aead_seal(&a, plain, sizeof plain, sealed);
        assert_memory_equal(sealed, rows[i].first, 4);
        assert_memory_equal(sealed + sizeof plain, rows[i].tag, AEAD_TAG_LEN);
        assert_true(aead_open(&a, sealed, sizeof sealed, opened));
        assert_memory_equal(opened, plain, sizeof plain);
        for (size_t k = 0; k < sizeof sealed; k++) {
            sealed[k] ^= 1;
            assert_false(aead_open(&a, sealed, sizeof sealed, opened));
            sealed[k] ^= 1;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aes_gcm_vectors),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_crc32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
