/* SPDX-License-Identifier: MIT
 * The client's side of the long-term mechanism, RFC 8489 sections 9.2.3 and 9.2.5. */
#include "base/wipe.h"
#include "stun/auth.h"
#include "stun/nonce.h"
#include "stun/seal.h"

#include <string.h>

enum bk_err stun_login_init(struct stun_login *l, const char *user, const char *password) {
    size_t user_len = strlen(user), password_len = strlen(password);
    if (user_len > STUN_USER_MAX || password_len > STUN_KEY_MAX)
        return BK_ERR_TOO_LONG;
    if (stun_text_check(user, user_len) != BK_OK ||
        stun_text_check(password, password_len) != BK_OK)
        return BK_ERR_ARGUMENT;
    memset(l, 0, sizeof *l);
    memcpy(l->user, user, user_len);
    memcpy(l->password, password, password_len);
    l->algorithm = STUN_ALGORITHM_MD5;
    return BK_OK;
}

void stun_login_fini(struct stun_login *l) {
    wipe(l, sizeof *l);
}

static void put_user(const struct stun_login *l, struct stun_builder *b) {
    uint8_t hash[STUN_USERHASH_LEN];
    if (!l->anonymous) {
        stun_put_bytes(b, STUN_USERNAME, l->user, strlen(l->user));
        return;
    }
    stun_userhash(l->user, l->realm, hash);
    stun_put_bytes(b, STUN_USERHASH, hash, sizeof hash);
}

void stun_login_put(const struct stun_login *l, struct stun_builder *b) {
    if (!l->ready)
        return;
    put_user(l, b);
    stun_put_bytes(b, STUN_REALM, l->realm, strlen(l->realm));
    stun_put_bytes(b, STUN_NONCE, l->nonce, l->nonce_len);
    if (l->algorithms_len == 0) {
        stun_put_integrity(b, l->key.bytes, l->key.len);
        return;
    }
    struct stun_algorithms chosen = {.list = {(uint16_t)l->algorithm}, .count = 1};
    uint8_t *echo = stun_put_room(b, STUN_PASSWORD_ALGORITHMS, l->algorithms_len);
    if (echo != NULL)
        memcpy(echo, l->algorithms, l->algorithms_len);
    stun_put_algorithms(b, STUN_PASSWORD_ALGORITHM, &chosen);
    stun_put_integrity_sha256(b, l->key.bytes, l->key.len);
}

/* What a 401 or 438 offers. */
struct challenge {
    struct wire_span realm, nonce, algorithms;
    enum stun_algorithm algorithm;
    unsigned features;
};

/* RFC 8489 section 9.2.5: the first algorithm on the list that we know. */
static bool choose_algorithm(const struct stun_msg *m, struct challenge *c) {
    struct stun_algorithms offered;
    c->algorithm = STUN_ALGORITHM_MD5;
    if (c->algorithms.len == 0)
        return true;
    if (stun_get_algorithms(m, STUN_PASSWORD_ALGORITHMS, &offered) != BK_OK)
        return false;
    for (size_t i = 0; i < offered.count; i++) {
        if (offered.list[i] != STUN_ALGORITHM_MD5 && offered.list[i] != STUN_ALGORITHM_SHA256)
            continue;
        c->algorithm = (enum stun_algorithm)offered.list[i];
        return true;
    }
    return false;
}

/* false: it cannot be answered, or somebody took the algorithms out of it (bid-down). */
static bool read_challenge(const struct stun_login *l, const struct stun_msg *m,
                           struct challenge *c) {
    memset(c, 0, sizeof *c);
    if (stun_get_bytes(m, STUN_REALM, &c->realm) != BK_OK ||
        stun_get_bytes(m, STUN_NONCE, &c->nonce) != BK_OK)
        return false;
    if (stun_get_bytes(m, STUN_PASSWORD_ALGORITHMS, &c->algorithms) != BK_OK)
        c->algorithms.len = 0;
    c->features = nonce_cookie_read(c->nonce.data, c->nonce.len);
    /* The second half: a server that offered a choice once does not take it back later. */
    bool stripped =
        c->algorithms.len == 0 && ((c->features & NONCE_ALGORITHMS) != 0 || l->algorithms_len != 0);
    return !stripped && c->algorithms.len <= sizeof l->algorithms &&
           stun_text_check(c->realm.data, c->realm.len) == BK_OK && choose_algorithm(m, c);
}

