/* SPDX-License-Identifier: MIT
 * What every attribute is, and the typed getters. */
#include "wire/stun_attr.h"

#include <string.h>

enum { TEXT_MAX = 763, USERNAME_MAX = 513 };

/* Sorted by type. RFC 8489 section 14 unless a line says otherwise. TEXT_MAX is the 763 bytes that
 * 127 characters may take on decoding; USERNAME_MAX is RFC 5389's limit, one more than RFC 8489
 * needs, because ICE's "256 characters:256 characters" is as long (RFC 8445 section 5.3). */
static const struct stun_attr_row rows[] = {
    {STUN_MAPPED_ADDRESS, 8, 20, STUN_USE_BASE, STUN_KIND_ADDR, "MAPPED-ADDRESS"},
    /* RFC 5780 section 7.2 */
    {STUN_CHANGE_REQUEST, 4, 4, STUN_USE_DISCOVERY, STUN_KIND_U32, "CHANGE-REQUEST"},
    {STUN_USERNAME, 0, USERNAME_MAX, STUN_USE_BASE, STUN_KIND_BYTES, "USERNAME"},
    {STUN_MESSAGE_INTEGRITY, 20, 20, STUN_USE_BASE, STUN_KIND_BYTES, "MESSAGE-INTEGRITY"},
    {STUN_ERROR_CODE, 4, 4 + TEXT_MAX, STUN_USE_BASE, STUN_KIND_ERROR, "ERROR-CODE"},
    {STUN_UNKNOWN_ATTRIBUTES, 0, UINT16_MAX, STUN_USE_BASE, STUN_KIND_TYPES, "UNKNOWN-ATTRIBUTES"},
    /* These and the others named TURN_: RFC 8656 section 18. Numbers that fill the first bytes of a
     * word, the rest being reserved, are read as the whole word. */
    {TURN_CHANNEL_NUMBER, 4, 4, STUN_USE_TURN, STUN_KIND_BYTES, "CHANNEL-NUMBER"},
    {TURN_LIFETIME, 4, 4, STUN_USE_TURN, STUN_KIND_U32, "LIFETIME"},
    {TURN_XOR_PEER_ADDRESS, 8, 20, STUN_USE_TURN, STUN_KIND_XOR_ADDR, "XOR-PEER-ADDRESS"},
    {TURN_DATA_ATTR, 0, UINT16_MAX, STUN_USE_TURN, STUN_KIND_BYTES, "DATA"},
    {STUN_REALM, 0, TEXT_MAX, STUN_USE_BASE, STUN_KIND_BYTES, "REALM"},
    {STUN_NONCE, 0, TEXT_MAX, STUN_USE_BASE, STUN_KIND_BYTES, "NONCE"},
    {TURN_XOR_RELAYED_ADDRESS, 8, 20, STUN_USE_TURN, STUN_KIND_XOR_ADDR, "XOR-RELAYED-ADDRESS"},
    {TURN_REQUESTED_ADDRESS_FAMILY, 4, 4, STUN_USE_TURN, STUN_KIND_U32, "REQUESTED-ADDRESS-FAMILY"},
    {TURN_EVEN_PORT, 1, 4, STUN_USE_TURN, STUN_KIND_BYTES, "EVEN-PORT"},
    {TURN_REQUESTED_TRANSPORT, 4, 4, STUN_USE_TURN, STUN_KIND_U32, "REQUESTED-TRANSPORT"},
    {TURN_DONT_FRAGMENT, 0, 0, STUN_USE_TURN, STUN_KIND_FLAG, "DONT-FRAGMENT"},
    {STUN_ACCESS_TOKEN, 0, UINT16_MAX, STUN_USE_TURN, STUN_KIND_BYTES,
     "ACCESS-TOKEN"}, /* RFC 7635 */
    {STUN_MESSAGE_INTEGRITY_SHA256, 16, 32, STUN_USE_BASE, STUN_KIND_BYTES,
     "MESSAGE-INTEGRITY-SHA256"},
    {STUN_PASSWORD_ALGORITHM, 4, UINT16_MAX, STUN_USE_BASE, STUN_KIND_ALGORITHMS,
     "PASSWORD-ALGORITHM"},
    {STUN_USERHASH, 32, 32, STUN_USE_BASE, STUN_KIND_BYTES, "USERHASH"},
    {STUN_XOR_MAPPED_ADDRESS, 8, 20, STUN_USE_BASE, STUN_KIND_XOR_ADDR, "XOR-MAPPED-ADDRESS"},
    {TURN_RESERVATION_TOKEN, 8, 8, STUN_USE_TURN, STUN_KIND_U64, "RESERVATION-TOKEN"},
    {STUN_PRIORITY, 4, 4, STUN_USE_ICE, STUN_KIND_U32, "PRIORITY"}, /* RFC 8445 section 16.1 */
    {STUN_USE_CANDIDATE, 0, 0, STUN_USE_ICE, STUN_KIND_FLAG, "USE-CANDIDATE"},
    {STUN_PADDING, 0, UINT16_MAX, STUN_USE_DISCOVERY, STUN_KIND_BYTES, "PADDING"}, /* RFC 5780 */
    {STUN_RESPONSE_PORT, 2, 4, STUN_USE_DISCOVERY, STUN_KIND_BYTES, "RESPONSE-PORT"},
    {TURN_CONNECTION_ID, 4, 4, STUN_USE_TURN, STUN_KIND_U32, "CONNECTION-ID"}, /* RFC 6062 */
    {TURN_ADDITIONAL_ADDRESS_FAMILY, 4, 4, STUN_USE_TURN, STUN_KIND_U32,
     "ADDITIONAL-ADDRESS-FAMILY"},
    {TURN_ADDRESS_ERROR_CODE, 4, 4 + TEXT_MAX, STUN_USE_TURN, STUN_KIND_BYTES,
     "ADDRESS-ERROR-CODE"},
    {STUN_PASSWORD_ALGORITHMS, 4, UINT16_MAX, STUN_USE_BASE, STUN_KIND_ALGORITHMS,
     "PASSWORD-ALGORITHMS"},
    {STUN_ALTERNATE_DOMAIN, 0, 255, STUN_USE_BASE, STUN_KIND_BYTES, "ALTERNATE-DOMAIN"},
    {TURN_ICMP, 8, 8, STUN_USE_TURN, STUN_KIND_U64, "ICMP"},
    {STUN_SOFTWARE, 0, TEXT_MAX, STUN_USE_BASE, STUN_KIND_BYTES, "SOFTWARE"},
    {STUN_ALTERNATE_SERVER, 8, 20, STUN_USE_BASE, STUN_KIND_ADDR, "ALTERNATE-SERVER"},
    {STUN_FINGERPRINT, 4, 4, STUN_USE_BASE, STUN_KIND_U32, "FINGERPRINT"},
    {STUN_ICE_CONTROLLED, 8, 8, STUN_USE_ICE, STUN_KIND_U64, "ICE-CONTROLLED"},
    {STUN_ICE_CONTROLLING, 8, 8, STUN_USE_ICE, STUN_KIND_U64, "ICE-CONTROLLING"},
    {STUN_RESPONSE_ORIGIN, 8, 20, STUN_USE_DISCOVERY, STUN_KIND_ADDR, "RESPONSE-ORIGIN"},
    {STUN_OTHER_ADDRESS, 8, 20, STUN_USE_DISCOVERY, STUN_KIND_ADDR, "OTHER-ADDRESS"},
    {STUN_THIRD_PARTY_AUTHORIZATION, 0, UINT16_MAX, STUN_USE_TURN, STUN_KIND_BYTES,
     "THIRD-PARTY-AUTHORIZATION"}, /* RFC 7635 */
    {TURN_MOBILITY_TICKET, 0, UINT16_MAX, STUN_USE_TURN, STUN_KIND_BYTES,
     "MOBILITY-TICKET"}, /* RFC 8016 */
    {STUN_OTHER_PORT, 2, 4, STUN_USE_DISCOVERY, STUN_KIND_BYTES, "OTHER-PORT"},
};

