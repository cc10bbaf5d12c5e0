/* SPDX-License-Identifier: MIT */
#include <base/assert.h>
#include <base/rng.h>
#include <base/wipe.h>
#include <box/box.h>
#include <crypto/crc32.h>
#include <peer/base32.h>
#include <peer/identity.h>
#include <peer/scan.h>
#include <string.h>
#include <wire/reader.h>
#include <wire/writer.h>

static const char file_magic[] = "bodkin-secret-key-";
static const char file_version[] = "1 ";
static const char key_magic[] = "bk";

enum {
    SEED_LEN = 32,
    FILE_BYTES = SEED_LEN + 4, /* seed, CRC-32 */
    KEY_CHECK_LEN = 3,
    KEY_BYTES = PEER_KEY_LEN + KEY_CHECK_LEN,
    KEY_LETTERS = BASE32_TEXT_LEN(KEY_BYTES)
};

void identity_from_seed(struct identity *id, const uint8_t seed[32]) {
    uint8_t secret[BOX_SIGN_SECRET_LEN];
    struct identity made = {0};
    memcpy(made.seed, seed, sizeof made.seed);
    box_sign_keypair(seed, made.key.bytes, secret);
    box_secret_of_sign(secret, made.relay_secret);
    enum bk_err e = box_public(made.relay_secret, made.relay_key);
    bk_assert(e == BK_OK); /* a hash clamped to an X25519 secret always has a public key */
    *id = made;
    wipe(secret, sizeof secret);
    identity_fini(&made);
}

void identity_make(struct identity *id, const struct bk_rng *rng) {
    uint8_t seed[SEED_LEN];
    rng_fill(rng, seed, sizeof seed);
    identity_from_seed(id, seed);
    wipe(seed, sizeof seed);
}

void identity_fini(struct identity *id) {
    wipe(id, sizeof *id);
}

size_t identity_encode(const struct identity *id, char *out) {
    uint8_t bytes[FILE_BYTES];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    wire_put_bytes(&w, id->seed, sizeof id->seed);
    wire_put_u32(&w, crc32(0, bytes, SEED_LEN));
    size_t n = 0;
    memcpy(out, file_magic, sizeof file_magic - 1);
    n += sizeof file_magic - 1;
    memcpy(out + n, file_version, sizeof file_version - 1);
    n += sizeof file_version - 1;
    n += base32_encode(bytes, sizeof bytes, out + n);
    out[n++] = '\n';
    out[n] = '\0';
    wipe(bytes, sizeof bytes);
    return n;
}

enum bk_err identity_decode(const char *text, size_t len, struct identity *out) {
    uint8_t bytes[FILE_BYTES];
    size_t n = 0;
    struct scan s = scan_trimmed(text, len);
    if (!scan_take(&s, file_magic))
        return BK_ERR_NOT_OURS;
    if (!scan_take(&s, file_version))
        return BK_ERR_UNSUPPORTED;
    enum bk_err e = BK_ERR_MALFORMED;
    if (base32_decode(s.at, s.left, bytes, sizeof bytes, &n) == BK_OK && n == sizeof bytes) {
        struct wire_reader r = wire_reader(bytes + SEED_LEN, sizeof bytes - SEED_LEN);
        if (wire_u32(&r) == crc32(0, bytes, SEED_LEN)) {
            identity_from_seed(out, bytes);
            e = BK_OK;
        }
    }
    wipe(bytes, sizeof bytes);
    return e;
}

static void key_check(const uint8_t key[PEER_KEY_LEN], uint8_t check[KEY_CHECK_LEN]) {
    uint32_t crc = crc32(0, key, PEER_KEY_LEN);
    for (int i = 0; i < KEY_CHECK_LEN; i++)
        check[i] = (uint8_t)(crc >> (24 - 8 * i));
}

char *peer_key_format(const struct peer_key *key, char *out) {
    uint8_t bytes[KEY_BYTES];
    memcpy(bytes, key->bytes, PEER_KEY_LEN);
    key_check(key->bytes, bytes + PEER_KEY_LEN);
    memcpy(out, key_magic, sizeof key_magic - 1);
    (void)base32_encode(bytes, sizeof bytes, out + sizeof key_magic - 1);
    return out;
}

enum bk_err peer_key_parse(const char *text, size_t len, struct peer_key *out) {
    uint8_t bytes[KEY_BYTES], check[KEY_CHECK_LEN];
    size_t n = 0;
    struct scan s = scan_trimmed(text, len);
    if (!scan_take(&s, key_magic))
        return BK_ERR_NOT_OURS;
    enum bk_err e =
        base32_decode(s.at, s.left < KEY_LETTERS ? s.left : KEY_LETTERS, bytes, sizeof bytes, &n);
    if (e == BK_ERR_NOT_OURS)
        return e;
    if (s.left != KEY_LETTERS)
        return s.left < KEY_LETTERS ? BK_ERR_SHORT : BK_ERR_TOO_LONG;
    key_check(bytes, check);
    if (e != BK_OK || memcmp(check, bytes + PEER_KEY_LEN, KEY_CHECK_LEN) != 0)
        return BK_ERR_MALFORMED;
    memcpy(out->bytes, bytes, PEER_KEY_LEN);
    return BK_OK;
}

bool peer_key_equal(const struct peer_key *a, const struct peer_key *b) {
    return equal_secret(a->bytes, b->bytes, PEER_KEY_LEN);
}

enum bk_err peer_key_relay(const struct peer_key *key, uint8_t out[PEER_KEY_LEN]) {
    uint8_t relay[PEER_KEY_LEN];
    if (box_public_of_sign(key->bytes, relay) != BK_OK)
        return BK_ERR_MALFORMED;
    memcpy(out, relay, sizeof relay);
    return BK_OK;
}
