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

/* What nonces and mobility tickets are made with, and what they may have been made with. */
struct nonce_secrets {
    uint8_t current[NONCE_KEY_LEN], previous[NONCE_KEY_LEN];
    bool has_previous;
    int64_t clock_us; /* turn/service.h: nonce_clock_us */
};

/* Those that the options name, from now on. Clients that hold a nonce or a ticket made with the key
 * before go on: it is good until the next change, when no other is named. Once there is a key, only
 * another one replaces it. false: nothing changed. */
bool nonce_secrets_change(struct nonce_secrets *s, const struct server_secrets *from);

/* false: too many, or one that is short enough to be guessed. `out` is a secret: wipe it. */
bool nonce_keys_read(const struct server_secrets *from, struct nonce_keys *out);

#endif
