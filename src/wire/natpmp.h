/* SPDX-License-Identifier: MIT
 * NAT-PMP, RFC 6886: requests and responses as structs, both ways. Pure functions. */
#ifndef WIRE_NATPMP_H
#define WIRE_NATPMP_H

#include "wire/reader.h"
#include "wire/writer.h"

#include <bodkin/addr.h>

enum { NATPMP_VERSION = 0, NATPMP_MESSAGE_MAX = 16 };

enum natpmp_opcode { NATPMP_EXTERNAL = 0, NATPMP_MAP_UDP = 1, NATPMP_MAP_TCP = 2 };

/* RFC 6886 section 3.5. */
enum natpmp_result {
    NATPMP_SUCCESS = 0,
    NATPMP_UNSUPP_VERSION = 1,
    NATPMP_NOT_AUTHORIZED = 2,
    NATPMP_NETWORK_FAILURE = 3,
    NATPMP_NO_RESOURCES = 4,
    NATPMP_UNSUPP_OPCODE = 5
};

struct natpmp_request {
    enum natpmp_opcode opcode;
    uint16_t internal_port, external_port; /* MAP */
    uint32_t lifetime_s;                   /* MAP; 0: delete */
};

struct natpmp_response {
    uint8_t opcode; /* enum natpmp_opcode, or another with NATPMP_UNSUPP_OPCODE */
    uint16_t result;
    uint32_t epoch_s;
    struct bk_ip external;                 /* EXTERNAL that succeeded */
    uint16_t internal_port, external_port; /* MAP that succeeded */
    uint32_t lifetime_s;
};

/* The length; 0: `cap` is too small. */
size_t natpmp_build_request(const struct natpmp_request *q, uint8_t *buf, size_t cap);
size_t natpmp_build_response(const struct natpmp_response *p, uint8_t *buf, size_t cap);
/* BK_ERR_NOT_OURS: another version or direction. BK_ERR_SHORT. BK_ERR_MALFORMED: an opcode that
 * does not exist. */
BK_MUST_USE enum bk_err natpmp_parse_request(const uint8_t *data, size_t len,
                                             struct natpmp_request *out);
BK_MUST_USE enum bk_err natpmp_parse_response(const uint8_t *data, size_t len,
                                              struct natpmp_response *out);

/* Half a sentence for a person. Static, never NULL. */
const char *natpmp_result_text(uint16_t result);

#endif
