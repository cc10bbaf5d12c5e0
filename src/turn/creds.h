/* SPDX-License-Identifier: MIT
 * The client's long-term credential in as few bytes as its texts take. stun/auth.h's stun_login has
 * room for the longest texts of RFC 8489, 2.5 KB; a thousand idle relays should not pay for that.
 * It is unpacked onto the stack when a message is made or judged, so its rules are the only ones.
 */
#ifndef TURN_CREDS_H
#define TURN_CREDS_H

#include "stun/auth.h"

struct creds {
    char *texts; /* user, password, realm (NUL after each), nonce, algorithms; not owned */
    uint16_t user_len, password_len, realm_len, nonce_len, algorithms_len;
    uint16_t challenge_max; /* room for realm, its NUL, nonce and algorithms */
    uint8_t algorithm, refused, stale;
    bool anonymous, ready;
    uint8_t key_len, key[32];
    uint8_t version; /* counts challenges: a request made under an older one is stale by itself */
};

/* What `texts` must have room for. */
size_t creds_size(const char *user, const char *password, size_t challenge_max);
/* *Keeps* `texts`. BK_ERR_ARGUMENT, BK_ERR_TOO_LONG: as stun_login_init(). */
BK_MUST_USE enum bk_err creds_init(struct creds *c, void *texts, const char *user,
                                   const char *password, size_t challenge_max);
void creds_fini(struct creds *c); /* wipes */
/* The longest that creds_put() can add to a message. */
size_t creds_put_max(const struct creds *c);
void creds_put(const struct creds *c, struct stun_builder *b);
/* As stun_login_check(). A challenge longer than challenge_max is STUN_LOGIN_REFUSED. */
enum stun_login_verdict creds_check(struct creds *c, const struct stun_msg *response);
/* Forgets the challenge, to be asked again: for a server that may have been replaced. */
void creds_restart(struct creds *c);

#endif
