/* SPDX-License-Identifier: MIT */
#include "turn/perm.h"

#include "base/assert.h"

#include <string.h>

enum { KEY_LEN = 4 + 17 };

static void make_key(uint32_t owner, const struct bk_ip *ip, uint8_t out[KEY_LEN]) {
    memcpy(out, &owner, sizeof owner);
    out[4] = ip->family;
    memcpy(out + 5, ip->bytes, 16);
}

enum bk_err turn_permissions_init(struct turn_permissions *p, uint32_t max,
                                  const struct bk_rng *rng, const struct bk_alloc *alloc) {
    memset(p, 0, sizeof *p);
    p->alloc = *alloc;
    p->max = max;
    p->list = alloc->get(alloc->ctx, max * sizeof *p->list);
    if (p->list == NULL)
        return BK_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < max; i++) {
        p->list[i].owner = TURN_NONE;
        p->list[i].next = i + 1 < max ? i + 1 : TURN_NONE;
    }
    return table_init(&p->by_ip, KEY_LEN, max, rng, alloc);
}

void turn_permissions_fini(struct turn_permissions *p) {
    if (p->by_ip.slots != NULL)
        table_fini(&p->by_ip);
    if (p->list != NULL)
        p->alloc.put(p->alloc.ctx, p->list);
    memset(p, 0, sizeof *p);
}

uint32_t turn_permissions_find(const struct turn_permissions *p, uint32_t owner,
                               const struct bk_ip *ip) {
    uint8_t key[KEY_LEN];
    uint32_t i = TURN_NONE;
    make_key(owner, ip, key);
    return table_get(&p->by_ip, key, &i) ? i : TURN_NONE;
}

uint32_t turn_permissions_add(struct turn_permissions *p, struct turn_alloc *a, uint32_t owner,
                              const struct bk_ip *ip) {
    uint8_t key[KEY_LEN];
    uint32_t i = p->first_free;
    if (p->count == p->max)
        return TURN_NONE;
    struct turn_permission *perm = &p->list[i];
    p->first_free = perm->next;
    p->count++;
    perm->ip = *ip;
    perm->owner = owner;
    perm->prev = TURN_NONE;
    perm->next = a->first_perm;
    if (perm->next != TURN_NONE)
        p->list[perm->next].prev = i;
    a->first_perm = i;
    a->perms++;
    make_key(owner, ip, key);
    enum bk_err err = table_put(&p->by_ip, key, i);
    bk_assert(err == BK_OK);
    return i;
}

void turn_permissions_remove(struct turn_permissions *p, struct turn_alloc *a, uint32_t i) {
    struct turn_permission *perm = &p->list[i];
    uint8_t key[KEY_LEN];
    bk_assert(perm->owner != TURN_NONE);
    make_key(perm->owner, &perm->ip, key);
    (void)table_remove(&p->by_ip, key);
    if (perm->prev == TURN_NONE)
        a->first_perm = perm->next;
    else
        p->list[perm->prev].next = perm->next;
    if (perm->next != TURN_NONE)
        p->list[perm->next].prev = perm->prev;
    a->perms--;
    perm->owner = TURN_NONE;
    perm->next = p->first_free;
    p->first_free = i;
    p->count--;
}
