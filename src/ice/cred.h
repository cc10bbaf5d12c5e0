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

/* The same, owned by somebody else; "" and "": not set. */
struct ice_cred_view {
    const char *ufrag, *pwd;
};

static inline struct ice_cred_view ice_cred_view(const struct ice_cred *cred) {
    struct ice_cred_view view = {cred->ufrag, cred->pwd};
    return view;
}

static inline bool ice_cred_is_set(const struct ice_cred *cred) {
    return cred->ufrag[0] != '\0';
}

/* BK_ERR_ARGUMENT: wrong length, or a character that is no ice-char. */
BK_MUST_USE enum bk_err ice_cred_set(struct ice_cred *cred, const char *ufrag, const char *pwd);
void ice_cred_make(struct ice_cred *cred, const struct bk_rng *rng);
bool ice_cred_equal(struct ice_cred_view cred, const char *ufrag, const char *pwd);
void ice_cred_fini(struct ice_cred *cred);

enum { ICE_SECRET_MAX = 2 * (BK_ICE_CRED_MAX + 1) };

/* The same, in as little memory as it needs: "ufrag\0pwd\0". */
struct ice_secret {
    char *text; /* `cap` bytes; NULL if cap is 0 */
    uint16_t cap, pwd_at;
};

static inline bool ice_secret_is_set(const struct ice_secret *secret) {
    return secret->pwd_at != 0;
}
/* Bytes in use. */
size_t ice_secret_len(const struct ice_secret *secret);
struct ice_cred_view ice_secret_view(const struct ice_secret *secret);
/* There must be room: ICE_SECRET_MAX is always enough. */
void ice_secret_put(struct ice_secret *secret, const struct ice_cred *cred);
void ice_secret_clear(struct ice_secret *secret);

/* Is `username` "ufrag:anything"? The part after the colon is the sender's own and proves nothing;
 * MESSAGE-INTEGRITY does. */
bool ice_cred_is_addressed(struct ice_cred_view cred, struct wire_span username);
/* Is that part `from`'s, in a name that is addressed to `cred`? */
bool ice_cred_is_from(struct ice_cred_view cred, struct ice_cred_view from,
                      struct wire_span username);

#endif
