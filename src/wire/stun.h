/* SPDX-License-Identifier: MIT
 * The STUN message, RFC 8489: bytes to a checked view and back. Pure functions: nothing here knows
 * a key, a clock or a socket. MESSAGE-INTEGRITY and FINGERPRINT are computed in stun/seal.h.
 *
 * Reading: stun_parse() checks the whole message once, then the getters cannot run off its end.
 *     struct stun_msg m;
 *     if (stun_parse(&m, data, len) == BK_OK && m.method == STUN_BINDING &&
 *         stun_get_addr(&m, STUN_XOR_MAPPED_ADDRESS, &mapped) == BK_OK) ...
 * Writing: start, put, finish; the first failure sticks, finish tells it.
 *     struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
 *     stun_put_u32(&b, STUN_PRIORITY, priority);
 *     stun_put_fingerprint(&b);                      (stun/seal.h)
 *     enum bk_err err = stun_finish(&b, &len);
 * A new attribute is one line in enum stun_attr_type and one row in stun_attr.c. */
#ifndef WIRE_STUN_H
#define WIRE_STUN_H

#include "wire/reader.h"
#include "wire/writer.h"

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STUN_HEADER_LEN = 20,
    STUN_TXID_LEN = 12,
    STUN_PORT = 3478,
    STUN_MESSAGE_MAX = 548,  /* what a builder on a stack should hold: RFC 8489 section 6.1, the
                                largest message for a path whose MTU is not known, over IPv4 */
    STUN_UNKNOWN_MAX = 16,   /* unknown attributes listed in a 420 answer; more are not told */
    STUN_ALGORITHMS_MAX = 4, /* password algorithms read from one list; more are ignored */
};

#define STUN_COOKIE UINT32_C(0x2112a442) /* RFC 8489 section 5 */

/* RFC 8489 section 5: the class is two bits spread over the message type. */
enum stun_class { STUN_REQUEST = 0, STUN_INDICATION = 1, STUN_SUCCESS = 2, STUN_ERROR = 3 };

enum stun_method {
    STUN_BINDING = 0x001,
    TURN_ALLOCATE = 0x003, /* this and the following: RFC 8656 section 17 */
    TURN_REFRESH = 0x004,
    TURN_SEND = 0x006,
    TURN_DATA = 0x007,
    TURN_CREATE_PERMISSION = 0x008,
    TURN_CHANNEL_BIND = 0x009,
    TURN_METHOD_CONNECT = 0x00a, /* this and the following: RFC 6062 section 6.1 */
    TURN_CONNECTION_BIND = 0x00b,
    TURN_CONNECTION_ATTEMPT = 0x00c,
};

enum stun_attr_type {
    STUN_MAPPED_ADDRESS = 0x0001,
    STUN_CHANGE_REQUEST = 0x0003,
    STUN_USERNAME = 0x0006,
    STUN_MESSAGE_INTEGRITY = 0x0008,
    STUN_ERROR_CODE = 0x0009,
    STUN_UNKNOWN_ATTRIBUTES = 0x000a,
    TURN_CHANNEL_NUMBER = 0x000c, /* the names with TURN_: RFC 8656 section 18 */
    TURN_LIFETIME = 0x000d,
    TURN_XOR_PEER_ADDRESS = 0x0012,
    TURN_DATA_ATTR = 0x0013, /* DATA; TURN_DATA is the method */
    STUN_REALM = 0x0014,
    STUN_NONCE = 0x0015,
    TURN_XOR_RELAYED_ADDRESS = 0x0016,
    TURN_REQUESTED_ADDRESS_FAMILY = 0x0017,
    TURN_EVEN_PORT = 0x0018,
    TURN_REQUESTED_TRANSPORT = 0x0019,
    TURN_DONT_FRAGMENT = 0x001a,
    STUN_ACCESS_TOKEN = 0x001b, /* RFC 7635 section 6.2 */
    STUN_MESSAGE_INTEGRITY_SHA256 = 0x001c,
    STUN_PASSWORD_ALGORITHM = 0x001d,
    STUN_USERHASH = 0x001e,
    STUN_XOR_MAPPED_ADDRESS = 0x0020,
    TURN_RESERVATION_TOKEN = 0x0022,
    STUN_PRIORITY = 0x0024,
    STUN_USE_CANDIDATE = 0x0025,
    STUN_PADDING = 0x0026,
    STUN_RESPONSE_PORT = 0x0027,
    TURN_CONNECTION_ID = 0x002a, /* RFC 6062 section 6.2.1 */
    TURN_ADDITIONAL_ADDRESS_FAMILY = 0x8000,
    TURN_ADDRESS_ERROR_CODE = 0x8001,
    STUN_PASSWORD_ALGORITHMS = 0x8002,
    STUN_ALTERNATE_DOMAIN = 0x8003,
    TURN_ICMP = 0x8004,
    STUN_SOFTWARE = 0x8022,
    STUN_ALTERNATE_SERVER = 0x8023,
    STUN_FINGERPRINT = 0x8028,
    STUN_ICE_CONTROLLED = 0x8029,
    STUN_ICE_CONTROLLING = 0x802a,
    STUN_RESPONSE_ORIGIN = 0x802b,
    STUN_OTHER_ADDRESS = 0x802c,
    STUN_THIRD_PARTY_AUTHORIZATION = 0x802e, /* RFC 7635 section 6.1 */
    TURN_MOBILITY_TICKET = 0x8030,           /* RFC 8016 section 3.6 */
    /* Ours, from the range where a stranger skips what it does not know (RFC 8489 section 18.3):
     * the other port of a server that has one address and may not say OTHER-ADDRESS. */
    STUN_OTHER_PORT = 0xf0b0,
};

