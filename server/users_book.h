/* SPDX-License-Identifier: MIT
 * Who may log in, as of one moment: users with their keys, and the secrets of time-limited names.
 * Made by the main thread, then never changed: workers read it without a lock, and a new one
 * replaces it whole. There are no passwords in it.
 *
 * A user is found by the SHA-256 of "name:realm", which is what USERHASH carries (RFC 8489 section
 * 14.4), so that both spellings are one lookup.
 *
 * A time-limited name is "EXPIRY:NAME" or "EXPIRY", in seconds since 1970; its password is
 * base64(HMAC-SHA1(secret, whole name)) (draft-uberti-behave-turn-rest-00 section 2.2). */
#ifndef SERVER_USERS_BOOK_H
#define SERVER_USERS_BOOK_H

#include "turn/users.h"
#include <bodkin/env.h>

enum { USERS_SECRETS_MAX = 16, USERS_MD5_LEN = 16, USERS_SHA256_LEN = 32 };

struct users_entry {
    uint8_t md5[USERS_MD5_LEN], sha256[USERS_SHA256_LEN]; /* of "name:realm:password" */
    bool has_md5, has_sha256;
    uint32_t allocations_max;  /* 0: as everybody */
    uint64_t bytes_per_s;      /* the same */
    char name[TURN_USER_NAME]; /* cut short; users_book_add() fills it in */
};

struct users_book; /* opaque */

/* `realm` as in turn/service.h. Room for `users_max` users. BK_ERR_NO_MEMORY, BK_ERR_ARGUMENT. */
BK_MUST_USE enum bk_err users_book_new(const char *realm, uint32_t users_max,
                                       const struct bk_rng *rng, const struct bk_alloc *alloc,
                                       struct users_book **out);
struct users_book *users_book_ref(struct users_book *b);
/* Wiped and freed with the last one. NULL is fine. */
void users_book_unref(struct users_book *b);

/* BK_ERR_EXISTS: there is a user of that name. BK_ERR_FULL. BK_ERR_ARGUMENT: not a name
 * (stun_text_check()). */
BK_MUST_USE enum bk_err users_book_add(struct users_book *b, const char *name,
                                       const struct users_entry *entry);
BK_MUST_USE enum bk_err users_book_add_secret(struct users_book *b, const char *secret);
/* Makes an entry's keys. "0x" and 32 or 64 hexadecimal digits: the password is a key itself, MD5 or
 * SHA-256. BK_ERR_ARGUMENT: not a name or password. */
BK_MUST_USE enum bk_err users_entry_make(const char *name, const char *realm, const char *password,
                                         struct users_entry *out);
size_t users_book_count(const struct users_book *b);

/* As struct turn_users; `now_s` since 1970. */
enum turn_found users_book_find(const struct users_book *b, const struct stun_claim *claim,
                                int64_t now_s, struct turn_user *out);
bool users_book_another(const struct users_book *b, const struct stun_claim *claim, unsigned n,
                        int64_t now_s, struct turn_user *out);
/* The claim's name as a text; `out` has room for STUN_USER_MAX + 1. false: none, or no text. */
bool users_name_of(const struct stun_claim *claim, char *out);
/* What an entry is for that claim. false: it has no key for the claim's algorithm. */
bool users_entry_use(const struct users_entry *e, uint64_t id, const struct stun_claim *claim,
                     struct turn_user *out);
/* turn_user.id of that name; the same in every run. */
uint64_t users_id(const char *name, const char *realm);

#endif
