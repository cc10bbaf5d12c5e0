/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include <base/rng.h>
#include <ctype.h>
#include <peer/identity.h>

static struct identity sample(uint64_t seed) {
    struct rng_seeded seeded;
    struct identity id;
    rng_seed(&seeded, seed);
    struct bk_rng rng = rng_from_seeded(&seeded);
    identity_make(&id, &rng);
    return id;
}

/* RFC 8032 section 7.1, TEST 1. */
static void public_key_is_rfc_8032s(void **state) {
    (void)state;
    static const uint8_t seed[32] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60,
                                     0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
                                     0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19,
                                     0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
    static const uint8_t key[32] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7,
                                    0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
                                    0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25,
                                    0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
    struct identity id;
    identity_from_seed(&id, seed);
    assert_memory_equal(id.key.bytes, key, 32);
}

static void relay_address_follows_from_the_public_key(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct identity id = sample(seed);
        uint8_t relay[32];
        assert_int_equal(peer_key_relay(&id.key, relay), BK_OK);
        assert_memory_equal(relay, id.relay_key, 32);
    }
    struct peer_key nobody = {{0}};
    uint8_t relay[32];
    assert_int_equal(peer_key_relay(&nobody, relay), BK_ERR_MALFORMED);
}

static void key_file_is_read_back(void **state) {
    (void)state;
    char text[IDENTITY_TEXT_MAX + 8] = " \n";
    struct identity id = sample(7), got;
    size_t len = identity_encode(&id, text + 2);
    assert_true(len < IDENTITY_TEXT_MAX);
    assert_int_equal(len, strlen(text + 2));
    assert_int_equal(text[2 + len - 1], '\n');
    assert_int_equal(identity_decode(text, 2 + len, &got), BK_OK);
    assert_memory_equal(&id, &got, sizeof id);
}

static void damaged_key_file_is_noticed(void **state) {
    (void)state;
    char text[IDENTITY_TEXT_MAX];
    struct identity id = sample(7), got;
    size_t len = identity_encode(&id, text);
    for (size_t i = 0; i + 1 < len; i++) {
        char was = text[i];
        text[i] = was == 'a' ? 'b' : 'a';
        assert_int_not_equal(identity_decode(text, len, &got), BK_OK);
        text[i] = was;
        assert_int_not_equal(identity_decode(text, i, &got), BK_OK);
    }
    text[20]++;
    assert_int_equal(identity_decode(text, len, &got), BK_ERR_MALFORMED);
    assert_int_equal(identity_decode("bodkin-secret-key-2 abc", 23, &got), BK_ERR_UNSUPPORTED);
    assert_int_equal(identity_decode("-----BEGIN PRIVATE KEY-----", 27, &got), BK_ERR_NOT_OURS);
    assert_int_equal(identity_decode("", 0, &got), BK_ERR_NOT_OURS);
}

static void peer_key_text_is_read_back(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 50; seed++) {
        struct identity id = sample(seed);
        struct peer_key got;
        char text[PEER_KEY_TEXT_MAX];
        assert_int_equal(strlen(peer_key_format(&id.key, text)), 58);
        assert_int_equal(peer_key_parse(text, 58, &got), BK_OK);
        assert_true(peer_key_equal(&got, &id.key));
        for (int i = 0; i < 58; i++)
            text[i] = (char)toupper((unsigned char)text[i]);
        assert_int_equal(peer_key_parse(text, 58, &got), BK_OK);
    }
}

static void mistyped_peer_keys_have_distinct_errors(void **state) {
    (void)state;
    struct identity id = sample(3);
    struct peer_key got;
    char text[PEER_KEY_TEXT_MAX];
    peer_key_format(&id.key, text);
    assert_int_equal(peer_key_parse(text, 57, &got), BK_ERR_SHORT);
    assert_int_equal(peer_key_parse("", 0, &got), BK_ERR_NOT_OURS);
    assert_int_equal(peer_key_parse("example.org", 11, &got), BK_ERR_NOT_OURS);
    for (int i = 2; i < 58; i++) {
        char was = text[i];
        text[i] = was == 'a' ? 'b' : 'a';
        assert_int_equal(peer_key_parse(text, 58, &got), BK_ERR_MALFORMED);
        text[i] = '0';
        assert_int_equal(peer_key_parse(text, 58, &got), BK_ERR_NOT_OURS);
        text[i] = was;
    }
    strcat(text, "a");
    assert_int_equal(peer_key_parse(text, 59, &got), BK_ERR_TOO_LONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_key_is_rfc_8032s),
        cmocka_unit_test(relay_address_follows_from_the_public_key),
        cmocka_unit_test(key_file_is_read_back),
        cmocka_unit_test(damaged_key_file_is_noticed),
        cmocka_unit_test(peer_key_text_is_read_back),
        cmocka_unit_test(mistyped_peer_keys_have_distinct_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
