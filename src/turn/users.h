/* SPDX-License-Identifier: MIT
 * Where the service's users come from. `find` is asked for every request that claims to be from
 * somebody; it may look things up but neither wait nor call the
 * service. */
#ifndef TURN_USERS_H
#define TURN_USERS_H

#include "stun/auth.h"

enum { TURN_USER_NAME = 48 };

struct turn_user {
    uint64_t id;         /* the same for all spellings of one user (name, USERHASH), never 0 */
    struct stun_key key; /* for the claim's algorithm */
    /* This user's own limits; 0: the service's. */
    uint32_t allocations_max;
    uint64_t bytes_per_s;
    int64_t lifetime_s; /* the credentials are good for so long from now, and allocations no longer
                           (RFC 7635 section 4.1.2); 0: no end is known */
    char name[TURN_USER_NAME]; /* for logs and metrics, cut short; "": as the claim has it */
    bool ended;                /* they were good: what they began may go on, nothing new begins */
};

enum turn_found {
    TURN_USER_UNKNOWN,
    TURN_USER_FOUND,
    TURN_USER_LATER /* somebody else was asked; ask again when told that the answer is there */
};

struct turn_users {
    enum turn_found (*find)(void *ctx, const struct stun_claim *claim, struct turn_user *out);
    /* NULL, or: the `n`th (from 1) other key that this user may have, while secrets are changed.
     * Asked when the one before did not fit. false: there is none. */
    bool (*another)(void *ctx, const struct stun_claim *claim, unsigned n, struct turn_user *out);
    void *ctx;
};

/* The simplest source: one name and password. */
struct turn_one_user {
    const char *name, *password, *realm;
};
struct turn_users turn_users_one(struct turn_one_user *user);

#endif
