/* SPDX-License-Identifier: MIT
 * One side's ICE credentials, RFC 8445 section 5.3 and RFC 8839 section 5.4. */
#ifndef ICE_CRED_H
#define ICE_CRED_H

#include "wire/reader.h"

#include <bodkin/checker.h>
#include <bodkin/env.h>
#include <bodkin/err.h>

enum {
    ICE_UFRAG_MADE = 8, /* characters we make: 48 bits, RFC 8445 asks for 24 */
    ICE_PWD_MADE = 24   /* 144 bits, RFC 8445 asks for 128 */
};

struct ice_cred {
    char ufrag[BK_ICE_CRED_MAX + 1]; /* "": not set */
    char pwd[BK_ICE_CRED_MAX + 1];
};

static inline bool ice_cred_is_set(const struct ice_cred *cred) {
    return cred->ufrag[0] != '\0';
}

/* BK_ERR_ARGUMENT: wrong length, or a character that is no ice-char. */
BK_MUST_USE enum bk_err ice_cred_set(struct ice_cred *cred, const char *ufrag, const char *pwd);
void ice_cred_make(struct ice_cred *cred, const struct bk_rng *rng);
bool ice_cred_equal(const struct ice_cred *cred, const char *ufrag, const char *pwd);
void ice_cred_fini(struct ice_cred *cred);

/* Is `username` "ufrag:anything"? The part after the colon is the sender's own and proves nothing;
 * MESSAGE-INTEGRITY does. */
bool ice_cred_is_addressed(const struct ice_cred *cred, struct wire_span username);

#endif
