/* SPDX-License-Identifier: MIT */
#include "crypto/hmac.h"

#include "base/wipe.h"

#include <nettle/hmac.h>

void hmac_sha1(const void *key, size_t key_len, const struct crypto_piece *pieces, size_t count,
               uint8_t out[SHA1_LEN]) {
    struct hmac_sha1_ctx ctx;
    hmac_sha1_set_key(&ctx, key_len, key);
    for (size_t i = 0; i < count; i++)
        hmac_sha1_update(&ctx, pieces[i].len, pieces[i].data);
    hmac_sha1_digest(&ctx, SHA1_LEN, out);
    wipe(&ctx, sizeof ctx); /* its state is as good as the key */
}

void hmac_sha256(const void *key, size_t key_len, const struct crypto_piece *pieces, size_t count,
                 uint8_t out[SHA256_LEN]) {
    struct hmac_sha256_ctx ctx;
    hmac_sha256_set_key(&ctx, key_len, key);
    for (size_t i = 0; i < count; i++)
        hmac_sha256_update(&ctx, pieces[i].len, pieces[i].data);
    hmac_sha256_digest(&ctx, SHA256_LEN, out);
    wipe(&ctx, sizeof ctx);
}
