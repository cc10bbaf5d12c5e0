/* SPDX-License-Identifier: MIT */
#include "turn/creds.h"

#include "base/assert.h"
#include "base/wipe.h"
#include "stun/seal.h"

#include <string.h>

size_t creds_size(const char *user, const char *password, size_t challenge_max) {
    return strlen(user) + 1 + strlen(password) + 1 + challenge_max;
}

enum bk_err creds_init(struct creds *c, void *texts, const char *user, const char *password,
                       size_t challenge_max) {
    struct stun_login check;
    enum bk_err err = stun_login_init(&check, user, password);
    stun_login_fini(&check);
    if (err != BK_OK)
        return err;
    memset(c, 0, sizeof *c);
    c->texts = texts;
    c->user_len = (uint16_t)strlen(user);
    c->password_len = (uint16_t)strlen(password);
    c->challenge_max = (uint16_t)challenge_max;
    c->algorithm = STUN_ALGORITHM_MD5;
    memcpy(c->texts, user, c->user_len + 1u);
    memcpy(c->texts + c->user_len + 1, password, c->password_len + 1u);
    return BK_OK;
}

enum bk_err creds_init_key(struct creds *c, void *texts, const char *kid,
                           const struct wire_span *key, size_t challenge_max) {
    enum bk_err err = stun_text_check(kid, strlen(kid));
    if (err != BK_OK || strlen(kid) > STUN_USER_MAX || key->len < CREDS_KEY_MIN ||
        key->len > CREDS_KEY_MAX)
        return BK_ERR_ARGUMENT;
    memset(c, 0, sizeof *c);
    c->texts = texts;
    c->user_len = (uint16_t)strlen(kid);
    c->challenge_max = (uint16_t)challenge_max;
    c->algorithm = STUN_ALGORITHM_MD5;
    c->given = true;
    c->key_len = (uint8_t)key->len;
    memcpy(c->key, key->data, key->len);
    memcpy(c->texts, kid, c->user_len + 1u);
    c->texts[c->user_len + 1] = '\0';
    return BK_OK;
}

static size_t texts_len(const struct creds *c) {
    return c->user_len + 1u + c->password_len + 1u + c->challenge_max;
}

void creds_copy(struct creds *c, void *texts, const struct creds *from) {
    *c = *from;
    c->texts = texts;
    memcpy(texts, from->texts, texts_len(from));
}

void creds_fini(struct creds *c) {
    if (c->texts != NULL)
        wipe(c->texts, texts_len(c));
    wipe(c, sizeof *c);
}

size_t creds_put_max(const struct creds *c) {
    size_t user = c->user_len > STUN_USERHASH_LEN ? c->user_len : STUN_USERHASH_LEN;
    /* Six attributes with 4 bytes of header and up to 3 of padding each: user, realm, nonce,
     * algorithms, the one chosen (4 bytes), and the integrity (32). */
    return user + c->challenge_max + 4 + STUN_SHA256_MAC_LEN + (size_t)6 * 7;
}

static char *challenge_at(const struct creds *c) {
    return c->texts + c->user_len + 1 + c->password_len + 1;
}

/* RFC 8656 section 5: the long-term mechanism, whose rules src/stun/login.c has (SHA-256 where both
 * sides know it, and no name in clear where the server takes its hash: section 21.1.6). */
static void unpack(const struct creds *c, struct stun_login *l) {
    const char *at = challenge_at(c);
    memset(l, 0, sizeof *l);
    memcpy(l->user, c->texts, c->user_len);
    memcpy(l->password, c->texts + c->user_len + 1, c->password_len);
    memcpy(l->realm, at, c->realm_len);
    memcpy(l->nonce, at + c->realm_len, c->nonce_len);
    memcpy(l->algorithms, at + c->realm_len + c->nonce_len, c->algorithms_len);
    l->nonce_len = c->nonce_len;
    l->algorithms_len = c->algorithms_len;
    l->algorithm = (enum stun_algorithm)c->algorithm;
    l->anonymous = c->anonymous;
    l->ready = c->ready;
    l->given = c->given;
    l->refused = c->refused;
    l->stale = c->stale;
    memcpy(l->key.bytes, c->key, c->key_len);
    l->key.len = c->key_len;
}

/* false: the challenge is longer than what was set aside for it. */
static bool pack(struct creds *c, const struct stun_login *l) {
    char *at = challenge_at(c);
    size_t realm_len = strlen(l->realm);
    if (realm_len + l->nonce_len + l->algorithms_len > c->challenge_max)
        return false;
    bk_assert(l->key.len <= sizeof c->key); /* MD5 or SHA-256 */
    memcpy(at, l->realm, realm_len);
    memcpy(at + realm_len, l->nonce, l->nonce_len);
    memcpy(at + realm_len + l->nonce_len, l->algorithms, l->algorithms_len);
    c->realm_len = (uint16_t)realm_len;
    c->nonce_len = (uint16_t)l->nonce_len;
    c->algorithms_len = (uint16_t)l->algorithms_len;
    c->algorithm = (uint8_t)l->algorithm;
    c->anonymous = l->anonymous;
    c->ready = l->ready;
    c->refused = l->refused;
    c->stale = l->stale;
    memcpy(c->key, l->key.bytes, l->key.len);
    c->key_len = (uint8_t)l->key.len;
    return true;
}

void creds_put(const struct creds *c, struct stun_builder *b) {
    struct stun_login l;
    if (!c->ready)
        return;
    unpack(c, &l);
    stun_login_put(&l, b);
    stun_login_fini(&l);
}

enum stun_login_verdict creds_check(struct creds *c, const struct stun_msg *response) {
    struct stun_login l;
    unpack(c, &l);
    enum stun_login_verdict verdict = stun_login_check(&l, response);
    if (verdict != STUN_LOGIN_IGNORE && verdict != STUN_LOGIN_REFUSED && !pack(c, &l))
        verdict = STUN_LOGIN_REFUSED;
    if (verdict == STUN_LOGIN_RETRY)
        c->version++;
    stun_login_fini(&l);
    return verdict;
}

void creds_restart(struct creds *c) {
    c->ready = false;
    c->realm_len = c->nonce_len = c->algorithms_len = 0;
    c->refused = c->stale = 0;
    c->version++;
}