static bool same_identity(const struct stun_login *l, const struct challenge *c) {
    return l->ready && strlen(l->realm) == c->realm.len &&
           memcmp(l->realm, c->realm.data, c->realm.len) == 0 &&
           l->anonymous == (!l->given && (c->features & NONCE_ANONYMITY) != 0);
}

static bool take_challenge(struct stun_login *l, const struct challenge *c) {
    memset(l->realm, 0, sizeof l->realm);
    memcpy(l->realm, c->realm.data, c->realm.len);
    if (c->nonce.len > 0)
        memcpy(l->nonce, c->nonce.data, c->nonce.len);
    l->nonce_len = c->nonce.len;
    if (c->algorithms.len > 0)
        memcpy(l->algorithms, c->algorithms.data, c->algorithms.len);
    l->algorithms_len = c->algorithms.len;
    l->algorithm = c->algorithm;
    l->anonymous = !l->given && (c->features & NONCE_ANONYMITY) != 0;
    l->ready =
        l->given || stun_key_long(l->user, l->realm, l->password, l->algorithm, &l->key) == BK_OK;
    return l->ready;
}

static enum stun_login_verdict answer_challenge(struct stun_login *l, const struct stun_msg *m,
                                                uint16_t code) {
    struct challenge c;
    if (!read_challenge(l, m, &c))
        return STUN_LOGIN_REFUSED;
    if (code == STUN_CODE_UNAUTHENTICATED) {
        /* RFC 8489 section 9.2.5: never retry what has just been refused. A realm that changes
         * once is a new question, one that keeps changing is a loop. */
        if (same_identity(l, &c) || l->refused > 0)
            return STUN_LOGIN_REFUSED;
        l->refused = l->ready ? 1 : 0;
    } else if (++l->stale > STUN_STALE_MAX) {
        return STUN_LOGIN_REFUSED;
    }
    return take_challenge(l, &c) ? STUN_LOGIN_RETRY : STUN_LOGIN_REFUSED;
}

static bool authentic(const struct stun_login *l, const struct stun_msg *m) {
    if (l->algorithms_len != 0) /* SHA-256 only, the last sentence of section 9.2.5 */
        return stun_check_integrity_sha256(m, l->key.bytes, l->key.len) == BK_OK;
    return stun_check_integrity(m, l->key.bytes, l->key.len) == BK_OK;
}

/* A nonce that promises algorithms without algorithms, in any answer. */
static bool stripped(const struct stun_msg *m) {
    struct wire_span nonce;
    return stun_get_bytes(m, STUN_NONCE, &nonce) == BK_OK &&
           (nonce_cookie_read(nonce.data, nonce.len) & NONCE_ALGORITHMS) != 0 &&
           !stun_has(m, STUN_PASSWORD_ALGORITHMS);
}

enum stun_login_verdict stun_login_check(struct stun_login *l, const struct stun_msg *response) {
    uint16_t code = 0;
    if (response->cls == STUN_ERROR && stun_get_error(response, &code, NULL) != BK_OK)
        return STUN_LOGIN_IGNORE;
    if (code == STUN_CODE_UNAUTHENTICATED || (code == STUN_CODE_STALE_NONCE && l->ready))
        return answer_challenge(l, response, code);
    if (stripped(response))
        return STUN_LOGIN_IGNORE;
    if (!l->ready)
        return STUN_LOGIN_ACCEPT; /* nothing was proved and nothing was asked */
    if (!authentic(l, response))
        return STUN_LOGIN_IGNORE;
    l->stale = 0;
    l->refused = 0;
    return STUN_LOGIN_ACCEPT;
}
