/* SPDX-License-Identifier: MIT
 * Credentials, RFC 8489 section 9, for both sides. Short-term (9.1): a user name and a password
 * that both sides know from elsewhere; ICE does that. Long-term (9.2): the server challenges with a
 * realm and a nonce, the client proves that it knows the password; TURN does that.
 *
 * Texts are OpaqueString (RFC 8265) in RFC 8489. Here ASCII is complete; other UTF-8 is taken as
 * given, so the caller brings it already normalised (NFC, non-ASCII spaces mapped to U+0020).
 * Empty texts, control characters and broken UTF-8 are refused: BK_ERR_ARGUMENT. */
#ifndef STUN_AUTH_H
#define STUN_AUTH_H

#include "wire/stun.h"

#include <bodkin/env.h>
#include <bodkin/time.h>

enum {
    STUN_KEY_MAX = 256, /* longest password: ICE's, RFC 8445 section 5.3 */
    STUN_USER_MAX = 513,
    STUN_REALM_MAX = 763, /* these two: RFC 8489 sections 14.9 and 14.10 */
    STUN_NONCE_MAX = 763,
    STUN_USERHASH_LEN = 32,
    STUN_STALE_MAX = 3, /* 438 answers in a row before a client gives up */
};

/* What HMACs are keyed with. Wipe it when it is no longer needed. */
struct stun_key {
    uint8_t bytes[STUN_KEY_MAX];
    size_t len;
};

/* Is it a text this page accepts? BK_ERR_ARGUMENT: no, for the reasons above. */
BK_MUST_USE enum bk_err stun_text_check(const void *text, size_t len);
/* The short-term key is the password. BK_ERR_TOO_LONG: more than STUN_KEY_MAX bytes. */
BK_MUST_USE enum bk_err stun_key_short(const char *password, struct stun_key *out);
/* RFC 8489 section 9.2.2: MD5 or SHA-256 of "user:realm:password".
 * BK_ERR_UNSUPPORTED: another algorithm. */
BK_MUST_USE enum bk_err stun_key_long(const char *user, const char *realm, const char *password,
                                      enum stun_algorithm algorithm, struct stun_key *out);
/* RFC 8489 section 14.4: SHA-256 of "user:realm". */
void stun_userhash(const char *user, const char *realm, uint8_t out[STUN_USERHASH_LEN]);

/* ---- Short-term --------------------------------------------------------------------------- */

/* Server, RFC 8489 section 9.1.3. 0: the request is authentic. Otherwise the error code to answer
 * with, unsigned (an indication is dropped instead): 400: no USERNAME or no MESSAGE-INTEGRITY(
 * -SHA256); 401: another user name or a wrong password. */
uint16_t stun_short_check(const struct stun_msg *request, const char *user,
                          const struct stun_key *key);
/* Server: signs the answer with the attribute that `request` was judged by, and no other. */
void stun_short_sign(struct stun_builder *reply, const struct stun_msg *request,
                     const struct stun_key *key);

/* Which attributes a client's request carried. */
enum stun_seal { STUN_SEAL_SHA1 = 1, STUN_SEAL_SHA256 = 2 };

/* Client, RFC 8489 section 9.1.4. `sent`: a set of enum stun_seal. BK_OK: authentic. *got, which
 * may be NULL, then says which attribute the server knows; later requests carry that one alone
 * (section 9.1.5). BK_ERR_AUTH: as if never received; on TCP and TLS end the transaction. */
BK_MUST_USE enum bk_err stun_short_check_response(const struct stun_msg *response, unsigned sent,
                                                  const struct stun_key *key, enum stun_seal *got);

/* ---- Long-term, client side --------------------------------------------------------------- */

/* The first request goes out bare. Its 401 is answered by a new request (new transaction id) with
 * the attributes that stun_login_put() adds, and so is a 438 later. */
struct stun_login {
    char user[STUN_USER_MAX + 1], password[STUN_KEY_MAX + 1];
    char realm[STUN_REALM_MAX + 1];
    uint8_t nonce[STUN_NONCE_MAX], algorithms[64];
    size_t nonce_len, algorithms_len; /* 0: none heard */
    enum stun_algorithm algorithm;
    bool anonymous;  /* send USERHASH instead of USERNAME */
    bool ready;      /* a challenge was heard: requests are signed */
    bool given;      /* `key` came with an access token, RFC 7635: the password plays no part, and
                        USERNAME names the token's key, so there is nobody to hide */
    uint8_t refused; /* 401 answers to signed requests */
    uint8_t stale;   /* 438 answers in a row */
    struct stun_key key;
};

