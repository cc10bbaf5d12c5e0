/* SPDX-License-Identifier: MIT
 * PCP, RFC 6887: requests and responses as structs, both ways. Pure functions. IPv4 addresses are
 * written as IPv4-mapped IPv6 (RFC 6887 section 5) and read back as IPv4. */
#ifndef WIRE_PCP_H
#define WIRE_PCP_H

#include "wire/reader.h"
#include "wire/writer.h"

#include <bodkin/addr.h>

enum {
    PCP_VERSION = 2,
    PCP_SERVER_PORT = 5351,
    PCP_CLIENT_PORT = 5350, /* announcements come here; NAT-PMP's too */
    PCP_HEADER_LEN = 24,
    PCP_NONCE_LEN = 12,
    PCP_MESSAGE_MAX = 1100 /* RFC 6887 section 7 */
};

enum pcp_opcode { PCP_ANNOUNCE = 0, PCP_MAP = 1, PCP_PEER = 2 };

/* RFC 6887 section 7.4. */
enum pcp_result {
    PCP_SUCCESS = 0,
    PCP_UNSUPP_VERSION = 1,
    PCP_NOT_AUTHORIZED = 2,
    PCP_MALFORMED_REQUEST = 3,
    PCP_UNSUPP_OPCODE = 4,
    PCP_UNSUPP_OPTION = 5,
    PCP_MALFORMED_OPTION = 6,
    PCP_NETWORK_FAILURE = 7,
    PCP_NO_RESOURCES = 8,
    PCP_UNSUPP_PROTOCOL = 9,
    PCP_USER_EX_QUOTA = 10,
    PCP_CANNOT_PROVIDE_EXTERNAL = 11,
    PCP_ADDRESS_MISMATCH = 12,
    PCP_EXCESSIVE_REMOTE_PEERS = 13
};

enum { PCP_PROTOCOL_TCP = 6, PCP_PROTOCOL_UDP = 17 }; /* IANA's */

/* The fields of MAP and PEER, in requests (suggested) and responses (assigned). Sections 11.1 and
 * 12.1. */
struct pcp_map {
    uint8_t nonce[PCP_NONCE_LEN];
    uint8_t protocol;
    uint16_t internal_port;
    struct bk_addr external; /* family NONE in what is written: any address of `client`'s family */
    struct bk_addr peer;     /* PEER */
};

struct pcp_request {
    enum pcp_opcode opcode;
    uint32_t lifetime_s;
    struct bk_ip client;
    struct pcp_map map;  /* MAP, PEER */
    bool prefer_failure; /* MAP: section 13.2 */
    bool other_options;  /* read: there are others, THIRD_PARTY perhaps; never written */
};

struct pcp_response {
    uint8_t version; /* PCP_VERSION, or the server's in an UNSUPP_VERSION answer */
    uint8_t opcode;
    uint8_t result; /* enum pcp_result, or a number not known yet */
    uint32_t lifetime_s;
    uint32_t epoch_s;
    bool has_map; /* `map` was there: always in a successful answer to MAP and PEER */
    struct pcp_map map;
};

/* The length; 0: `cap` is too small. PCP_MESSAGE_MAX is always enough. */
size_t pcp_build_request(const struct pcp_request *q, uint8_t *buf, size_t cap);
size_t pcp_build_response(const struct pcp_response *p, uint8_t *buf, size_t cap);

/* BK_ERR_NOT_OURS: not a response (or request) of PCP. BK_ERR_SHORT, BK_ERR_MALFORMED: it breaks
 * section 7.2 or its opcode's format. */
BK_MUST_USE enum bk_err pcp_parse_request(const uint8_t *data, size_t len, struct pcp_request *out);
/* An UNSUPP_VERSION answer is read for any version above 0; version 0 is NAT-PMP's. */
BK_MUST_USE enum bk_err pcp_parse_response(const uint8_t *data, size_t len,
                                           struct pcp_response *out);

/* Half a sentence for a person: "the router does not allow it". Static, never NULL. */
const char *pcp_result_text(uint8_t result);

#endif
