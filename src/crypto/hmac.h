/* SPDX-License-Identifier: MIT
 * HMAC (RFC 2104) with SHA-1 and SHA-256 over pieces. Compare results with equal_secret(). */
#ifndef CRYPTO_HMAC_H
#define CRYPTO_HMAC_H

#include "crypto/hash.h"

void hmac_sha1(const void *key, size_t key_len, const struct crypto_piece *pieces, size_t count,
               uint8_t out[SHA1_LEN]);
void hmac_sha256(const void *key, size_t key_len, const struct crypto_piece *pieces, size_t count,
                 uint8_t out[SHA256_LEN]);

#endif
