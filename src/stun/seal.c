/* SPDX-License-Identifier: MIT
 * The three attributes are computed over the message up to themselves, with a length field as if
 * the message ended right after them, RFC 8489 sections 14.5 to 14.7. */
#include "stun/seal.h"

#include "base/wipe.h"
#include "crypto/crc32.h"
#include "crypto/hmac.h"

#include <string.h>

enum { ATTR_HEADER_LEN = 4, FINGERPRINT_LEN = 4 };
#define FINGERPRINT_XOR UINT32_C(0x5354554e) /* RFC 8489 section 14.7 */

/* The first bytes of `data` with the length field for an attribute at `at` of `len` bytes. */
struct covered {
    uint8_t head[4]; /* type, length */
    struct crypto_piece pieces[2];
};

static void cover(struct covered *c, const uint8_t *data, size_t at, size_t len) {
    size_t body = at + ATTR_HEADER_LEN + len - STUN_HEADER_LEN;
    memcpy(c->head, data, 2);
    c->head[2] = (uint8_t)(body >> 8);
    c->head[3] = (uint8_t)body;
    c->pieces[0].data = c->head;
    c->pieces[0].len = sizeof c->head;
    c->pieces[1].data = data + sizeof c->head;
    c->pieces[1].len = at - sizeof c->head;
}

static uint32_t fingerprint(const uint8_t *data, size_t at) {
    struct covered c;
    cover(&c, data, at, FINGERPRINT_LEN);
    uint32_t crc = crc32(0, c.pieces[0].data, c.pieces[0].len);
    return crc32(crc, c.pieces[1].data, c.pieces[1].len) ^ FINGERPRINT_XOR;
}

void stun_put_integrity(struct stun_builder *b, const void *key, size_t key_len) {
    struct covered c;
    size_t at = b->w.len;
    uint8_t *mac = stun_put_room(b, STUN_MESSAGE_INTEGRITY, SHA1_LEN);
    if (mac == NULL)
        return;
    cover(&c, b->w.data, at, SHA1_LEN);
    hmac_sha1(key, key_len, c.pieces, 2, mac);
}

void stun_put_integrity_sha256(struct stun_builder *b, const void *key, size_t key_len) {
    struct covered c;
    size_t at = b->w.len;
    uint8_t *mac = stun_put_room(b, STUN_MESSAGE_INTEGRITY_SHA256, SHA256_LEN);
    if (mac == NULL)
        return;
    cover(&c, b->w.data, at, SHA256_LEN);
    hmac_sha256(key, key_len, c.pieces, 2, mac);
}

void stun_put_fingerprint(struct stun_builder *b) {
    size_t at = b->w.len;
    uint8_t *value = stun_put_room(b, STUN_FINGERPRINT, FINGERPRINT_LEN);
    if (value == NULL)
        return;
    struct wire_writer w = wire_writer(value, FINGERPRINT_LEN);
    wire_put_u32(&w, fingerprint(b->w.data, at));
}

enum bk_err stun_check_integrity(const struct stun_msg *msg, const void *key, size_t key_len) {
    struct covered c;
    uint8_t mac[SHA1_LEN];
    if (msg->integrity_at == 0)
        return BK_ERR_NOT_FOUND;
    cover(&c, msg->data, msg->integrity_at, SHA1_LEN);
    hmac_sha1(key, key_len, c.pieces, 2, mac);
    const uint8_t *theirs = msg->data + msg->integrity_at + ATTR_HEADER_LEN;
    return equal_secret(mac, theirs, SHA1_LEN) ? BK_OK : BK_ERR_AUTH;
}

enum bk_err stun_check_integrity_sha256(const struct stun_msg *msg, const void *key,
                                        size_t key_len) {
    struct covered c;
    struct stun_attr a;
    uint8_t mac[SHA256_LEN];
    if (!stun_find(msg, STUN_MESSAGE_INTEGRITY_SHA256, &a))
        return BK_ERR_NOT_FOUND;
    if (a.len % 4 != 0) /* RFC 8489 section 14.6; 16 to 32 bytes is checked by stun_parse() */
        return BK_ERR_AUTH;
    cover(&c, msg->data, a.at, a.len);
    hmac_sha256(key, key_len, c.pieces, 2, mac);
    return equal_secret(mac, a.value, a.len) ? BK_OK : BK_ERR_AUTH;
}

enum bk_err stun_check_fingerprint(const struct stun_msg *msg) {
    if (msg->fingerprint_at == 0)
        return BK_ERR_NOT_FOUND;
    if (msg->fingerprint_at + ATTR_HEADER_LEN + FINGERPRINT_LEN != msg->len)
        return BK_ERR_NOT_OURS;
    struct wire_reader r =
        wire_reader(msg->data + msg->fingerprint_at + ATTR_HEADER_LEN, FINGERPRINT_LEN);
    return wire_u32(&r) == fingerprint(msg->data, msg->fingerprint_at) ? BK_OK : BK_ERR_NOT_OURS;
}
