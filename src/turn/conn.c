/* SPDX-License-Identifier: MIT */
#include "turn/conn.h"

#include "base/table.h"
#include "base/wipe.h"
#include "turn/key.h"

#include <string.h>

static uint32_t hash_of(const struct turn_conns *c, uint32_t owner, const struct bk_addr *peer) {
    uint8_t key[sizeof owner + TURN_KEY_ADDR];
    memcpy(key, &owner, sizeof owner);
    return (uint32_t)siphash24(c->seed, key,
                               sizeof owner + turn_key_addr(key + sizeof owner, peer));
}

enum bk_err turn_conns_init(struct turn_conns *c, uint32_t max, uint8_t worker,
                            const struct bk_rng *rng, const struct bk_alloc *alloc) {
    rng->fill(rng->ctx, c->seed, sizeof c->seed);
    c->worker = worker;
    enum bk_err err = pool_init(&c->pool, sizeof(struct turn_conn), max, alloc);
    waits_init(&c->waits, &c->pool, offsetof(struct turn_conn, wait));
    if (err == BK_OK)
        err = links_init(&c->by_peer, &c->pool, offsetof(struct turn_conn, by_peer), alloc);
    return err;
}

void turn_conns_fini(struct turn_conns *c) {
    links_fini(&c->by_peer);
    pool_fini(&c->pool);
}

uint32_t turn_conns_by_number(const struct turn_conns *c, uint32_t number) {
    uint32_t i = number & 0xffff;
    bool there = i < c->pool.max && c->pool.chunks[i >> c->pool.shift].objects != NULL;
    return there && number != 0 && turn_conn_at(c, i)->number == number ? i : TURN_NONE;
}

uint32_t turn_conns_by_peer(const struct turn_conns *c, uint32_t owner,
                            const struct bk_addr *peer) {
    uint32_t i = links_first(&c->by_peer, hash_of(c, owner, peer));
    for (; i != POOL_NONE; i = links_next(&c->by_peer, i)) {
        const struct turn_conn *conn = turn_conn_at(c, i);
        if (conn->owner == owner && bk_addr_equal(&conn->peer, peer))
            return i;
    }
    return TURN_NONE;
}

uint32_t turn_conns_add(struct turn_conns *c, struct turn_alloc *a, uint32_t owner,
                        const struct bk_addr *peer) {
    uint32_t i = pool_take(&c->pool);
    if (i == POOL_NONE)
        return TURN_NONE;
    struct turn_conn *conn = turn_conn_at(c, i);
    c->serial = c->serial == UINT8_MAX ? 1 : (uint8_t)(c->serial + 1);
    conn->number = (uint32_t)c->worker << 24 | (uint32_t)c->serial << 16 | i;
    conn->peer = *peer;
    conn->owner = owner;
    conn->prev = TURN_NONE;
    conn->next = a->first_conn;
    if (conn->next != TURN_NONE)
        turn_conn_at(c, conn->next)->prev = i;
    a->first_conn = i;
    a->conns++;
    links_add(&c->by_peer, i, hash_of(c, owner, peer));
    return i;
}

void turn_conns_remove(struct turn_conns *c, struct turn_alloc *a, uint32_t i) {
    struct turn_conn *conn = turn_conn_at(c, i);
    waits_set(&c->waits, i, BK_NEVER, BK_NEVER);
    links_remove(&c->by_peer, i);
    if (conn->prev == TURN_NONE)
        a->first_conn = conn->next;
    else
        turn_conn_at(c, conn->prev)->next = conn->next;
    if (conn->next != TURN_NONE)
        turn_conn_at(c, conn->next)->prev = conn->prev;
    a->conns--;
    wipe(&conn->reply, sizeof conn->reply);
    pool_give(&c->pool, i);
}
