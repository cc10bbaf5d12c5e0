/* SPDX-License-Identifier: MIT
 * Keys, sealed boxes and signatures on libsodium, the only place that names it.
 *
 * - X25519 keys address peers on the relay. A box is NaCl's crypto_box (X25519, XSalsa20,
 *   Poly1305); on the wire it is a 24-byte nonce, then a 16-byte authenticator, then the text.
 * - Ed25519 keys are identities. The X25519 pair of an identity is derived from it, so one stored
 *   seed is enough.
 *
 * Nothing here allocates or keeps state. Intermediate secrets are wiped before each return. */
#ifndef BOX_BOX_H
#define BOX_BOX_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BOX_KEY_LEN = 32,       /* an X25519 key, public or secret */
    BOX_NONCE_LEN = 24,     /* crypto_box nonce */
    BOX_OVERHEAD = 24 + 16, /* what sealing adds: nonce and authenticator */
    BOX_SEED_LEN = 32,      /* an Ed25519 seed: the stored form of an identity */
    BOX_SIGN_PUBLIC_LEN = 32,
    BOX_SIGN_SECRET_LEN = 64, /* seed, then public key */
    BOX_SIGNATURE_LEN = 64
};

/* The operating system's cryptographic generator. Usable at once and from every thread. */
struct bk_rng box_rng(void);

/* A new X25519 pair; `secret` is clamped (RFC 7748 section 5), as DERP's node keys are. */
void box_keypair(const struct bk_rng *rng, uint8_t public_key[BOX_KEY_LEN],
                 uint8_t secret[BOX_KEY_LEN]);
/* The public half of `secret`. BK_ERR_ARGUMENT: `secret` is no usable key. */
BK_MUST_USE enum bk_err box_public(const uint8_t secret[BOX_KEY_LEN],
                                   uint8_t public_key[BOX_KEY_LEN]);

/* Seals `len` bytes for `peer` under a random nonce. `out` has room for len + BOX_OVERHEAD and may
 * not overlap `plain`. BK_ERR_ARGUMENT: `peer` is a key of low order. */
BK_MUST_USE enum bk_err box_seal(const struct bk_rng *rng, const uint8_t peer[BOX_KEY_LEN],
                                 const uint8_t secret[BOX_KEY_LEN], const uint8_t *plain,
                                 size_t len, uint8_t *out);
/* Opens what box_seal() made; `out` has room for len - BOX_OVERHEAD. BK_ERR_SHORT: `len` is less
 * than BOX_OVERHEAD. BK_ERR_AUTH: not sealed by `peer` for us, or changed on the way. */
BK_MUST_USE enum bk_err box_open(const uint8_t peer[BOX_KEY_LEN], const uint8_t secret[BOX_KEY_LEN],
                                 const uint8_t *sealed, size_t len, uint8_t *out);

/* What both halves of a pair of peers can compute and nobody else: crypto_box's shared key, for
 * keys derived from it. BK_ERR_ARGUMENT: `peer` is a key of low order. */
BK_MUST_USE enum bk_err box_shared(const uint8_t peer[BOX_KEY_LEN],
                                   const uint8_t secret[BOX_KEY_LEN], uint8_t out[BOX_KEY_LEN]);

/* The Ed25519 pair that `seed` stands for (RFC 8032 section 5.1.5). */
void box_sign_keypair(const uint8_t seed[BOX_SEED_LEN], uint8_t public_key[BOX_SIGN_PUBLIC_LEN],
                      uint8_t secret[BOX_SIGN_SECRET_LEN]);
void box_sign(const uint8_t secret[BOX_SIGN_SECRET_LEN], const uint8_t *message, size_t len,
              uint8_t signature[BOX_SIGNATURE_LEN]);
/* BK_ERR_AUTH: `signature` is not `public_key`'s on this message. */
BK_MUST_USE enum bk_err box_verify(const uint8_t public_key[BOX_SIGN_PUBLIC_LEN],
                                   const uint8_t *message, size_t len,
                                   const uint8_t signature[BOX_SIGNATURE_LEN]);

/* The X25519 secret of an Ed25519 identity; box_public() of it equals box_public_of_sign() of the
 * identity's public key. */
void box_secret_of_sign(const uint8_t secret[BOX_SIGN_SECRET_LEN], uint8_t out[BOX_KEY_LEN]);
/* The X25519 public key of an Ed25519 public key. BK_ERR_ARGUMENT: not a point of the curve, or of
 * low order. */
BK_MUST_USE enum bk_err box_public_of_sign(const uint8_t public_key[BOX_SIGN_PUBLIC_LEN],
                                           uint8_t out[BOX_KEY_LEN]);

#endif
