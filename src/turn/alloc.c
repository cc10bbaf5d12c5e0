/* SPDX-License-Identifier: MIT */
#include "turn/alloc.h"

#include "base/assert.h"
#include "base/table.h"
#include "turn/key.h"

#include <string.h>

static uint32_t hash_of(const struct turn_allocs *a, const struct bk_datagram *in) {
    uint8_t key[2 * TURN_KEY_ADDR + 1];
    size_t len = turn_key_addr(key, &in->remote);
    len += turn_key_addr(key + len, &in->local);
    key[len++] = in->protocol;
    return (uint32_t)siphash24(a->seed, key, len);
}

enum bk_err turn_allocs_init(struct turn_allocs *a, uint32_t max, const struct bk_rng *rng,
                             const struct bk_alloc *alloc) {
    rng->fill(rng->ctx, a->seed, sizeof a->seed);
    enum bk_err err = pool_init(&a->pool, sizeof(struct turn_alloc), max, alloc);
    waits_init(&a->waits, &a->pool, offsetof(struct turn_alloc, wait));
    if (err == BK_OK)
        err = links_init(&a->by_tuple, &a->pool, offsetof(struct turn_alloc, by_tuple), alloc);
    return err;
}

void turn_allocs_fini(struct turn_allocs *a) {
    links_fini(&a->by_tuple);
    pool_fini(&a->pool);
}

uint32_t turn_allocs_find(const struct turn_allocs *a, const struct bk_datagram *in) {
    uint32_t i = links_first(&a->by_tuple, hash_of(a, in));
    for (; i != POOL_NONE; i = links_next(&a->by_tuple, i)) {
        const struct turn_alloc *t = turn_alloc_at(a, i);
        if (t->protocol == in->protocol && bk_addr_equal(&t->client, &in->remote) &&
            bk_addr_equal(&t->server, &in->local))
            return i;
    }
    return TURN_NONE;
}

static void settle(struct turn_allocs *a, uint32_t i, const struct bk_datagram *in) {
    struct turn_alloc *t = turn_alloc_at(a, i);
    t->client = in->remote;
    t->server = in->local;
    t->protocol = in->protocol;
    links_add(&a->by_tuple, i, hash_of(a, in));
}

uint32_t turn_allocs_add(struct turn_allocs *a, const struct bk_datagram *in, uint64_t user) {
    bk_assert(user != 0);
    uint32_t i = pool_take(&a->pool);
    if (i == POOL_NONE)
        return TURN_NONE;
    struct turn_alloc *t = turn_alloc_at(a, i);
    t->user = user;
    t->first_perm = t->first_chan = t->first_conn = TURN_NONE;
    t->payer[TURN_USER] = t->payer[TURN_ADDRESS] = TURN_NONE;
    settle(a, i, in);
    return i;
}

void turn_allocs_move(struct turn_allocs *a, uint32_t i, const struct bk_datagram *in) {
    links_remove(&a->by_tuple, i);
    settle(a, i, in);
}

void turn_allocs_remove(struct turn_allocs *a, uint32_t i) {
    const struct turn_alloc *t = turn_alloc_at(a, i);
    bk_assert(t->user != 0 && t->first_perm == TURN_NONE && t->first_chan == TURN_NONE &&
              t->first_conn == TURN_NONE);
    waits_set(&a->waits, i, BK_NEVER, BK_NEVER);
    links_remove(&a->by_tuple, i);
    pool_give(&a->pool, i);
}
