/* SPDX-License-Identifier: MIT
 * Multicast DNS messages, RFC 6762, over the format of RFC 1035 section 4: questions for the
 * addresses of a name, and answers. Everything else in a message is checked and skipped. */
#ifndef WIRE_MDNS_H
#define WIRE_MDNS_H

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MDNS_PORT = 5353,
    MDNS_NAME_MAX = 253,    /* characters, without a dot at the end; RFC 1035 section 2.3.4 */
    MDNS_READ_MAX = 9000,   /* longest message, RFC 6762 section 17 */
    MDNS_WRITTEN_MAX = 600, /* longest message of ours */
    MDNS_TTL_S = 120,       /* of a host's address, RFC 6762 section 10 */
    MDNS_LEGACY_TTL_S = 10  /* to whoever did not ask from port 5353, RFC 6762 section 6.7 */
};

/* Question types; MDNS_ANY asks for both. RFC 1035 section 3.2.2, RFC 3596 section 2.1. */
enum mdns_type { MDNS_A = 1, MDNS_AAAA = 28, MDNS_ANY = 255 };

struct mdns_msg {
    const uint8_t *data;
    size_t len;
    uint16_t id;
    bool response;
    uint16_t questions;
    uint16_t answers;
    uint32_t records; /* answers, authorities and additional ones */
};

struct mdns_question {
    char name[MDNS_NAME_MAX + 1]; /* labels with dots between; letter case as sent */
    enum mdns_type type;
    bool unicast; /* the answer may come by unicast, RFC 6762 section 5.4 */
};

struct mdns_record {
    char name[MDNS_NAME_MAX + 1];
    struct bk_ip ip;
    uint32_t ttl_s; /* 0: the address is no longer valid, RFC 6762 section 10.1 */
    bool flush;     /* other addresses of the name are void, RFC 6762 section 10.2 */
    bool answer;    /* it stands among the answers; in a question: the asker knows it already */
};

/* Checks the whole message, so that the walks below cannot fail. Views `data`. BK_ERR_SHORT: less
 * than a header, or it ends before what its counts promise. BK_ERR_NOT_OURS: an opcode or response
 * code, which RFC 6762 sections 18.3 and 18.11 want ignored. BK_ERR_MALFORMED: a name or a record.
 * BK_ERR_TOO_LONG. */
BK_MUST_USE enum bk_err mdns_parse(struct mdns_msg *out, const uint8_t *data, size_t len);

struct mdns_iter {
    const struct mdns_msg *msg;
    size_t at;
    uint32_t index;
};

struct mdns_iter mdns_iter(const struct mdns_msg *msg);
/* The next question for addresses of a host name. Those for services, with spaces in their names,
 * are passed over. One iterator walks the questions first, then the records. */
bool mdns_next_question(struct mdns_iter *it, struct mdns_question *out);
/* The next address. */
bool mdns_next_record(struct mdns_iter *it, struct mdns_record *out);

/* Same name? Letters of either case are the same (RFC 6762 section 16). */
bool mdns_same_name(const char *a, const char *b);
/* A name that can be written: labels of letters, digits, "-" and "_", at most 63 each. */
bool mdns_is_name(const char *name);

/* Asks for both kinds of addresses of `name`. `out` has room for MDNS_WRITTEN_MAX. Returns the
 * length; 0: not mdns_is_name(). */
size_t mdns_write_query(const char *name, bool unicast, uint8_t *out);
/* Tells one address. `legacy`: the question of somebody who asked from a port that is not 5353 and
 * gets it back with its `id`, as from an ordinary server (RFC 6762 section 6.7); else NULL.
 * `out` has room for MDNS_WRITTEN_MAX. Returns the length; 0: not mdns_is_name(). */
size_t mdns_write_answer(const struct mdns_record *record, uint16_t id,
                         const struct mdns_question *legacy, uint8_t *out);

#endif