/* Error codes, RFC 8489 section 14.8, RFC 8445 section 16.2; TURN's: RFC 8656 section 19. */
enum {
    STUN_CODE_TRY_ALTERNATE = 300,
    STUN_CODE_BAD_REQUEST = 400,
    STUN_CODE_UNAUTHENTICATED = 401,
    STUN_CODE_FORBIDDEN = 403,          /* RFC 8656 section 19 */
    TURN_CODE_MOBILITY_FORBIDDEN = 405, /* RFC 8016 section 3.4 */
    STUN_CODE_UNKNOWN_ATTRIBUTE = 420,
    TURN_CODE_ALLOCATION_MISMATCH = 437,
    STUN_CODE_STALE_NONCE = 438,
    TURN_CODE_FAMILY_UNSUPPORTED = 440,
    TURN_CODE_WRONG_CREDENTIALS = 441,
    TURN_CODE_TRANSPORT_UNSUPPORTED = 442,
    TURN_CODE_PEER_FAMILY_MISMATCH = 443,
    TURN_CODE_CONNECTION_EXISTS = 446, /* this and the following: RFC 6062 section 6.3 */
    TURN_CODE_CONNECTION_FAILED = 447,
    TURN_CODE_QUOTA_REACHED = 486,
    STUN_CODE_ROLE_CONFLICT = 487,
    STUN_CODE_SERVER_ERROR = 500,
    TURN_CODE_INSUFFICIENT_CAPACITY = 508,
};

/* Who understands an attribute; a set for stun_unknown_required(). */
enum stun_use {
    STUN_USE_BASE = 1,      /* RFC 8489 */
    STUN_USE_ICE = 2,       /* RFC 8445 section 16.1 */
    STUN_USE_DISCOVERY = 4, /* RFC 5780 section 7 */
    STUN_USE_TURN = 8,      /* RFC 8656 section 18 */
};

/* Password algorithms, RFC 8489 section 18.5. */
enum stun_algorithm { STUN_ALGORITHM_MD5 = 1, STUN_ALGORITHM_SHA256 = 2 };

/* A parsed message: views into the caller's bytes, valid as long as these are. The offsets are from
 * the message's first byte to the attribute's type field; 0 means the attribute is not there. */
struct stun_msg {
    const uint8_t *data; /* the whole message */
    size_t len;
    enum stun_class cls;
    uint16_t method;     /* an enum stun_method, or one we do not know */
    const uint8_t *txid; /* STUN_TXID_LEN bytes */
    size_t integrity_at, integrity_sha256_at, fingerprint_at;
};

struct stun_attr {
    uint16_t type;
    const uint8_t *value;
    size_t len; /* without padding */
    size_t at;  /* offset of the attribute's type field in the message */
};

/* Cheap test for demultiplexing, RFC 7983 section 7 and RFC 8489 section 5: the first two bits are
 * zero and the cookie is there. Says nothing about the rest of the message. */
bool stun_is_message(const uint8_t *data, size_t len);

/* Checks all of one message: header, attribute lengths, the fixed sizes of known attributes.
 * BK_ERR_NOT_OURS: another protocol, or RFC 3489 STUN, which has no cookie: try the next one.
 * BK_ERR_SHORT: the data end before the message does (on a stream: read more).
 * BK_ERR_MALFORMED: it is STUN and wrong, bytes after the message included. */
BK_MUST_USE enum bk_err stun_parse(struct stun_msg *out, const uint8_t *data, size_t len);

/* Walks the attributes that count, in their order. RFC 8489 sections 14.5 to 14.7: what follows
 * MESSAGE-INTEGRITY is not protected and therefore not shown, except MESSAGE-INTEGRITY-SHA256 and
 * FINGERPRINT; after the former only FINGERPRINT, after that nothing. */
struct stun_iter {
    struct wire_reader r;
    const uint8_t *start;
    int stage;
};
struct stun_iter stun_attrs(const struct stun_msg *msg);
/* false: no more. */
bool stun_next_attr(struct stun_iter *it, struct stun_attr *out);

/* The first attribute of this type (RFC 8489 section 14: later ones are ignored). false: none. */
bool stun_find(const struct stun_msg *msg, uint16_t type, struct stun_attr *out);
bool stun_has(const struct stun_msg *msg, uint16_t type);

