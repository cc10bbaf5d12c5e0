/* SPDX-License-Identifier: MIT
 * ACCESS-TOKEN, RFC 7635 section 6.2: who may use the server is decided elsewhere, by who made the
 * token; server and maker share a key. In it, sealed: the key that the client signs its requests
 * with, and for how long. Tokens come from strangers: everything in one is bounded. */
#ifndef TURN_TOKEN_H
#define TURN_TOKEN_H

#include "wire/reader.h"

#include <bodkin/err.h>
#include <bodkin/time.h>

enum {
    TURN_KID_MAX = 32,
    TURN_TOKEN_KEY_MAX = 32, /* of the client's key: for HMAC-SHA1 20 bytes, for SHA-256 32 */
    TURN_TOKEN_SERVER_MAX = 255
};

/* A key shared with a maker of tokens, section 4.1.1. */
struct turn_token_key {
    char kid[TURN_KID_MAX + 1]; /* its name, which comes as USERNAME */
    uint8_t key[32];
    size_t len; /* 16: AES-128-GCM; 32: AES-256-GCM */
};

struct turn_tokens {
    const char *server;                /* our name, which tokens are made for; NULL: no tokens */
    const struct turn_token_key *keys; /* two for each maker while they are changed */
    size_t count;
    int64_t unix_us; /* what is added to struct bk_time to have the time since 1970 */
};

struct turn_token {
    uint8_t key[TURN_TOKEN_KEY_MAX];
    size_t key_len;
    int64_t lifetime_s; /* that is left, 1 or more */
};

/* Which key a USERNAME means. NULL: none. */
const struct turn_token_key *turn_token_key(const struct turn_tokens *t,
                                            const struct wire_span *kid);
/* BK_ERR_MALFORMED. BK_ERR_AUTH: not sealed with this key for this server. BK_ERR_TIMEOUT: its time
 * is over, or has not come. */
BK_MUST_USE enum bk_err turn_token_open(const struct turn_tokens *t,
                                        const struct turn_token_key *key,
                                        const struct wire_span *bytes, struct bk_time now,
                                        struct turn_token *out);

#endif
