/* SPDX-License-Identifier: MIT
 * What quotas are counted in: an account for each user with an allocation here, and one for each
 * address (IPv6: /56) that clients come from. RFC 8656 section 7.2, point 10. */
#ifndef TURN_ACCOUNT_H
#define TURN_ACCOUNT_H

#include "base/links.h"
#include "turn/bucket.h"

#include <bodkin/addr.h>

enum { TURN_ACCOUNT_NAME = 48 };

struct turn_account {
    struct link by_key;
    uint64_t key;
    uint32_t allocs;
    struct turn_bucket bucket; /* what is left of a lease, ledger.h; `at`: ask again */
    uint64_t bytes;            /* of data, both ways */
    uint64_t seen, lately;     /* top.c */
    bool is_user;
    char name[TURN_ACCOUNT_NAME]; /* of the user, cut short; "": not known */
};

struct turn_accounts {
    struct pool pool;
    struct links by_key;
    uint64_t seed[2];
};

/* `seed`: shared by the workers of one server, so that they have the same keys for addresses. */
BK_MUST_USE enum bk_err turn_accounts_init(struct turn_accounts *a, uint32_t max,
                                           const uint64_t seed[2], const struct bk_alloc *alloc);
void turn_accounts_fini(struct turn_accounts *a);
/* The key of an address: as good as random, so it is nobody's user id. */
uint64_t turn_account_key(const struct turn_accounts *a, const struct bk_ip *ip);
/* POOL_NONE: there is none. */
uint32_t turn_accounts_find(const struct turn_accounts *a, uint64_t key);
/* Finds or opens the account of `key` for one more allocation. POOL_NONE: no room. */
uint32_t turn_accounts_enter(struct turn_accounts *a, uint64_t key, uint64_t bytes_per_s,
                             struct bk_time now);
/* The account is a user's, of that name (NULL: not known yet). */
void turn_account_is(struct turn_account *account, const void *name, size_t len);
/* One allocation fewer; with the last one the account is closed. */
void turn_accounts_leave(struct turn_accounts *a, uint32_t i);

static inline struct turn_account *turn_account_at(const struct turn_accounts *a, uint32_t i) {
    return pool_at(&a->pool, i);
}

#endif
