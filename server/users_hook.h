/* SPDX-License-Identifier: MIT
 * Users that another program knows: asked over HTTP, once for each name, and remembered for as long
 * as it says. In one worker, on its loop; nothing waits. Whatever goes wrong, nobody gets in.
 * `address` is where the client is whose request made us ask; the answer holds for the user
 * wherever he is.
 *
 *     POST /PATH          {"user":"alice","realm":"bodkin","address":"203.0.113.7"}
 *     200                 {"password":"..."} or {"md5":"HEX"} and {"sha256":"HEX"}, and if wanted
 *                         "allocations" (at most), "bandwidth" (bits per second), "ttl" (seconds)
 *     anything else       there is no such user */
#ifndef SERVER_USERS_HOOK_H
#define SERVER_USERS_HOOK_H

#include "net/loop.h"
#include "server/users_book.h"
#include "server/users_url.h"

struct users_hook; /* opaque */

/* It asks nobody yet. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err users_hook_new(struct net_loop *loop, const char *realm,
                                       struct users_hook **out);
/* Whom it asks from now on; takes `target`. What others said is forgotten. */
void users_hook_aim(struct users_hook *h, struct users_target *target);
void users_hook_free(struct users_hook *h); /* NULL is fine */
/* Calls back whenever an answer has come, or has not come in time. */
void users_hook_on_answer(struct users_hook *h, void (*answered)(void *ctx), void *ctx);
/* As struct turn_users, for a name that nobody else knows. */
enum turn_found users_hook_find(struct users_hook *h, const char *name,
                                const struct stun_claim *claim, struct turn_user *out);

/* What an answer's body says. BK_ERR_MALFORMED: not that. *ttl_s is as said, within bounds. */
BK_MUST_USE enum bk_err users_hook_read(const char *json, size_t len, const char *name,
                                        const char *realm, struct users_entry *out, int64_t *ttl_s);

#endif
