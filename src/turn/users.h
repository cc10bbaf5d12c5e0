/* SPDX-License-Identifier: MIT
 * Where the service's users come from. `find` is asked for every request that claims to be from
 * somebody; it may look things up but not call the service. */
#ifndef TURN_USERS_H
#define TURN_USERS_H

#include "stun/auth.h"

struct turn_user {
    uint64_t id;         /* the same for all spellings of one user (name, USERHASH), never 0 */
    struct stun_key key; /* for the claim's algorithm */
};

struct turn_users {
    /* false: no such user. */
    bool (*find)(void *ctx, const struct stun_claim *claim, struct turn_user *out);
    void *ctx;
};

/* The simplest source: one name and password. */
struct turn_one_user {
    const char *name, *password, *realm;
};
struct turn_users turn_users_one(struct turn_one_user *user);

#endif
