/* SPDX-License-Identifier: MIT */
#include "tunnel/login.h"

#include "base/rng.h"
#include "base/wipe.h"
#include "crypto/hash.h"
#include <string.h>

enum { HASH_TEXT_MAX = 2 * SHA256_LEN + 1, CNONCE_LEN = 16, PIECES_MAX = 11 };

/* --- challenges: RFC 9110 section 11.2, 11.3 --- */

static bool is_token(char c) {
    return c > ' ' && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

static char lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static void skip(const char **at, const char *letters) {
    *at += strspn(*at, letters);
}

/* A token, or as much of it as fits; its end is found in any case. Returns its whole length. */
static size_t read_token(const char **at, char *out, size_t cap) {
    size_t n = 0, len = 0;
    while (is_token((*at)[n]) && (*at)[n] != '\0') {
        if (len + 1 < cap)
            out[len++] = (*at)[n];
        n++;
    }
    out[len] = '\0';
    *at += n;
    return n;
}

/* The same in lower case: names of schemes, parameters and algorithms (RFC 9110 section 11.1). */
static size_t read_name(const char **at, char *out, size_t cap) {
    size_t len = read_token(at, out, cap);
    for (; *out != '\0'; out++)
        *out = lower(*out);
    return len;
}

/* RFC 9110 section 5.6.4. false: it does not end, or does not fit. */
static bool read_quoted(const char **at, char *out, size_t cap) {
    size_t len = 0;
    for ((*at)++; **at != '"'; (*at)++) {
        if (**at == '\\')
            (*at)++;
        if (**at == '\0' || len + 1 == cap)
            return false;
        out[len++] = **at;
    }
    (*at)++;
    out[len] = '\0';
    return true;
}

static bool lists_auth(const char *value) {
    for (const char *at = value; *at != '\0';) {
        char word[16];
        skip(&at, ", \t");
        if (read_name(&at, word, sizeof word) == 0)
            return false;
        if (strcmp(word, "auth") == 0)
            return true;
    }
    return false;
}

static bool copy(char *out, size_t cap, const char *value) {
    size_t len = strlen(value);
    if (len >= cap)
        return false;
    memcpy(out, value, len + 1);
    return true;
}

static enum login_scheme scheme_of(const char *algorithm, bool *session) {
    char word[16];
    (void)read_name(&algorithm, word, sizeof word);
    *session = strcmp(word, "md5-sess") == 0 || strcmp(word, "sha-256-sess") == 0;
    if (strcmp(word, "sha-256") == 0 || strcmp(word, "sha-256-sess") == 0)
        return LOGIN_DIGEST_SHA256;
    return strcmp(word, "md5") == 0 || *session ? LOGIN_DIGEST_MD5 : LOGIN_UNKNOWN;
}

/* One parameter of a Digest challenge (RFC 7616 section 3.3). false: it cannot be used. */
static bool take_parameter(struct login *c, const char *name, const char *value) {
    if (strcmp(name, "realm") == 0)
        return copy(c->realm, sizeof c->realm, value);
    if (strcmp(name, "nonce") == 0)
        return copy(c->nonce, sizeof c->nonce, value);
    if (strcmp(name, "opaque") == 0)
        return copy(c->opaque, sizeof c->opaque, value);
    if (strcmp(name, "stale") == 0)
        c->stale = lower(value[0]) == 't';
    if (strcmp(name, "qop") == 0) {
        c->qop_auth = lists_auth(value);
        return c->qop_auth; /* auth-int alone: not spoken here */
    }
    if (strcmp(name, "algorithm") == 0)
        c->scheme = scheme_of(value, &c->session);
    return true;
}

/* Reads "name=value" if that is what stands there. false: the next scheme, or the end. */
static bool read_parameter(const char **at, struct login *c, bool digest, bool *usable) {
    char name[32], value[LOGIN_NONCE_MAX];
    const char *from = *at;
    skip(at, ", \t");
    if (read_name(at, name, sizeof name) == 0)
        return false;
    skip(at, " \t");
    if (**at != '=') {
        *at = from;
        return false;
    }
    (*at)++;
    skip(at, " \t");
    bool read = **at == '"' ? read_quoted(at, value, sizeof value)
                            : read_token(at, value, sizeof value) > 0;
    if (!read)
        *usable = false;
    else if (digest && *usable)
        *usable = take_parameter(c, name, value);
    return read;
}

static void keep(struct login *l, const struct login *c) {
    if (c->scheme > l->scheme)
        *l = *c;
}

void login_challenge(struct login *l, const char *value) {
    const char *at = value;
    for (;;) {
        char scheme[16];
        bool usable = true;
        struct login c = {.scheme = LOGIN_UNKNOWN};
        skip(&at, ", \t");
        if (read_name(&at, scheme, sizeof scheme) == 0)
            return;
        bool digest = strcmp(scheme, "digest") == 0;
        if (digest)
            c.scheme = LOGIN_DIGEST_MD5; /* RFC 7616 section 3.3: MD5 unless it says otherwise */
        else if (strcmp(scheme, "basic") == 0)
            c.scheme = LOGIN_BASIC;
        skip(&at, " \t");
        while (read_parameter(&at, &c, digest, &usable))
            ;
        if (digest && (!usable || c.nonce[0] == '\0'))
            c = (struct login){.scheme = LOGIN_UNKNOWN};
        keep(l, &c);
        /* What is no list of parameters (a token68, say) ends with the comma. */
        while (*at != '\0' && *at != ',')
            at++;
    }
}

/* --- answers --- */

static void put_base64(struct text *out, const uint8_t *bytes, size_t len) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= left > 2 ? bytes[i + 2] : 0;
        text_char(out, letters[bits >> 18]);
        text_char(out, letters[bits >> 12 & 63]);
        text_bytes(out, left > 1 ? &letters[bits >> 6 & 63] : "=", 1);
        text_bytes(out, left > 2 ? &letters[bits & 63] : "=", 1);
    }
}

