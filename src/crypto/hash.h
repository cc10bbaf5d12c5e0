/* SPDX-License-Identifier: MIT
 * MD5, SHA-1 and SHA-256 in one call, over pieces so that nobody has to join them first. MD5 is
 * here because RFC 8489 section 9.2.2 derives keys with it and RFC 7616 logs in to proxies with it;
 * use it for nothing else. */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { MD5_LEN = 16, SHA1_LEN = 20, SHA256_LEN = 32 };

struct crypto_piece {
    const void *data;
    size_t len;
};

void md5(const struct crypto_piece *pieces, size_t count, uint8_t out[MD5_LEN]);
void sha1(const struct crypto_piece *pieces, size_t count, uint8_t out[SHA1_LEN]);
void sha256(const struct crypto_piece *pieces, size_t count, uint8_t out[SHA256_LEN]);

#endif
