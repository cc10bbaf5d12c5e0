/* SPDX-License-Identifier: MIT */
#include "turn/account.h"

#include "base/assert.h"
#include "base/table.h"

#include <string.h>

enum { PREFIX_V6 = 7 }; /* bytes: a /56, which is what a customer gets, RFC 6177 */

enum bk_err turn_accounts_init(struct turn_accounts *a, uint32_t max, const uint64_t seed[2],
                               const struct bk_alloc *alloc) {
    memcpy(a->seed, seed, sizeof a->seed);
    enum bk_err err = pool_init(&a->pool, sizeof(struct turn_account), max, alloc);
    if (err == BK_OK)
        err = links_init(&a->by_key, &a->pool, offsetof(struct turn_account, by_key), alloc);
    return err;
}

void turn_accounts_fini(struct turn_accounts *a) {
    links_fini(&a->by_key);
    pool_fini(&a->pool);
}

uint64_t turn_account_key(const struct turn_accounts *a, const struct bk_ip *ip) {
    return siphash24(a->seed, ip->bytes, ip->family == BK_IPV4 ? 4 : PREFIX_V6) | 1;
}

/* Keys need no hashing against floods: users are the operator's, addresses are hashed already. */
static uint32_t hash_of(uint64_t key) {
    return (uint32_t)(key ^ key >> 32) * UINT32_C(2654435761);
}

uint32_t turn_accounts_find(const struct turn_accounts *a, uint64_t key) {
    uint32_t i = links_first(&a->by_key, hash_of(key));
    while (i != POOL_NONE && turn_account_at(a, i)->key != key)
        i = links_next(&a->by_key, i);
    return i;
}

uint32_t turn_accounts_enter(struct turn_accounts *a, uint64_t key, uint64_t bytes_per_s,
                             struct bk_time now) {
    uint32_t i = turn_accounts_find(a, key);
    if (i != POOL_NONE) {
        turn_account_at(a, i)->allocs++;
        return i;
    }
    i = pool_take(&a->pool);
    if (i == POOL_NONE)
        return POOL_NONE;
    struct turn_account *account = turn_account_at(a, i);
    account->key = key;
    account->allocs = 1;
    account->bucket = (struct turn_bucket){.bytes_per_s = bytes_per_s, .at = now};
    links_add(&a->by_key, i, hash_of(key));
    return i;
}

void turn_account_is(struct turn_account *account, const void *name, size_t len) {
    account->is_user = true;
    if (name == NULL || account->name[0] != '\0')
        return;
    if (len > sizeof account->name - 1)
        len = sizeof account->name - 1;
    memcpy(account->name, name, len);
    account->name[len] = '\0';
}

void turn_accounts_leave(struct turn_accounts *a, uint32_t i) {
    struct turn_account *account = turn_account_at(a, i);
    bk_assert(account->allocs > 0);
    if (--account->allocs > 0)
        return;
    links_remove(&a->by_key, i);
    pool_give(&a->pool, i);
}
