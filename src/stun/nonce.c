/* SPDX-License-Identifier: MIT */
#include "stun/nonce.h"

#include <stdbool.h>
#include <string.h>

enum { PREFIX_LEN = 9, DIGITS = 4 };

static const char prefix[] = "obMatJos2"; /* RFC 8489 section 9.2 */
static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void nonce_cookie_write(unsigned features, uint8_t out[NONCE_COOKIE_LEN]) {
    memcpy(out, prefix, PREFIX_LEN);
    for (int i = 0; i < DIGITS; i++)
        out[PREFIX_LEN + i] = (uint8_t)base64[features >> (18 - 6 * i) & 63];
}

static bool read_bits(const uint8_t *digits, uint32_t *out) {
    uint32_t bits = 0;
    for (int i = 0; i < DIGITS; i++) {
        const char *at = digits[i] == 0 ? NULL : strchr(base64, digits[i]);
        if (at == NULL)
            return false;
        bits = bits << 6 | (uint32_t)(at - base64);
    }
    *out = bits;
    return true;
}

unsigned nonce_cookie_read(const uint8_t *nonce, size_t len) {
    uint32_t bits;
    if (len < NONCE_COOKIE_LEN || memcmp(nonce, prefix, PREFIX_LEN) != 0 ||
        !read_bits(nonce + PREFIX_LEN, &bits))
        return 0;
    unsigned features = bits & (NONCE_ALGORITHMS | NONCE_ANONYMITY);
    if ((bits & 0x800000) != 0)
        features |= NONCE_ALGORITHMS;
    if ((bits & 0x400000) != 0)
        features |= NONCE_ANONYMITY;
    return features;
}
