/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "base/rng.h"
#include "box/box.h"

/* RFC 7748 section 6.1. */
static const uint8_t alice_secret[32] = {
    0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
    0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
static const uint8_t alice_public[32] = {
    0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a,
    0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a};
/* RFC 8032 section 7.1, test 2: one byte, 0x72. */
static const uint8_t seed[32] = {0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3,
                                 0x46, 0xec, 0x11, 0x4e, 0x0f, 0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab,
                                 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb};
static const uint8_t sign_public[32] = {
    0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a, 0xa7, 0x4d, 0x1b, 0x7e, 0xbc,
    0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4, 0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4, 0x66, 0x0c};
static const uint8_t signature_head[8] = {0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8};

static void public_key_of_rfc_7748(void **state) {
    (void)state;
    uint8_t key[32];
    const uint8_t zero[32] = {0};
    assert_int_equal(box_public(alice_secret, key), BK_OK);
    assert_memory_equal(key, alice_public, 32);
    assert_int_equal(box_public(zero, key), BK_ERR_ARGUMENT);
}

static void a_new_pair_is_clamped_and_fits(void **state) {
    (void)state;
    struct bk_rng rng = box_rng();
    uint8_t key[32], secret[32], again[32];
    box_keypair(&rng, key, secret);
    assert_int_equal(secret[0] & 7, 0);
    assert_int_equal(secret[31] & 0xc0, 0x40);
    assert_int_equal(box_public(secret, again), BK_OK);
    assert_memory_equal(key, again, 32);
}

static void a_box_opens_for_its_receiver_only(void **state) {
    (void)state;
    struct bk_rng rng = box_rng();
    uint8_t pub[3][32], secret[3][32];
    uint8_t sealed[5 + BOX_OVERHEAD], plain[5];
    for (int i = 0; i < 3; i++)
        box_keypair(&rng, pub[i], secret[i]);
    assert_int_equal(box_seal(&rng, pub[1], secret[0], (const uint8_t *)"hello", 5, sealed), BK_OK);
    assert_int_equal(box_open(pub[0], secret[1], sealed, sizeof sealed, plain), BK_OK);
    assert_memory_equal(plain, "hello", 5);
    assert_int_equal(box_open(pub[0], secret[2], sealed, sizeof sealed, plain), BK_ERR_AUTH);
    assert_int_equal(box_open(pub[2], secret[1], sealed, sizeof sealed, plain), BK_ERR_AUTH);
    for (size_t len = 0; len < sizeof sealed; len++)
        assert_int_equal(box_open(pub[0], secret[1], sealed, len, plain),
                         len < BOX_OVERHEAD ? BK_ERR_SHORT : BK_ERR_AUTH);
    for (size_t i = 0; i < sizeof sealed; i++) {
        sealed[i] ^= 1;
        assert_int_equal(box_open(pub[0], secret[1], sealed, sizeof sealed, plain), BK_ERR_AUTH);
        sealed[i] ^= 1;
    }
    const uint8_t low_order[32] = {1};
    assert_int_equal(box_seal(&rng, low_order, secret[0], plain, 5, sealed), BK_ERR_ARGUMENT);
}

static void signatures_of_rfc_8032(void **state) {
    (void)state;
    uint8_t key[32], secret[64], signature[64];
    const uint8_t message = 0x72;
    box_sign_keypair(seed, key, secret);
    assert_memory_equal(key, sign_public, 32);
    box_sign(secret, &message, 1, signature);
    assert_memory_equal(signature, signature_head, sizeof signature_head);
    assert_int_equal(box_verify(key, &message, 1, signature), BK_OK);
    assert_int_equal(box_verify(key, &message, 0, signature), BK_ERR_AUTH);
    signature[63] ^= 1;
    assert_int_equal(box_verify(key, &message, 1, signature), BK_ERR_AUTH);
}

static void an_identity_has_one_relay_key(void **state) {
    (void)state;
    uint8_t key[32], secret[64], x_secret[32], from_secret[32], from_public[32];
    box_sign_keypair(seed, key, secret);
    box_secret_of_sign(secret, x_secret);
    assert_int_equal(box_public(x_secret, from_secret), BK_OK);
    assert_int_equal(box_public_of_sign(key, from_public), BK_OK);
    assert_memory_equal(from_secret, from_public, 32);
    const uint8_t identity_point[32] = {1}; /* of order 1 */
    assert_int_equal(box_public_of_sign(identity_point, from_public), BK_ERR_ARGUMENT);
}

static void both_halves_share_one_key(void **state) {
    (void)state;
    struct bk_rng rng = box_rng();
    uint8_t pub[3][32], secret[3][32], a[32], b[32], c[32];
    const uint8_t low_order[32] = {0};
    for (int i = 0; i < 3; i++)
        box_keypair(&rng, pub[i], secret[i]);
    assert_int_equal(box_shared(pub[1], secret[0], a), BK_OK);
    assert_int_equal(box_shared(pub[0], secret[1], b), BK_OK);
    assert_int_equal(box_shared(pub[2], secret[0], c), BK_OK);
    assert_memory_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
    assert_int_equal(box_shared(low_order, secret[0], a), BK_ERR_ARGUMENT);
}

static void a_seeded_generator_gives_the_same_box(void **state) {
    (void)state;
    uint8_t a[BOX_OVERHEAD + 1], b[BOX_OVERHEAD + 1];
    for (int i = 0; i < 2; i++) {
        struct rng_seeded seeded;
        rng_seed(&seeded, 5);
        struct bk_rng rng = rng_from_seeded(&seeded);
        assert_int_equal(
            box_seal(&rng, alice_public, alice_secret, (const uint8_t *)"x", 1, i == 0 ? a : b),
            BK_OK);
    }
    assert_memory_equal(a, b, sizeof a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_key_of_rfc_7748),
        cmocka_unit_test(a_new_pair_is_clamped_and_fits),
        cmocka_unit_test(a_box_opens_for_its_receiver_only),
        cmocka_unit_test(signatures_of_rfc_8032),
        cmocka_unit_test(an_identity_has_one_relay_key),
        cmocka_unit_test(both_halves_share_one_key),
        cmocka_unit_test(a_seeded_generator_gives_the_same_box),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
