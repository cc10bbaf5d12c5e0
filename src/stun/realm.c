/* SPDX-License-Identifier: MIT
 * The server's side of the long-term mechanism, RFC 8489 section 9.2.4.
 *
 * A nonce is cookie (13) | base64 of: issue time in ms (6 bytes), port (2), MAC (10). It is short
 * because every challenge carries it, and challenges must not amplify. The MAC covers the time and
 * the client's address and port, so that no two clients are given the same nonce (section 9.2.4).
 * From which port it comes back is not looked at: clients sign the ConnectionBind of a new TCP
 * connection with the nonce of the control connection (RFC 6062 section 4.3; coturn's does not try
 * again after a 438 there). */
#include "base/wipe.h"
#include "crypto/hmac.h"
#include "stun/auth.h"
#include "stun/nonce.h"
#include "stun/seal.h"

#include <string.h>

enum {
    TIME_LEN = 6,
    PORT_LEN = 2,
    MAC_LEN = 10,
    TIME_DIGITS = TIME_LEN / 3 * 4,
    NONCE_LEN = NONCE_COOKIE_LEN + (TIME_LEN + PORT_LEN + MAC_LEN) / 3 * 4
};

/* Workers read their clocks at different moments: a nonce may come from a little ahead. */
#define AHEAD_US BK_US_PER_S

/* What we offer, best first. */
static const struct stun_algorithms offer = {
    .list = {STUN_ALGORITHM_SHA256, STUN_ALGORITHM_MD5},
    .count = 2,
};
static const uint8_t offer_bytes[] = {0, STUN_ALGORITHM_SHA256, 0, 0, 0, STUN_ALGORITHM_MD5, 0, 0};

enum bk_err stun_realm_init(struct stun_realm *s, const char *realm, const uint8_t secret[32],
                            int64_t nonce_us, bool anonymous) {
    size_t len = strlen(realm);
    if (len > STUN_REALM_MAX)
        return BK_ERR_TOO_LONG;
    if (stun_text_check(realm, len) != BK_OK || nonce_us < BK_US_PER_S)
        return BK_ERR_ARGUMENT;
    memset(s, 0, sizeof *s);
    memcpy(s->realm, realm, len);
    memcpy(s->secret, secret, sizeof s->secret);
    s->nonce_us = nonce_us;
    s->anonymous = anonymous;
    return BK_OK;
}

void stun_realm_fini(struct stun_realm *s) {
    wipe(s, sizeof *s);
}

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* `len`: a multiple of three. */
static void put_base64(uint8_t *out, const uint8_t *bytes, size_t len) {
    for (size_t i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *out++ = (uint8_t)digits64[bits >> shift & 63];
    }
}

void stun_realm_set_secret(struct stun_realm *s, const uint8_t current[32],
                           const uint8_t previous[32]) {
    memcpy(s->secret, current, sizeof s->secret);
    s->has_previous = previous != NULL;
    if (s->has_previous)
        memcpy(s->previous, previous, sizeof s->previous);
    else
        wipe(s->previous, sizeof s->previous);
}

static void make_nonce(const struct stun_realm *s, const uint8_t secret[32],
                       const struct bk_addr *from, uint64_t issued_ms, uint8_t out[NONCE_LEN]) {
    uint8_t bound[8 + 1 + 16 + 2], mac[SHA256_LEN];
    uint8_t raw[TIME_LEN + PORT_LEN + MAC_LEN];
    struct wire_writer w = wire_writer(bound, sizeof bound);
    wire_put_u64(&w, issued_ms);
    wire_put_u8(&w, from->ip.family);
    wire_put_bytes(&w, from->ip.bytes, sizeof from->ip.bytes);
    wire_put_u16(&w, from->port);
    const struct crypto_piece piece = {bound, w.len};
    hmac_sha256(secret, sizeof s->secret, &piece, 1, mac);
    memcpy(raw, bound + 8 - TIME_LEN, TIME_LEN);
    raw[TIME_LEN] = (uint8_t)(from->port >> 8);
    raw[TIME_LEN + 1] = (uint8_t)from->port;
    memcpy(raw + TIME_LEN + PORT_LEN, mac, MAC_LEN);
    nonce_cookie_write(NONCE_ALGORITHMS | (s->anonymous ? NONCE_ANONYMITY : 0u), out);
    put_base64(out + NONCE_COOKIE_LEN, raw, sizeof raw);
}

/* false: not base64 */
static bool read_base64(const uint8_t *digits, size_t count, uint64_t *out) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        const char *at = digits[i] == 0 ? NULL : strchr(digits64, digits[i]);
        if (at == NULL)
            return false;
        value = value << 6 | (uint64_t)(at - digits64);
    }
    *out = value;
    return true;
}

