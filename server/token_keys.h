/* SPDX-License-Identifier: MIT
 * Keys of RFC 7635 tokens from options: "KID:KEY", KEY in base64 (RFC 4648 section 4). */
#ifndef SERVER_TOKEN_KEYS_H
#define SERVER_TOKEN_KEYS_H

#include "server/options_turn.h"
#include "turn/token.h"

struct token_keys {
    struct turn_token_key list[SERVER_SECRETS_MAX];
    size_t count;
};

/* How many bytes of `out`; 0: not base64, or more than `cap` of them. */
size_t token_base64_read(const char *text, uint8_t *out, size_t cap);
/* false: one of them has no name of 1 to 32 bytes, or no key of 16 or 32 bytes. Wipe it. */
bool token_keys_read(const struct server_secrets *from, struct token_keys *out);

#endif
