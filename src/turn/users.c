/* SPDX-License-Identifier: MIT */
#include "turn/users.h"

#include "base/wipe.h"

#include <string.h>

static enum turn_found find_one(void *ctx, const struct stun_claim *claim, struct turn_user *out) {
    const struct turn_one_user *user = ctx;
    uint8_t hash[STUN_USERHASH_LEN];
    bool same = claim->user.data != NULL && claim->user.len == strlen(user->name) &&
                memcmp(claim->user.data, user->name, claim->user.len) == 0;
    if (claim->hash.data != NULL && claim->hash.len == sizeof hash) {
        stun_userhash(user->name, user->realm, hash);
        same = equal_secret(claim->hash.data, hash, sizeof hash);
    }
    out->id = 1;
    if (!same || stun_key_long(user->name, user->realm, user->password, claim->algorithm,
                               &out->key) != BK_OK)
        return TURN_USER_UNKNOWN;
    return TURN_USER_FOUND;
}

struct turn_users turn_users_one(struct turn_one_user *user) {
    const struct turn_users users = {find_one, NULL, user};
    return users;
}