static bool nonce_is_fresh(const struct stun_realm *s, const struct wire_span *nonce,
                           const struct bk_addr *from, struct bk_time now) {
    uint8_t ours[NONCE_LEN];
    uint64_t issued_ms, port;
    const uint8_t *digits = nonce->data + NONCE_COOKIE_LEN;
    if (nonce->len != NONCE_LEN || !read_base64(digits, TIME_DIGITS, &issued_ms) ||
        !read_base64(digits + TIME_DIGITS, 4, &port))
        return false;
    const struct bk_addr given = bk_addr(from->ip, (uint16_t)(port >> 8)); /* with a byte of MAC */
    make_nonce(s, s->secret, &given, issued_ms, ours);
    bool made_here = equal_secret(ours, nonce->data, NONCE_LEN);
    if (!made_here && s->has_previous) {
        make_nonce(s, s->previous, &given, issued_ms, ours);
        made_here = equal_secret(ours, nonce->data, NONCE_LEN);
    }
    if (!made_here)
        return false;
    int64_t age_us =
        now.us + s->clock_us - (int64_t)issued_ms * BK_US_PER_MS; /* 48 bits: no overflow */
    return age_us >= -AHEAD_US && age_us <= s->nonce_us;
}

/* RFC 8489 section 9.2.4, third point. false: answer 400. */
static bool read_algorithms(const struct stun_msg *m, struct stun_claim *claim) {
    struct wire_span echo;
    struct stun_algorithms chosen;
    bool has_echo = stun_get_bytes(m, STUN_PASSWORD_ALGORITHMS, &echo) == BK_OK;
    enum bk_err err = stun_get_algorithms(m, STUN_PASSWORD_ALGORITHM, &chosen);
    claim->algorithm = STUN_ALGORITHM_MD5;
    claim->sha256 = has_echo || err == BK_OK;
    if (!has_echo && err == BK_ERR_NOT_FOUND)
        return true; /* a client of RFC 5389 */
    if (!has_echo || err != BK_OK || echo.len != sizeof offer_bytes ||
        memcmp(echo.data, offer_bytes, sizeof offer_bytes) != 0)
        return false;
    claim->algorithm = (enum stun_algorithm)chosen.list[0];
    return chosen.list[0] == STUN_ALGORITHM_MD5 || chosen.list[0] == STUN_ALGORITHM_SHA256;
}

static bool read_user(const struct stun_msg *m, struct stun_claim *claim) {
    claim->user = (struct wire_span){NULL, 0};
    claim->hash = (struct wire_span){NULL, 0};
    return stun_get_bytes(m, STUN_USERNAME, &claim->user) == BK_OK ||
           stun_get_bytes(m, STUN_USERHASH, &claim->hash) == BK_OK;
}

uint16_t stun_realm_claim(const struct stun_realm *s, const struct stun_msg *request,
                          const struct bk_addr *from, struct bk_time now, struct stun_claim *out) {
    struct stun_claim claim;
    struct wire_span nonce;
    if (request->integrity_at == 0 && request->integrity_sha256_at == 0)
        return STUN_CODE_UNAUTHENTICATED;
    if (!read_user(request, &claim) || !stun_has(request, STUN_REALM) ||
        stun_get_bytes(request, STUN_NONCE, &nonce) != BK_OK)
        return STUN_CODE_BAD_REQUEST;
    if (!read_algorithms(request, &claim))
        return STUN_CODE_BAD_REQUEST;
    claim.stale = !nonce_is_fresh(s, &nonce, from, now);
    claim.from = from->ip;
    *out = claim;
    return 0;
}

uint16_t stun_claim_verify(const struct stun_claim *claim, const struct stun_msg *request,
                           const struct stun_key *key) {
    static const struct stun_key nobody = {.len = SHA256_LEN};
    const struct stun_key *k = key == NULL ? &nobody : key;
    enum bk_err err = request->integrity_sha256_at != 0
                          ? stun_check_integrity_sha256(request, k->bytes, k->len)
                          : stun_check_integrity(request, k->bytes, k->len);
    if (key == NULL || err != BK_OK)
        return STUN_CODE_UNAUTHENTICATED;
    return claim->stale ? STUN_CODE_STALE_NONCE : 0;
}

void stun_realm_challenge(const struct stun_realm *s, struct stun_builder *b,
                          const struct bk_addr *from, struct bk_time now) {
    uint8_t nonce[NONCE_LEN];
    uint64_t now_ms = (uint64_t)((now.us + s->clock_us) / BK_US_PER_MS);
    make_nonce(s, s->secret, from, now_ms & UINT64_C(0xffffffffffff), nonce);
    stun_put_bytes(b, STUN_REALM, s->realm, strlen(s->realm));
    stun_put_bytes(b, STUN_NONCE, nonce, sizeof nonce);
    stun_put_algorithms(b, STUN_PASSWORD_ALGORITHMS, &offer);
}

void stun_claim_sign(const struct stun_claim *claim, struct stun_builder *b,
                     const struct stun_key *key) {
    if (claim->sha256)
        stun_put_integrity_sha256(b, key->bytes, key->len);
    else
        stun_put_integrity(b, key->bytes, key->len);
}
