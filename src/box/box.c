/* SPDX-License-Identifier: MIT */
#include "box/box.h"

#include "base/assert.h"
#include "base/rng.h"
#include <sodium.h>

static void system_fill(void *ctx, void *out, size_t len) {
    (void)ctx;
    randombytes_buf(out, len);
}

struct bk_rng box_rng(void) {
    /* Opens the random device before a program locks itself down; harmless when repeated. */
    bk_assert(sodium_init() >= 0);
    struct bk_rng rng = {system_fill, NULL};
    return rng;
}

void box_keypair(const struct bk_rng *rng, uint8_t public_key[BOX_KEY_LEN],
                 uint8_t secret[BOX_KEY_LEN]) {
    rng_fill(rng, secret, BOX_KEY_LEN);
    secret[0] &= 248;
    secret[31] = (uint8_t)((secret[31] & 127) | 64);
    /* Fails for no secret: the base point has prime order, so the result is never zero. */
    bk_assert(crypto_scalarmult_base(public_key, secret) == 0);
}

enum bk_err box_public(const uint8_t secret[BOX_KEY_LEN], uint8_t public_key[BOX_KEY_LEN]) {
    if (sodium_is_zero(secret, BOX_KEY_LEN) != 0)
        return BK_ERR_ARGUMENT;
    bk_assert(crypto_scalarmult_base(public_key, secret) == 0);
    return BK_OK;
}

enum bk_err box_seal(const struct bk_rng *rng, const uint8_t peer[BOX_KEY_LEN],
                     const uint8_t secret[BOX_KEY_LEN], const uint8_t *plain, size_t len,
                     uint8_t *out) {
    uint8_t nonce[BOX_NONCE_LEN];
    rng_fill(rng, nonce, sizeof nonce);
    if (crypto_box_easy(out + BOX_NONCE_LEN, plain, len, nonce, peer, secret) != 0)
        return BK_ERR_ARGUMENT;
    for (size_t i = 0; i < BOX_NONCE_LEN; i++)
        out[i] = nonce[i];
    return BK_OK;
}

enum bk_err box_open(const uint8_t peer[BOX_KEY_LEN], const uint8_t secret[BOX_KEY_LEN],
                     const uint8_t *sealed, size_t len, uint8_t *out) {
    if (len < BOX_OVERHEAD)
        return BK_ERR_SHORT;
    if (crypto_box_open_easy(out, sealed + BOX_NONCE_LEN, len - BOX_NONCE_LEN, sealed, peer,
                             secret) != 0)
        return BK_ERR_AUTH;
    return BK_OK;
}

enum bk_err box_shared(const uint8_t peer[BOX_KEY_LEN], const uint8_t secret[BOX_KEY_LEN],
                       uint8_t out[BOX_KEY_LEN]) {
    return crypto_box_beforenm(out, peer, secret) == 0 ? BK_OK : BK_ERR_ARGUMENT;
}

void box_sign_keypair(const uint8_t seed[BOX_SEED_LEN], uint8_t public_key[BOX_SIGN_PUBLIC_LEN],
                      uint8_t secret[BOX_SIGN_SECRET_LEN]) {
    bk_assert(crypto_sign_seed_keypair(public_key, secret, seed) == 0);
}

void box_sign(const uint8_t secret[BOX_SIGN_SECRET_LEN], const uint8_t *message, size_t len,
              uint8_t signature[BOX_SIGNATURE_LEN]) {
    bk_assert(crypto_sign_detached(signature, NULL, message, len, secret) == 0);
}

enum bk_err box_verify(const uint8_t public_key[BOX_SIGN_PUBLIC_LEN], const uint8_t *message,
                       size_t len, const uint8_t signature[BOX_SIGNATURE_LEN]) {
    return crypto_sign_verify_detached(signature, message, len, public_key) == 0 ? BK_OK
                                                                                 : BK_ERR_AUTH;
}

void box_secret_of_sign(const uint8_t secret[BOX_SIGN_SECRET_LEN], uint8_t out[BOX_KEY_LEN]) {
    bk_assert(crypto_sign_ed25519_sk_to_curve25519(out, secret) == 0);
}

enum bk_err box_public_of_sign(const uint8_t public_key[BOX_SIGN_PUBLIC_LEN],
                               uint8_t out[BOX_KEY_LEN]) {
    uint8_t made[BOX_KEY_LEN];
    if (crypto_sign_ed25519_pk_to_curve25519(made, public_key) != 0)
        return BK_ERR_ARGUMENT;
    for (size_t i = 0; i < BOX_KEY_LEN; i++)
        out[i] = made[i];
    return BK_OK;
}