/* RFC 7617 section 2: user, colon, password; UTF-8 as it was given. */
static void put_basic(const struct proxy *proxy, struct text *out) {
    char both[2 * PROXY_WORD_MAX];
    struct text t = text_in(both, sizeof both);
    text_str(&t, proxy->user);
    text_char(&t, ':');
    text_str(&t, proxy->password);
    text_str(out, "Proxy-Authorization: Basic ");
    put_base64(out, (const uint8_t *)both, t.len);
    text_str(out, "\r\n");
    wipe(both, sizeof both);
}

/* The hash of words with colons between, in hexadecimal. */
static void hash(enum login_scheme scheme, const char *const *words, size_t count,
                 char out[HASH_TEXT_MAX]) {
    struct crypto_piece pieces[2 * PIECES_MAX];
    uint8_t digest[SHA256_LEN];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            pieces[n++] = (struct crypto_piece){":", 1};
        pieces[n++] = (struct crypto_piece){words[i], strlen(words[i])};
    }
    struct text t = text_in(out, HASH_TEXT_MAX);
    if (scheme == LOGIN_DIGEST_SHA256) {
        sha256(pieces, n, digest);
        text_hex(&t, digest, SHA256_LEN);
    } else {
        md5(pieces, n, digest);
        text_hex(&t, digest, MD5_LEN);
    }
}

struct digest_words {
    char ha1[HASH_TEXT_MAX], ha2[HASH_TEXT_MAX], response[HASH_TEXT_MAX];
    char count[9], cnonce[2 * CNONCE_LEN + 1];
};

/* RFC 7616 sections 3.4.1 to 3.4.3. */
static void respond(const struct login *l, const struct proxy *proxy, const char *target,
                    struct digest_words *w) {
    const char *const login[] = {proxy->user, l->realm, proxy->password};
    hash(l->scheme, login, 3, w->ha1);
    if (l->session) {
        const char *const session[] = {w->ha1, l->nonce, w->cnonce};
        char longer[HASH_TEXT_MAX];
        hash(l->scheme, session, 3, longer);
        memcpy(w->ha1, longer, sizeof longer);
    }
    const char *const request[] = {"CONNECT", target};
    hash(l->scheme, request, 2, w->ha2);
    const char *const with_qop[] = {w->ha1, l->nonce, w->count, w->cnonce, "auth", w->ha2};
    const char *const without[] = {w->ha1, l->nonce, w->ha2}; /* RFC 2069's proxies */
    if (l->qop_auth)
        hash(l->scheme, with_qop, 6, w->response);
    else
        hash(l->scheme, without, 3, w->response);
}

static void put_quoted(struct text *out, const char *name, const char *value) {
    text_str(out, name);
    text_str(out, "=\"");
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            text_char(out, '\\');
        /* A line end of somebody else's making would start a header of its own. */
        text_bytes(out, *value == '\r' || *value == '\n' ? " " : value, 1);
    }
    text_str(out, "\"");
}

static void put_digest_line(const struct login *l, const struct proxy *proxy, const char *target,
                            const struct digest_words *w, struct text *out) {
    text_str(out, "Proxy-Authorization: Digest ");
    put_quoted(out, "username", proxy->user);
    put_quoted(out, ", realm", l->realm);
    put_quoted(out, ", nonce", l->nonce);
    put_quoted(out, ", uri", target);
    text_str(out, l->scheme == LOGIN_DIGEST_SHA256 ? ", algorithm=SHA-256" : ", algorithm=MD5");
    text_str(out, l->session ? "-sess" : "");
    put_quoted(out, ", response", w->response);
    if (l->qop_auth) {
        text_str(out, ", qop=auth, nc=");
        text_str(out, w->count);
    }
    if (l->qop_auth || l->session)
        put_quoted(out, ", cnonce", w->cnonce);
    if (l->opaque[0] != '\0')
        put_quoted(out, ", opaque", l->opaque);
    text_str(out, "\r\n");
}

static void put_digest(struct login *l, const struct proxy *proxy, const char *target,
                       const struct bk_rng *rng, struct text *out) {
    struct digest_words w;
    uint8_t cnonce[CNONCE_LEN], count[4];
    memset(&w, 0, sizeof w);
    rng_fill(rng, cnonce, sizeof cnonce);
    struct text t = text_in(w.cnonce, sizeof w.cnonce);
    text_hex(&t, cnonce, sizeof cnonce);
    l->count++;
    for (size_t i = 0; i < sizeof count; i++)
        count[i] = (uint8_t)(l->count >> (24 - 8 * i));
    t = text_in(w.count, sizeof w.count);
    text_hex(&t, count, sizeof count);
    respond(l, proxy, target, &w);
    put_digest_line(l, proxy, target, &w, out);
    wipe(&w, sizeof w);
}

void login_put(struct login *l, const struct proxy *proxy, const char *target,
               const struct bk_rng *rng, struct text *out) {
    switch (l->scheme) {
    case LOGIN_NONE:
    case LOGIN_UNKNOWN:
        return;
    case LOGIN_BASIC:
        put_basic(proxy, out);
        return;
    case LOGIN_DIGEST_MD5:
    case LOGIN_DIGEST_SHA256:
        put_digest(l, proxy, target, rng, out);
        return;
    }
}
