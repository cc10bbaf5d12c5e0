/* SPDX-License-Identifier: MIT
 * The client's long-term credential in as few bytes as its texts take. stun/auth.h's stun_login has
 * room for the longest texts of RFC 8489, 2.5 KB; a thousand idle relays should not pay for that.
 * It is unpacked onto the stack when a message is made or judged, so its rules are the only ones.
 */
#ifndef TURN_CREDS_H
#define TURN_CREDS_H

#include "stun/auth.h"

enum { CREDS_KEY_MIN = 16, CREDS_KEY_MAX = 32 };

struct creds {
    char *texts; /* user, password, realm (NUL after each), nonce, algorithms; not owned */
    uint16_t user_len, password_len, realm_len, nonce_len, algorithms_len;
    uint16_t challenge_max; /* room for realm, its NUL, nonce and algorithms */
    uint8_t algorithm, refused, stale;
    bool anonymous, ready;
    bool given; /* `key` came with an access token; there is no password */
    uint8_t key_len, key[CREDS_KEY_MAX];
    uint8_t version; /* counts challenges: a request made under an older one is stale by itself */
};

/* What `texts` must have room for. */
size_t creds_size(const char *user, const char *password, size_t challenge_max);
/* *Keeps* `texts`. BK_ERR_ARGUMENT, BK_ERR_TOO_LONG: as stun_login_init(). */
BK_MUST_USE enum bk_err creds_init(struct creds *c, void *texts, const char *user,
                                   const char *password, size_t challenge_max);
/* With the key of an access token (RFC 7635 section 5) instead of a password, of CREDS_KEY_MIN to
 * CREDS_KEY_MAX bytes; `kid` is the user. creds_size() with an empty password is what it takes. */
BK_MUST_USE enum bk_err creds_init_key(struct creds *c, void *texts, const char *kid,
                                       const struct wire_span *key, size_t challenge_max);
/* The same credentials for another connection, which has a challenge of its own. *Keeps* `texts`,
 * as long as the one of `from` is. */
void creds_copy(struct creds *c, void *texts, const struct creds *from);
void creds_fini(struct creds *c); /* wipes */
/* The longest that creds_put() can add to a message. */
size_t creds_put_max(const struct creds *c);
void creds_put(const struct creds *c, struct stun_builder *b);
/* As stun_login_check(). A challenge longer than challenge_max is STUN_LOGIN_REFUSED. */
enum stun_login_verdict creds_check(struct creds *c, const struct stun_msg *response);
/* Forgets the challenge, to be asked again: for a server that may have been replaced. */
void creds_restart(struct creds *c);

#endif