const struct stun_attr_row *stun_attr_row(uint16_t type) {
    size_t low = 0, high = sizeof rows / sizeof *rows;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rows[middle].type == type)
            return &rows[middle];
        if (rows[middle].type < type)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *stun_attr_name(uint16_t type) {
    const struct stun_attr_row *row = stun_attr_row(type);
    return row == NULL ? "unknown" : row->name;
}

enum bk_err stun_get_bytes(const struct stun_msg *msg, uint16_t type, struct wire_span *out) {
    struct stun_attr a;
    if (!stun_find(msg, type, &a))
        return BK_ERR_NOT_FOUND;
    out->data = a.value;
    out->len = a.len;
    return BK_OK;
}

enum bk_err stun_get_u32(const struct stun_msg *msg, uint16_t type, uint32_t *out) {
    struct stun_attr a;
    if (!stun_find(msg, type, &a))
        return BK_ERR_NOT_FOUND;
    if (a.len != 4)
        return BK_ERR_MALFORMED;
    struct wire_reader r = wire_reader(a.value, a.len);
    *out = wire_u32(&r);
    return BK_OK;
}

enum bk_err stun_get_u64(const struct stun_msg *msg, uint16_t type, uint64_t *out) {
    struct stun_attr a;
    if (!stun_find(msg, type, &a))
        return BK_ERR_NOT_FOUND;
    if (a.len != 8)
        return BK_ERR_MALFORMED;
    struct wire_reader r = wire_reader(a.value, a.len);
    *out = wire_u64(&r);
    return BK_OK;
}

