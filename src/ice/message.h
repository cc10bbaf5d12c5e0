/* SPDX-License-Identifier: MIT
 * The STUN messages of ICE, RFC 8445 sections 7, 7.1 and 16: building checks and answers, and
 * reading what a check says. Pure functions. */
#ifndef ICE_MESSAGE_H
#define ICE_MESSAGE_H

#include "ice/cred.h"
#include "wire/stun.h"

enum {
    /* draft-thatcher-ice-renomination section 3, the number libwebrtc uses; a 32-bit counter */
    ICE_ATTR_NOMINATION = 0xc001,
    /* Ours, unassigned at IANA (2026-11), comprehension-optional: any receiver skips it. RFC 5780's
     * PADDING would not do: it is comprehension-required and so refused with 420. */
    ICE_ATTR_FILLER = 0xcb0d,
    /* both ufrags, the rest of a check, and some room */
    ICE_MESSAGE_MAX = STUN_MESSAGE_MAX + 2 * BK_ICE_CRED_MAX
};

struct ice_role {
    bool controlling;
    uint64_t tie_breaker;
};

struct ice_check_message {
    const uint8_t *txid;
    struct ice_cred_view local, remote;
    uint32_t priority;
    struct ice_role role;
    bool use_candidate;
    uint32_t nomination; /* 0: no counter */
    size_t pad_to;       /* the whole message's size; 0 or too small: as it comes */
};

/* BK_ERR_TOO_LONG: the buffer is too small. */
BK_MUST_USE enum bk_err ice_build_check(const struct ice_check_message *m, void *buf, size_t cap,
                                        size_t *len);

struct ice_answer_message {
    const uint8_t *txid;
    struct ice_cred_view local;       /* signs it */
    uint16_t code;                    /* 0: success */
    struct bk_addr mapped;            /* of a success */
    const struct stun_types *unknown; /* of a 420 */
};

BK_MUST_USE enum bk_err ice_build_answer(const struct ice_answer_message *m, void *buf, size_t cap,
                                         size_t *len);

/* What a Binding request says. */
struct ice_request {
    const uint8_t *txid;
    bool has_priority, has_role, use_candidate;
    uint32_t priority, nomination;
    struct ice_role role;
};

/* Reads an authenticated request. BK_ERR_MALFORMED: an attribute breaks its format, or both roles
 * are claimed. */
BK_MUST_USE enum bk_err ice_read_request(const struct stun_msg *msg, struct ice_request *out);

#endif
