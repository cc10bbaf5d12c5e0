/* SPDX-License-Identifier: MIT */
#include "crypto/hash.h"

#include <nettle/md5.h>
#include <nettle/sha1.h>
#include <nettle/sha2.h>

void md5(const struct crypto_piece *pieces, size_t count, uint8_t out[MD5_LEN]) {
    struct md5_ctx ctx;
    md5_init(&ctx);
    for (size_t i = 0; i < count; i++)
        md5_update(&ctx, pieces[i].len, pieces[i].data);
    md5_digest(&ctx, MD5_LEN, out);
}

void sha1(const struct crypto_piece *pieces, size_t count, uint8_t out[SHA1_LEN]) {
    struct sha1_ctx ctx;
    sha1_init(&ctx);
    for (size_t i = 0; i < count; i++)
        sha1_update(&ctx, pieces[i].len, pieces[i].data);
    sha1_digest(&ctx, SHA1_LEN, out);
}

void sha256(const struct crypto_piece *pieces, size_t count, uint8_t out[SHA256_LEN]) {
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    for (size_t i = 0; i < count; i++)
        sha256_update(&ctx, pieces[i].len, pieces[i].data);
    sha256_digest(&ctx, SHA256_LEN, out);
}