/* Typed getters. BK_ERR_NOT_FOUND: no such attribute. BK_ERR_MALFORMED: its value breaks its format
 * (or is of another kind than the one asked for). */
/* MAPPED-ADDRESS, XOR-MAPPED-ADDRESS, ALTERNATE-SERVER ...: the table knows which are XORed. */
BK_MUST_USE enum bk_err stun_get_addr(const struct stun_msg *msg, uint16_t type,
                                      struct bk_addr *out);
/* The same of an attribute of `msg` at hand, where there may be several: XOR-PEER-ADDRESS. */
BK_MUST_USE enum bk_err stun_read_addr(const struct stun_msg *msg, const struct stun_attr *attr,
                                       struct bk_addr *out);
/* The raw value of any attribute: USERNAME, REALM, NONCE, SOFTWARE, USERHASH, PADDING ... */
BK_MUST_USE enum bk_err stun_get_bytes(const struct stun_msg *msg, uint16_t type,
                                       struct wire_span *out);
BK_MUST_USE enum bk_err stun_get_u32(const struct stun_msg *msg, uint16_t type, uint32_t *out);
BK_MUST_USE enum bk_err stun_get_u64(const struct stun_msg *msg, uint16_t type, uint64_t *out);
/* RESPONSE-PORT and OTHER-PORT: a port, RFC 5780 section 7.5. CHANNEL-NUMBER has the same form. */
BK_MUST_USE enum bk_err stun_get_port(const struct stun_msg *msg, uint16_t type, uint16_t *out);
/* ERROR-CODE: a code from 300 to 699. `reason` may be NULL. */
BK_MUST_USE enum bk_err stun_get_error(const struct stun_msg *msg, uint16_t *code,
                                       struct wire_span *reason);

/* UNKNOWN-ATTRIBUTES: up to STUN_UNKNOWN_MAX types, in `types`, and their count. */
struct stun_types {
    uint16_t types[STUN_UNKNOWN_MAX];
    size_t count;
};
BK_MUST_USE enum bk_err stun_get_unknown(const struct stun_msg *msg, struct stun_types *out);

/* PASSWORD-ALGORITHM (a list of one) or PASSWORD-ALGORITHMS: the numbers, parameters left out. */
struct stun_algorithms {
    uint16_t list[STUN_ALGORITHMS_MAX];
    size_t count;
};
BK_MUST_USE enum bk_err stun_get_algorithms(const struct stun_msg *msg, uint16_t type,
                                            struct stun_algorithms *out);

/* The comprehension-required attributes (type below 0x8000) that none of `uses`, a set of enum
 * stun_use, understands. A request that has any is answered with 420, a response is dropped,
 * RFC 8489 sections 6.3.1 to 6.3.4. */
void stun_unknown_required(const struct stun_msg *msg, unsigned uses, struct stun_types *out);

/* "XOR-MAPPED-ADDRESS"; "unknown" for what is not in the table. Static text. */
const char *stun_attr_name(uint16_t type);

/* A message under construction in the caller's buffer. Its header's length is right after each put,
 * so the bytes so far are always a message. */
struct stun_builder {
    struct wire_writer w;
    bool bad_value; /* a value is longer than its RFC allows, or of the wrong kind */
};

/* `txid`: STUN_TXID_LEN bytes; for a new request from the random generator. */
struct stun_builder stun_start(void *buf, size_t cap, enum stun_class cls, uint16_t method,
                               const uint8_t *txid);
/* An answer to `request`: same method and transaction id; `cls` is STUN_SUCCESS or STUN_ERROR. */
struct stun_builder stun_start_reply(void *buf, size_t cap, enum stun_class cls,
                                     const struct stun_msg *request);
void stun_put_bytes(struct stun_builder *b, uint16_t type, const void *bytes, size_t len);
void stun_put_flag(struct stun_builder *b, uint16_t type); /* no value: USE-CANDIDATE */
void stun_put_u32(struct stun_builder *b, uint16_t type, uint32_t value);
void stun_put_u64(struct stun_builder *b, uint16_t type, uint64_t value);
/* XORed where the table says so. */
void stun_put_addr(struct stun_builder *b, uint16_t type, const struct bk_addr *addr);
/* RESPONSE-PORT, OTHER-PORT, CHANNEL-NUMBER. */
void stun_put_port(struct stun_builder *b, uint16_t type, uint16_t port);
/* `reason` NULL: none. */
void stun_put_error(struct stun_builder *b, uint16_t code, const char *reason);
void stun_put_unknown(struct stun_builder *b, const struct stun_types *types);
void stun_put_algorithms(struct stun_builder *b, uint16_t type, const struct stun_algorithms *list);
/* Adds the attribute with a value the caller fills in at once. NULL: does not fit. */
uint8_t *stun_put_room(struct stun_builder *b, uint16_t type, size_t len);
/* The message's length. BK_ERR_TOO_LONG: the buffer is too small. BK_ERR_ARGUMENT: a value was
 * outside its RFC's limits. */
BK_MUST_USE enum bk_err stun_finish(struct stun_builder *b, size_t *len);

#endif
