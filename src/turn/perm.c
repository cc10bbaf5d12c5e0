/* SPDX-License-Identifier: MIT */
#include "turn/perm.h"

#include "base/assert.h"
#include "base/table.h"
#include "turn/key.h"

#include <string.h>

static uint32_t hash_of(const struct turn_permissions *p, uint32_t owner, const struct bk_ip *ip) {
    uint8_t key[sizeof owner + TURN_KEY_IP];
    memcpy(key, &owner, sizeof owner);
    return (uint32_t)siphash24(p->seed, key, sizeof owner + turn_key_ip(key + sizeof owner, ip));
}

enum bk_err turn_permissions_init(struct turn_permissions *p, uint32_t max,
                                  const struct bk_rng *rng, const struct bk_alloc *alloc) {
    rng->fill(rng->ctx, p->seed, sizeof p->seed);
    enum bk_err err = pool_init(&p->pool, sizeof(struct turn_permission), max, alloc);
    waits_init(&p->waits, &p->pool, offsetof(struct turn_permission, wait));
    if (err == BK_OK)
        err = links_init(&p->by_ip, &p->pool, offsetof(struct turn_permission, by_ip), alloc);
    if (err == BK_OK)
        err = links_init(&p->by_relay, &p->pool, offsetof(struct turn_permission, by_relay), alloc);
    return err;
}

void turn_permissions_fini(struct turn_permissions *p) {
    links_fini(&p->by_ip);
    links_fini(&p->by_relay);
    pool_fini(&p->pool);
}

uint32_t turn_permissions_find(const struct turn_permissions *p, uint32_t owner,
                               const struct bk_ip *ip) {
    uint32_t i = links_first(&p->by_ip, hash_of(p, owner, ip));
    for (; i != POOL_NONE; i = links_next(&p->by_ip, i)) {
        const struct turn_permission *perm = turn_permission_at(p, i);
        if (perm->owner == owner && bk_ip_equal(&perm->ip, ip))
            return i;
    }
    return TURN_NONE;
}

uint32_t turn_permissions_at_relay(const struct turn_permissions *p, uint32_t relay,
                                   const struct bk_ip *ip) {
    uint32_t i = links_first(&p->by_relay, hash_of(p, relay, ip));
    for (; i != POOL_NONE; i = links_next(&p->by_relay, i)) {
        const struct turn_permission *perm = turn_permission_at(p, i);
        if (perm->relay == relay && bk_ip_equal(&perm->ip, ip))
            return i;
    }
    return TURN_NONE;
}

uint32_t turn_permissions_add(struct turn_permissions *p, struct turn_alloc *a, uint32_t owner,
                              const struct bk_ip *ip, uint32_t relay) {
    uint32_t i = pool_take(&p->pool);
    if (i == POOL_NONE)
        return TURN_NONE;
    struct turn_permission *perm = turn_permission_at(p, i);
    perm->ip = *ip;
    perm->owner = owner;
    perm->prev = TURN_NONE;
    perm->next = a->first_perm;
    if (perm->next != TURN_NONE)
        turn_permission_at(p, perm->next)->prev = i;
    a->first_perm = i;
    a->perms++;
    links_add(&p->by_ip, i, hash_of(p, owner, ip));
    perm->relay = relay;
    if (relay != 0)
        links_add(&p->by_relay, i, hash_of(p, relay, ip));
    return i;
}

void turn_permissions_remove(struct turn_permissions *p, struct turn_alloc *a, uint32_t i) {
    struct turn_permission *perm = turn_permission_at(p, i);
    waits_set(&p->waits, i, BK_NEVER, BK_NEVER);
    links_remove(&p->by_ip, i);
    if (perm->relay != 0)
        links_remove(&p->by_relay, i);
    if (perm->prev == TURN_NONE)
        a->first_perm = perm->next;
    else
        turn_permission_at(p, perm->prev)->next = perm->next;
    if (perm->next != TURN_NONE)
        turn_permission_at(p, perm->next)->prev = perm->prev;
    a->perms--;
    pool_give(&p->pool, i);
}
