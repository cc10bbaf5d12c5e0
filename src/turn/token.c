/* SPDX-License-Identifier: MIT */
#include "turn/token.h"

#include "base/wipe.h"
#include "crypto/aead.h"

#include <string.h>

enum {
    NONCE_MIN = 8,
    NONCE_MAX = 32,
    PLAIN_MAX = 2 + TURN_TOKEN_KEY_MAX + 8 + 4,
    KEY_MIN = 16,
    FRACTIONS = 64000 /* of a second, RFC 7635 section 6.2 */
};

#define DELTA_US (5 * BK_US_PER_S) /* section 6.2: clocks differ */

const struct turn_token_key *turn_token_key(const struct turn_tokens *t,
                                            const struct wire_span *kid) {
    for (size_t i = 0; t->server != NULL && i < t->count; i++)
        if (kid->data != NULL && strlen(t->keys[i].kid) == kid->len &&
            memcmp(t->keys[i].kid, kid->data, kid->len) == 0)
            return &t->keys[i];
    return NULL;
}

/* The encrypted block. Its time is seconds in 48 bits, then 1/64000 s in 16. */
static enum bk_err read_plain(const struct turn_tokens *t, const uint8_t *plain, size_t len,
                              struct bk_time now, struct turn_token *out) {
    struct wire_reader r = wire_reader(plain, len);
    size_t key_len = wire_u16(&r);
    if (key_len < KEY_MIN || key_len > TURN_TOKEN_KEY_MAX)
        return BK_ERR_MALFORMED;
    const uint8_t *key = wire_bytes(&r, key_len);
    uint64_t stamp = wire_u64(&r);
    int64_t lifetime_us = wire_u32(&r) * BK_US_PER_S;
    if (r.failed || wire_left(&r) != 0)
        return BK_ERR_MALFORMED;
    /* far enough in the future for all, and no overflow */
    if (stamp >> 16 > UINT32_MAX * UINT64_C(4))
        return BK_ERR_TIMEOUT;
    int64_t made_us =
        (int64_t)(stamp >> 16) * BK_US_PER_S + (int64_t)(stamp & 0xffff) * BK_US_PER_S / FRACTIONS;
    int64_t age_us = now.us + t->unix_us - made_us;
    /* RFC 7635 sections 4.1.2 and 6.2: lifetime + delta > |now - timestamp|; one that was made
     * later than now is no better than one of long ago. */
    if (age_us < -DELTA_US || age_us >= lifetime_us + DELTA_US)
        return BK_ERR_TIMEOUT;
    memcpy(out->key, key, key_len);
    out->key_len = key_len;
    out->lifetime_s = (lifetime_us - age_us) / BK_US_PER_S;
    if (out->lifetime_s < 1)
        out->lifetime_s = 1;
    return BK_OK;
}

enum bk_err turn_token_open(const struct turn_tokens *t, const struct turn_token_key *key,
                            const struct wire_span *bytes, struct bk_time now,
                            struct turn_token *out) {
    uint8_t plain[PLAIN_MAX];
    struct wire_reader r = wire_reader(bytes->data, bytes->len);
    size_t nonce_len = wire_u16(&r);
    if (nonce_len < NONCE_MIN || nonce_len > NONCE_MAX)
        return BK_ERR_MALFORMED;
    const uint8_t *nonce = wire_bytes(&r, nonce_len);
    size_t sealed_len = wire_left(&r);
    if (r.failed || sealed_len < AEAD_TAG_LEN || sealed_len > AEAD_TAG_LEN + sizeof plain)
        return BK_ERR_MALFORMED;
    const uint8_t *sealed = wire_bytes(&r, sealed_len);
    const struct aead a = {.key = key->key,
                           .key_len = key->len,
                           .nonce = {nonce, nonce_len},
                           .extra = {t->server, strlen(t->server)}};
    if (!aead_open(&a, sealed, sealed_len, plain))
        return BK_ERR_AUTH;
    enum bk_err err = read_plain(t, plain, sealed_len - AEAD_TAG_LEN, now, out);
    wipe(plain, sizeof plain);
    return err;
}