/* BK_ERR_ARGUMENT, BK_ERR_TOO_LONG: see above. */
BK_MUST_USE enum bk_err stun_login_init(struct stun_login *l, const char *user,
                                        const char *password);
void stun_login_fini(struct stun_login *l); /* wipes */
/* Adds user, realm, nonce, algorithms and the message integrity; nothing before the first
 * challenge. FINGERPRINT may follow. */
void stun_login_put(const struct stun_login *l, struct stun_builder *b);

/* What to do with a response whose transaction id matched. */
enum stun_login_verdict {
    STUN_LOGIN_ACCEPT, /* authentic (or an error that needs no proof): process it */
    STUN_LOGIN_RETRY,  /* 401 or 438 understood: send again with a new transaction id */
    STUN_LOGIN_IGNORE, /* forged or broken: as if never received; retransmission goes on. On TCP and
                          TLS: end the transaction, the integrity was violated */
    STUN_LOGIN_REFUSED /* wrong user or password, no common algorithm, or a bid-down attempt (RFC
                          8489 section 9.2.1): do not try again */
};
/* RFC 8489 section 9.2.5. */
enum stun_login_verdict stun_login_check(struct stun_login *l, const struct stun_msg *response);

/* ---- Long-term, server side --------------------------------------------------------------- */

/* Stateless: the nonce carries its time and a MAC over time and source address, so nothing is kept
 * per client and any worker with the same secret accepts it. */
struct stun_realm {
    char realm[STUN_REALM_MAX + 1];
    uint8_t secret[32], previous[32]; /* nonces are made with the first, and may be of either */
    bool has_previous;
    int64_t nonce_us; /* lifetime of a nonce */
    int64_t clock_us; /* added to the time, for a clock that others with this secret have, too */
    bool anonymous;   /* offer USERHASH; stun_claim then may name a hash */
};

/* `secret` from the random generator, shared by the workers of one server. nonce_us: 1 s or more;
 * an hour is RFC 8656 section 5's upper bound. */
BK_MUST_USE enum bk_err stun_realm_init(struct stun_realm *s, const char *realm,
                                        const uint8_t secret[32], int64_t nonce_us, bool anonymous);
void stun_realm_fini(struct stun_realm *s); /* wipes */
/* Changes the secret. `previous`: nonces made with this one are still good (as long as they live),
 * so that servers that share secrets need not change them at the same moment; NULL: none. */
void stun_realm_set_secret(struct stun_realm *s, const uint8_t current[32],
                           const uint8_t previous[32]);

/* Who a request says it is from: exactly one of `user` and `hash` has data. Views the message. */
struct stun_claim {
    struct wire_span user, hash;
    struct bk_ip from;             /* whoever makes it is there */
    enum stun_algorithm algorithm; /* derive the key with this one */
    bool sha256;                   /* sign answers with MESSAGE-INTEGRITY-SHA256 */
    bool stale;                    /* the nonce has expired, or is not ours */
};

/* RFC 8489 section 9.2.4 up to the password. 0: *out is set; look the user up and go on with
 * stun_claim_verify(). Otherwise the code to answer with: 401 (with stun_realm_challenge()), 400.
 */
uint16_t stun_realm_claim(const struct stun_realm *s, const struct stun_msg *request,
                          const struct bk_addr *from, struct bk_time now, struct stun_claim *out);
/* The rest of it. `key` NULL: no such user; takes as long as a wrong password. 0: authentic. 401:
 * wrong. 438: right, but the nonce is stale. Both are answered with stun_realm_challenge(). */
uint16_t stun_claim_verify(const struct stun_claim *claim, const struct stun_msg *request,
                           const struct stun_key *key);
/* Adds REALM, a fresh NONCE and PASSWORD-ALGORITHMS to an error response. */
void stun_realm_challenge(const struct stun_realm *s, struct stun_builder *b,
                          const struct bk_addr *from, struct bk_time now);
/* Adds the message integrity that the claim asks for to an answer. */
void stun_claim_sign(const struct stun_claim *claim, struct stun_builder *b,
                     const struct stun_key *key);

#endif
