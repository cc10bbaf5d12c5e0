/* SPDX-License-Identifier: MIT
 * Building a STUN message. The header's length follows every attribute, so that MESSAGE-INTEGRITY
 * and FINGERPRINT can be computed over the bytes as they lie. */
#include "base/assert.h"
#include "wire/stun_attr.h"

#include <string.h>

/* RFC 8489 section 5, figure 3: M11..M7 C1 M6..M4 C0 M3..M0. */
static uint16_t message_type(enum stun_class cls, unsigned method) {
    unsigned c = (unsigned)cls;
    return (uint16_t)((method & 0xf) | (method & 0x70) << 1 | (method & 0xf80) << 2 | (c & 1) << 4 |
                      (c & 2) << 7);
}

struct stun_builder stun_start(void *buf, size_t cap, enum stun_class cls, uint16_t method,
                               const uint8_t *txid) {
    struct stun_builder b = {.w = wire_writer(buf, cap)};
    wire_put_u16(&b.w, message_type(cls, method));
    wire_put_u16(&b.w, 0);
    wire_put_u32(&b.w, STUN_COOKIE);
    wire_put_bytes(&b.w, txid, STUN_TXID_LEN);
    return b;
}

struct stun_builder stun_start_reply(void *buf, size_t cap, enum stun_class cls,
                                     const struct stun_msg *request) {
    return stun_start(buf, cap, cls, request->method, request->txid);
}

uint8_t *stun_put_room(struct stun_builder *b, uint16_t type, size_t len) {
    const struct stun_attr_row *row = stun_attr_row(type);
    if (len > UINT16_MAX || (row != NULL && (len < row->min || len > row->max))) {
        b->bad_value = true;
        return NULL;
    }
    wire_put_u16(&b->w, type);
    wire_put_u16(&b->w, (uint16_t)len);
    uint8_t *room = wire_reserve(&b->w, len);
    wire_put_zeros(&b->w, (0u - len) & 3); /* RFC 8489 section 14: padding is sent as zero */
    if (b->w.len - STUN_HEADER_LEN > UINT16_MAX)
        b->w.failed = true;
    if (b->w.failed)
        return NULL;
    wire_patch_u16(&b->w, 2, (uint16_t)(b->w.len - STUN_HEADER_LEN));
    return room;
}

/* Attributes that the table does not know take any kind of value. */
static bool kind_is(struct stun_builder *b, uint16_t type, enum stun_attr_kind kind) {
    const struct stun_attr_row *row = stun_attr_row(type);
    if (row == NULL || row->kind == kind)
        return true;
    b->bad_value = true;
    return false;
}

static void put(struct stun_builder *b, uint16_t type, const void *bytes, size_t len) {
    uint8_t *room = stun_put_room(b, type, len);
    if (room != NULL && len > 0)
        memcpy(room, bytes, len);
}

void stun_put_bytes(struct stun_builder *b, uint16_t type, const void *bytes, size_t len) {
    if (kind_is(b, type, STUN_KIND_BYTES))
        put(b, type, bytes, len);
}

void stun_put_flag(struct stun_builder *b, uint16_t type) {
    if (kind_is(b, type, STUN_KIND_FLAG))
        put(b, type, NULL, 0);
}

void stun_put_u32(struct stun_builder *b, uint16_t type, uint32_t value) {
    uint8_t bytes[4];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    wire_put_u32(&w, value);
    if (kind_is(b, type, STUN_KIND_U32))
        put(b, type, bytes, w.len);
}

void stun_put_port(struct stun_builder *b, uint16_t type, uint16_t port) {
    const uint8_t bytes[4] = {(uint8_t)(port >> 8), (uint8_t)port};
    stun_put_bytes(b, type, bytes, sizeof bytes);
}

void stun_put_u64(struct stun_builder *b, uint16_t type, uint64_t value) {
    uint8_t bytes[8];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    wire_put_u64(&w, value);
    if (kind_is(b, type, STUN_KIND_U64))
        put(b, type, bytes, w.len);
}

void stun_put_addr(struct stun_builder *b, uint16_t type, const struct bk_addr *addr) {
    const struct stun_attr_row *row = stun_attr_row(type);
    bool masked = row != NULL && row->kind == STUN_KIND_XOR_ADDR;
    if (row == NULL || (!masked && row->kind != STUN_KIND_ADDR) ||
        (addr->ip.family != BK_IPV4 && addr->ip.family != BK_IPV6)) {
        b->bad_value = true;
        return;
    }
    if (b->w.failed)
        return;
    size_t ip_len = addr->ip.family == BK_IPV4 ? 4 : 16;
    const uint8_t *mask = b->w.data + 4; /* cookie and transaction id, RFC 8489 section 14.2 */
    uint8_t bytes[20];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    wire_put_u8(&w, 0);
    wire_put_u8(&w, addr->ip.family == BK_IPV4 ? 1 : 2);
    wire_put_u16(&w, addr->port);
    wire_put_bytes(&w, addr->ip.bytes, ip_len);
    for (size_t i = 0; masked && i < ip_len; i++)
        bytes[4 + i] ^= mask[i];
    for (size_t i = 0; masked && i < 2; i++)
        bytes[2 + i] ^= mask[i];
    put(b, type, bytes, w.len);
}

void stun_put_error(struct stun_builder *b, uint16_t code, const char *reason) {
    size_t len = reason == NULL ? 0 : strlen(reason);
    if (code < 300 || code > 699) {
        b->bad_value = true;
        return;
    }
    uint8_t *room = stun_put_room(b, STUN_ERROR_CODE, 4 + len);
    if (room == NULL)
        return;
    room[0] = 0;
    room[1] = 0;
    room[2] = (uint8_t)(code / 100);
    room[3] = (uint8_t)(code % 100);
    if (len > 0)
        memcpy(room + 4, reason, len);
}

void stun_put_unknown(struct stun_builder *b, const struct stun_types *types) {
    uint8_t bytes[2 * STUN_UNKNOWN_MAX];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    for (size_t i = 0; i < types->count; i++)
        wire_put_u16(&w, types->types[i]);
    put(b, STUN_UNKNOWN_ATTRIBUTES, bytes, w.len);
}

void stun_put_algorithms(struct stun_builder *b, uint16_t type,
                         const struct stun_algorithms *list) {
    uint8_t bytes[4 * STUN_ALGORITHMS_MAX];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    for (size_t i = 0; i < list->count; i++) {
        wire_put_u16(&w, list->list[i]);
        wire_put_u16(&w, 0); /* RFC 8489 section 18.5: neither algorithm has parameters */
    }
    if (kind_is(b, type, STUN_KIND_ALGORITHMS))
        put(b, type, bytes, w.len);
}

enum bk_err stun_finish(struct stun_builder *b, size_t *len) {
    if (b->bad_value)
        return BK_ERR_ARGUMENT;
    if (b->w.failed)
        return BK_ERR_TOO_LONG;
#ifndef NDEBUG
    struct stun_msg check;
    bk_assert(stun_parse(&check, b->w.data, b->w.len) == BK_OK);
#endif
    *len = b->w.len;
    return BK_OK;
}
