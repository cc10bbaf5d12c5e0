/* SPDX-License-Identifier: MIT */
#include "turn/alloc.h"

#include "base/assert.h"

#include <string.h>

enum { ADDR_LEN = 19, TUPLE_LEN = 2 * ADDR_LEN + 1 };

static void put_addr(const struct bk_addr *addr, uint8_t out[ADDR_LEN]) {
    out[0] = addr->ip.family;
    memcpy(out + 1, addr->ip.bytes, 16);
    out[17] = (uint8_t)(addr->port >> 8);
    out[18] = (uint8_t)addr->port;
}

static void tuple_key(const struct bk_addr *client, const struct bk_addr *server, uint8_t protocol,
                      uint8_t out[TUPLE_LEN]) {
    put_addr(client, out);
    put_addr(server, out + ADDR_LEN);
    out[TUPLE_LEN - 1] = protocol;
}

enum bk_err turn_allocs_init(struct turn_allocs *a, uint32_t max, const struct bk_rng *rng,
                             const struct bk_alloc *alloc) {
    memset(a, 0, sizeof *a);
    a->alloc = *alloc;
    a->max = max;
    a->list = alloc->get(alloc->ctx, max * sizeof *a->list);
    if (a->list == NULL)
        return BK_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < max; i++)
        a->list[i].first_perm = i + 1 < max ? i + 1 : TURN_NONE;
    enum bk_err err = table_init(&a->by_tuple, TUPLE_LEN, max, rng, alloc);
    return err != BK_OK ? err : table_init(&a->by_user, sizeof(uint64_t), max, rng, alloc);
}

void turn_allocs_fini(struct turn_allocs *a) {
    if (a->by_tuple.slots != NULL)
        table_fini(&a->by_tuple);
    if (a->by_user.slots != NULL)
        table_fini(&a->by_user);
    if (a->list != NULL)
        a->alloc.put(a->alloc.ctx, a->list);
    memset(a, 0, sizeof *a);
}

uint32_t turn_allocs_find(const struct turn_allocs *a, const struct bk_datagram *in) {
    uint8_t key[TUPLE_LEN];
    uint32_t i = TURN_NONE;
    tuple_key(&in->remote, &in->local, in->protocol, key);
    return table_get(&a->by_tuple, key, &i) ? i : TURN_NONE;
}

uint32_t turn_allocs_of_user(const struct turn_allocs *a, uint64_t user) {
    uint32_t count = 0;
    (void)table_get(&a->by_user, &user, &count);
    return count;
}

static void count_user(struct turn_allocs *a, uint64_t user, uint32_t count) {
    if (count == 0) {
        (void)table_remove(&a->by_user, &user);
        return;
    }
    enum bk_err err = table_put(&a->by_user, &user, count);
    bk_assert(err == BK_OK); /* no more users than allocations */
}

uint32_t turn_allocs_add(struct turn_allocs *a, const struct bk_datagram *in, uint64_t user) {
    uint32_t i = a->first_free;
    uint8_t key[TUPLE_LEN];
    bk_assert(user != 0);
    if (a->count == a->max)
        return TURN_NONE;
    struct turn_alloc *t = &a->list[i];
    a->first_free = t->first_perm;
    a->count++;
    memset(t, 0, sizeof *t);
    t->client = in->remote;
    t->server = in->local;
    t->protocol = in->protocol;
    t->user = user;
    t->first_perm = t->first_chan = TURN_NONE;
    tuple_key(&t->client, &t->server, t->protocol, key);
    enum bk_err err = table_put(&a->by_tuple, key, i);
    bk_assert(err == BK_OK);
    count_user(a, user, turn_allocs_of_user(a, user) + 1);
    return i;
}

void turn_allocs_remove(struct turn_allocs *a, uint32_t i) {
    struct turn_alloc *t = &a->list[i];
    uint8_t key[TUPLE_LEN];
    bk_assert(t->user != 0 && t->first_perm == TURN_NONE && t->first_chan == TURN_NONE);
    tuple_key(&t->client, &t->server, t->protocol, key);
    (void)table_remove(&a->by_tuple, key);
    count_user(a, t->user, turn_allocs_of_user(a, t->user) - 1);
    memset(t, 0, sizeof *t);
    t->first_perm = a->first_free;
    a->first_free = i;
    a->count--;
}
