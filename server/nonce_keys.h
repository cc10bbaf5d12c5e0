/* SPDX-License-Identifier: MIT
 * --turn-nonce-key: what nonces and mobility tickets are made with, when several servers shall take
 * each other's. */
#ifndef SERVER_NONCE_KEYS_H
#define SERVER_NONCE_KEYS_H

#include "server/options_turn.h"

enum { NONCE_KEY_LEN = 32, NONCE_KEYS = 2, NONCE_KEY_TEXT_MIN = 16 };

struct nonce_keys {
    uint8_t list[NONCE_KEYS][NONCE_KEY_LEN]; /* the one in use, the other one that is good */
    size_t count;                            /* 0: the option was not given */
};

/* false: too many, or one that is short enough to be guessed. `out` is a secret: wipe it. */
bool nonce_keys_read(const struct server_secrets *from, struct nonce_keys *out);

#endif