enum bk_err stun_get_port(const struct stun_msg *msg, uint16_t type, uint16_t *out) {
    struct stun_attr a;
    if (!stun_find(msg, type, &a))
        return BK_ERR_NOT_FOUND;
    struct wire_reader r = wire_reader(a.value, a.len);
    uint16_t port = wire_u16(&r); /* the two bytes that may follow mean nothing */
    if (r.failed || a.len > 4)
        return BK_ERR_MALFORMED;
    *out = port;
    return BK_OK;
}

/* RFC 8489 section 14.2: the mask of an address is the cookie and the transaction id, which lie
 * side by side in the message from its fifth byte; the port takes the first two of these bytes. */
static void unmask(struct bk_addr *addr, const uint8_t *mask) {
    size_t len = addr->ip.family == BK_IPV4 ? 4 : 16;
    addr->port ^= (uint16_t)(mask[0] << 8 | mask[1]);
    for (size_t i = 0; i < len; i++)
        addr->ip.bytes[i] ^= mask[i];
}

enum bk_err stun_read_addr(const struct stun_msg *msg, const struct stun_attr *attr,
                           struct bk_addr *out) {
    const struct stun_attr_row *row = stun_attr_row(attr->type);
    if (row == NULL || (row->kind != STUN_KIND_ADDR && row->kind != STUN_KIND_XOR_ADDR))
        return BK_ERR_MALFORMED;
    struct bk_addr addr = {.port = 0};
    struct wire_reader r = wire_reader(attr->value, attr->len);
    wire_skip(&r, 1); /* RFC 8489 section 14.1: must be ignored */
    uint8_t family = wire_u8(&r);
    addr.port = wire_u16(&r);
    size_t len = family == 1 ? 4 : 16;
    const uint8_t *bytes = wire_bytes(&r, len);
    if ((family != 1 && family != 2) || r.failed || wire_left(&r) != 0)
        return BK_ERR_MALFORMED;
    addr.ip.family = family == 1 ? BK_IPV4 : BK_IPV6;
    memcpy(addr.ip.bytes, bytes, len);
    if (row->kind == STUN_KIND_XOR_ADDR)
        unmask(&addr, msg->data + 4);
    *out = addr;
    return BK_OK;
}

enum bk_err stun_get_addr(const struct stun_msg *msg, uint16_t type, struct bk_addr *out) {
    struct stun_attr a;
    if (!stun_find(msg, type, &a))
        return BK_ERR_NOT_FOUND;
    return stun_read_addr(msg, &a, out);
}

enum bk_err stun_get_error(const struct stun_msg *msg, uint16_t *code, struct wire_span *reason) {
    struct stun_attr a;
    if (!stun_find(msg, STUN_ERROR_CODE, &a))
        return BK_ERR_NOT_FOUND;
    struct wire_reader r = wire_reader(a.value, a.len);
    wire_skip(&r, 2);
    uint8_t hundreds = wire_u8(&r) & 7; /* RFC 8489 section 14.8: 21 reserved bits before it */
    uint8_t number = wire_u8(&r);
    if (r.failed || hundreds < 3 || hundreds > 6 || number > 99)
        return BK_ERR_MALFORMED;
    *code = (uint16_t)(hundreds * 100 + number);
    if (reason != NULL) {
        reason->data = r.data;
        reason->len = wire_left(&r);
    }
    return BK_OK;
}

enum bk_err stun_get_unknown(const struct stun_msg *msg, struct stun_types *out) {
    struct stun_attr a;
    if (!stun_find(msg, STUN_UNKNOWN_ATTRIBUTES, &a))
        return BK_ERR_NOT_FOUND;
    if (a.len % 2 != 0)
        return BK_ERR_MALFORMED;
    struct wire_reader r = wire_reader(a.value, a.len);
    out->count = 0;
    while (wire_left(&r) > 0 && out->count < STUN_UNKNOWN_MAX)
        out->types[out->count++] = wire_u16(&r);
    return BK_OK;
}

enum bk_err stun_get_algorithms(const struct stun_msg *msg, uint16_t type,
                                struct stun_algorithms *out) {
    struct stun_attr a;
    if (!stun_find(msg, type, &a))
        return BK_ERR_NOT_FOUND;
    struct stun_algorithms found = {.count = 0};
    struct wire_reader r = wire_reader(a.value, a.len);
    while (wire_left(&r) > 0) { /* RFC 8489 section 14.11: number, length, parameters, padding */
        uint16_t algorithm = wire_u16(&r);
        size_t len = wire_u16(&r);
        size_t padded = (len + 3) & ~(size_t)3;
        /* inside PASSWORD-ALGORITHM the last padding may lie outside the attribute's length */
        wire_skip(&r, padded <= wire_left(&r) ? padded : len);
        if (r.failed)
            return BK_ERR_MALFORMED;
        if (found.count < STUN_ALGORITHMS_MAX)
            found.list[found.count++] = algorithm;
    }
    if (type == STUN_PASSWORD_ALGORITHM && found.count != 1)
        return BK_ERR_MALFORMED;
    *out = found;
    return BK_OK;
}
