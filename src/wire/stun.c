/* SPDX-License-Identifier: MIT
 * Parsing and walking a STUN message, RFC 8489 sections 5 and 14. */
#include "wire/stun.h"

#include "wire/stun_attr.h"

static uint32_t cookie_at(const uint8_t *data) {
    struct wire_reader r = wire_reader(data + 4, 4);
    return wire_u32(&r);
}

bool stun_is_message(const uint8_t *data, size_t len) {
    return len >= STUN_HEADER_LEN && data[0] < 4 && cookie_at(data) == STUN_COOKIE;
}

/* One type-length-value with its padding. false: the end, or `r` failed. */
static bool next_raw(struct wire_reader *r, const uint8_t *start, struct stun_attr *out) {
    if (r->failed || wire_left(r) == 0)
        return false;
    out->at = (size_t)(r->data - start);
    out->type = wire_u16(r);
    out->len = wire_u16(r);
    out->value = wire_bytes(r, out->len);
    wire_skip(r, (0u - out->len) & 3); /* RFC 8489 section 14: padded to four, content ignored */
    return !r->failed;
}

enum { STAGE_OPEN, STAGE_AFTER_INTEGRITY, STAGE_AFTER_SHA256, STAGE_END };

/* Does the next attribute count, given the ones before? RFC 8489 sections 14.5 to 14.7. */
static bool counts(int *stage, uint16_t type) {
    if (*stage == STAGE_END)
        return false;
    if (type == STUN_FINGERPRINT) {
        *stage = STAGE_END;
        return true;
    }
    if (*stage == STAGE_AFTER_SHA256)
        return false;
    if (type == STUN_MESSAGE_INTEGRITY_SHA256) {
        *stage = STAGE_AFTER_SHA256;
        return true;
    }
    if (*stage == STAGE_AFTER_INTEGRITY)
        return false;
    if (type == STUN_MESSAGE_INTEGRITY)
        *stage = STAGE_AFTER_INTEGRITY;
    return true;
}

static void note(struct stun_msg *m, const struct stun_attr *a) {
    if (a->type == STUN_MESSAGE_INTEGRITY)
        m->integrity_at = a->at;
    if (a->type == STUN_MESSAGE_INTEGRITY_SHA256)
        m->integrity_sha256_at = a->at;
    if (a->type == STUN_FINGERPRINT)
        m->fingerprint_at = a->at;
}

/* Every attribute must be whole; those that count and are known must have a possible length. */
static enum bk_err check_attrs(struct stun_msg *m) {
    struct wire_reader r = wire_reader(m->data + STUN_HEADER_LEN, m->len - STUN_HEADER_LEN);
    struct stun_attr a;
    int stage = STAGE_OPEN;
    while (next_raw(&r, m->data, &a)) {
        if (!counts(&stage, a.type))
            continue;
        const struct stun_attr_row *row = stun_attr_row(a.type);
        if (row != NULL && (a.len < row->min || a.len > row->max))
            return BK_ERR_MALFORMED;
        note(m, &a);
    }
    return r.failed ? BK_ERR_MALFORMED : BK_OK;
}

/* The inverse of message_type() in stun_build.c, RFC 8489 section 5, figure 3. */
static void split_type(struct stun_msg *m, unsigned type) {
    m->method = (uint16_t)((type & 0xf) | (type >> 1 & 0x70) | (type >> 2 & 0xf80));
    m->cls = (enum stun_class)((type >> 4 & 1) | (type >> 7 & 2));
}

enum bk_err stun_parse(struct stun_msg *out, const uint8_t *data, size_t len) {
    if (len > 0 && (data[0] & 0xc0) != 0)
        return BK_ERR_NOT_OURS;
    if (len >= 8 && cookie_at(data) != STUN_COOKIE)
        return BK_ERR_NOT_OURS; /* RFC 3489 had a longer transaction id here and no cookie */
    struct stun_msg m = {.data = data, .len = len};
    struct wire_reader r = wire_reader(data, len);
    uint16_t type = wire_u16(&r);
    size_t body_len = wire_u16(&r);
    wire_skip(&r, 4);
    m.txid = wire_bytes(&r, STUN_TXID_LEN);
    if (r.failed || (body_len % 4 == 0 && body_len > wire_left(&r)))
        return BK_ERR_SHORT;
    if (body_len % 4 != 0 || body_len != wire_left(&r))
        return BK_ERR_MALFORMED;
    split_type(&m, type);
    enum bk_err err = check_attrs(&m);
    if (err != BK_OK)
        return err;
    *out = m;
    return BK_OK;
}

struct stun_iter stun_attrs(const struct stun_msg *msg) {
    struct stun_iter it = {
        .r = wire_reader(msg->data + STUN_HEADER_LEN, msg->len - STUN_HEADER_LEN),
        .start = msg->data,
        .stage = STAGE_OPEN,
    };
    return it;
}

bool stun_next_attr(struct stun_iter *it, struct stun_attr *out) {
    struct stun_attr a;
    while (next_raw(&it->r, it->start, &a)) {
        if (!counts(&it->stage, a.type))
            continue;
        *out = a;
        return true;
    }
    return false;
}

bool stun_find(const struct stun_msg *msg, uint16_t type, struct stun_attr *out) {
    struct stun_iter it = stun_attrs(msg);
    struct stun_attr a;
    while (stun_next_attr(&it, &a)) {
        if (a.type != type)
            continue;
        *out = a;
        return true;
    }
    return false;
}

bool stun_has(const struct stun_msg *msg, uint16_t type) {
    struct stun_attr a;
    return stun_find(msg, type, &a);
}

static bool listed(const struct stun_types *types, uint16_t type) {
    for (size_t i = 0; i < types->count; i++)
        if (types->types[i] == type)
            return true;
    return false;
}

void stun_unknown_required(const struct stun_msg *msg, unsigned uses, struct stun_types *out) {
    struct stun_iter it = stun_attrs(msg);
    struct stun_attr a;
    out->count = 0;
    while (stun_next_attr(&it, &a) && out->count < STUN_UNKNOWN_MAX) {
        const struct stun_attr_row *row = stun_attr_row(a.type);
        bool optional = a.type >= 0x8000; /* RFC 8489 section 14 */
        if (optional || (row != NULL && (row->uses & uses) != 0) || listed(out, a.type))
            continue;
        out->types[out->count++] = a.type;
    }
}
