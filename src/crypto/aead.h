/* SPDX-License-Identifier: MIT
 * AES-GCM (NIST SP 800-38D) with 128 and 256 bits, in one call: what RFC 7635 seals tokens with
 * (as in RFC 5116 sections 5.1 and 5.2), and we mobility tickets. */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "crypto/hash.h"

#include <stdbool.h>

enum { AEAD_TAG_LEN = 16, AEAD_KEY_128 = 16, AEAD_KEY_256 = 32 };

/* A nonce is for one message under one key, ever. */
struct aead {
    const uint8_t *key;
    size_t key_len;                   /* AEAD_KEY_128 or AEAD_KEY_256 */
    struct crypto_piece nonce, extra; /* extra: authenticated, and not part of the message */
};

/* `out`: `len` bytes and the tag. */
void aead_seal(const struct aead *a, const void *plain, size_t len, uint8_t *out);
/* `sealed`: `len` bytes, the tag's included (AEAD_TAG_LEN at least). `out` has room for `len` -
 * AEAD_TAG_LEN. false: it was not sealed with this, and nothing is in `out`. */
bool aead_open(const struct aead *a, const void *sealed, size_t len, uint8_t *out);

#endif
