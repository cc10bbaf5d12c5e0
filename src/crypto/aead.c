/* SPDX-License-Identifier: MIT */
#include "crypto/aead.h"

#include "base/assert.h"
#include "base/wipe.h"

#include <nettle/gcm.h>

union context {
    struct gcm_aes128_ctx small;
    struct gcm_aes256_ctx large;
};

static void begin(union context *c, const struct aead *a) {
    bk_assert(a->key_len == AEAD_KEY_128 || a->key_len == AEAD_KEY_256);
    if (a->key_len == AEAD_KEY_128) {
        gcm_aes128_set_key(&c->small, a->key);
        gcm_aes128_set_iv(&c->small, a->nonce.len, a->nonce.data);
        gcm_aes128_update(&c->small, a->extra.len, a->extra.data);
    } else {
        gcm_aes256_set_key(&c->large, a->key);
        gcm_aes256_set_iv(&c->large, a->nonce.len, a->nonce.data);
        gcm_aes256_update(&c->large, a->extra.len, a->extra.data);
    }
}

void aead_seal(const struct aead *a, const void *plain, size_t len, uint8_t *out) {
    union context c;
    begin(&c, a);
    if (a->key_len == AEAD_KEY_128) {
        gcm_aes128_encrypt(&c.small, len, out, plain);
        gcm_aes128_digest(&c.small, AEAD_TAG_LEN, out + len);
    } else {
        gcm_aes256_encrypt(&c.large, len, out, plain);
        gcm_aes256_digest(&c.large, AEAD_TAG_LEN, out + len);
    }
    wipe(&c, sizeof c);
}

bool aead_open(const struct aead *a, const void *sealed, size_t len, uint8_t *out) {
    union context c;
    uint8_t tag[AEAD_TAG_LEN];
    size_t plain = len - AEAD_TAG_LEN;
    bk_assert(len >= AEAD_TAG_LEN);
    begin(&c, a);
    if (a->key_len == AEAD_KEY_128) {
        gcm_aes128_decrypt(&c.small, plain, out, sealed);
        gcm_aes128_digest(&c.small, AEAD_TAG_LEN, tag);
    } else {
        gcm_aes256_decrypt(&c.large, plain, out, sealed);
        gcm_aes256_digest(&c.large, AEAD_TAG_LEN, tag);
    }
    wipe(&c, sizeof c);
    bool right = equal_secret(tag, (const uint8_t *)sealed + plain, AEAD_TAG_LEN);
    if (!right)
        wipe(out, plain);
    return right;
}
