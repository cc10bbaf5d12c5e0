/* SPDX-License-Identifier: MIT
 * Texts, keys, and the short-term mechanism. */
#include "stun/auth.h"

#include "base/wipe.h"
#include "crypto/hash.h"
#include "stun/seal.h"

#include <string.h>

/* The length of the UTF-8 sequence at `p`, RFC 3629 section 4. 0: broken. */
static size_t utf8_len(const uint8_t *p, size_t left) {
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (len == 0 || len > left || p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
    bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : len;
}

static bool is_control(const uint8_t *p, size_t len) {
    return len == 1 ? p[0] < 0x20 || p[0] == 0x7f : p[0] == 0xc2 && p[1] < 0xa0;
}

enum bk_err stun_text_check(const void *text, size_t len) {
    const uint8_t *p = text;
    if (len == 0)
        return BK_ERR_ARGUMENT; /* RFC 8265 section 4.2.1 */
    while (len > 0) {
        size_t step = utf8_len(p, len);
        if (step == 0 || is_control(p, step))
            return BK_ERR_ARGUMENT;
        p += step;
        len -= step;
    }
    return BK_OK;
}

enum bk_err stun_key_short(const char *password, struct stun_key *out) {
    size_t len = strlen(password);
    if (len > STUN_KEY_MAX)
        return BK_ERR_TOO_LONG;
    enum bk_err err = stun_text_check(password, len);
    if (err != BK_OK)
        return err;
    memcpy(out->bytes, password, len);
    out->len = len;
    return BK_OK;
}

enum bk_err stun_key_long(const char *user, const char *realm, const char *password,
                          enum stun_algorithm algorithm, struct stun_key *out) {
    const struct crypto_piece pieces[] = {
        {user, strlen(user)},         {":", 1}, {realm, strlen(realm)}, {":", 1},
        {password, strlen(password)},
    };
    for (size_t i = 0; i < 5; i++) {
        enum bk_err err = stun_text_check(pieces[i].data, pieces[i].len);
        if (err != BK_OK)
            return err;
    }
    if (algorithm != STUN_ALGORITHM_MD5 && algorithm != STUN_ALGORITHM_SHA256)
        return BK_ERR_UNSUPPORTED;
    if (algorithm == STUN_ALGORITHM_MD5)
        md5(pieces, 5, out->bytes);
    else
        sha256(pieces, 5, out->bytes);
    out->len = algorithm == STUN_ALGORITHM_MD5 ? MD5_LEN : SHA256_LEN;
    return BK_OK;
}

void stun_userhash(const char *user, const char *realm, uint8_t out[STUN_USERHASH_LEN]) {
    const struct crypto_piece pieces[] = {{user, strlen(user)}, {":", 1}, {realm, strlen(realm)}};
    sha256(pieces, 3, out);
}

uint16_t stun_short_check(const struct stun_msg *request, const char *user,
                          const struct stun_key *key) {
    struct wire_span name;
    bool sealed = request->integrity_at != 0 || request->integrity_sha256_at != 0;
    if (!sealed || stun_get_bytes(request, STUN_USERNAME, &name) != BK_OK)
        return STUN_CODE_BAD_REQUEST;
    if (name.len != strlen(user) || !equal_secret(name.data, user, name.len))
        return STUN_CODE_UNAUTHENTICATED;
    enum bk_err err = request->integrity_sha256_at != 0
                          ? stun_check_integrity_sha256(request, key->bytes, key->len)
                          : stun_check_integrity(request, key->bytes, key->len);
    return err == BK_OK ? 0 : STUN_CODE_UNAUTHENTICATED;
}

void stun_short_sign(struct stun_builder *reply, const struct stun_msg *request,
                     const struct stun_key *key) {
    if (request->integrity_sha256_at != 0)
        stun_put_integrity_sha256(reply, key->bytes, key->len);
    else
        stun_put_integrity(reply, key->bytes, key->len);
}

enum bk_err stun_short_check_response(const struct stun_msg *response, unsigned sent,
                                      const struct stun_key *key, enum stun_seal *got) {
    bool sha256 = response->integrity_sha256_at != 0;
    enum stun_seal seal = sha256 ? STUN_SEAL_SHA256 : STUN_SEAL_SHA1;
    if ((sent & (unsigned)seal) == 0)
        return BK_ERR_AUTH; /* a weaker or unknown attribute than was asked for */
    enum bk_err err = sha256 ? stun_check_integrity_sha256(response, key->bytes, key->len)
                             : stun_check_integrity(response, key->bytes, key->len);
    if (err != BK_OK)
        return BK_ERR_AUTH;
    if (got != NULL)
        *got = seal;
    return BK_OK;
}
