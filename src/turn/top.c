/* SPDX-License-Identifier: MIT */
#include "turn/top.h"

#include <string.h>

enum {
    STEP = 4096,     /* accounts looked at: less than a millisecond */
    FORGET_SHIFT = 6 /* a walk takes a second or more: what was sent a minute ago counts half */
};

uint64_t turn_top_lately(const struct turn_top_user *user) {
    return user->lately;
}

uint64_t turn_top_allocations(const struct turn_top_user *user) {
    return user->allocations;
}

void turn_top_add(struct turn_top_list *list, const struct turn_top_user *user,
                  uint64_t (*score)(const struct turn_top_user *user)) {
    uint32_t i = list->count;
    if (i == TURN_TOP && score(&list->users[i - 1]) >= score(user))
        return;
    if (i < TURN_TOP)
        list->count++;
    else
        i--;
    for (; i > 0 && score(&list->users[i - 1]) < score(user); i--)
        list->users[i] = list->users[i - 1];
    list->users[i] = *user;
}

static void look_at(struct turn_walk *w, struct turn_account *a) {
    a->lately -= a->lately >> FORGET_SHIFT;
    a->lately += a->bytes - a->seen;
    a->seen = a->bytes;
    struct turn_top_user user = {
        .id = a->key, .bytes = a->bytes, .lately = a->lately, .allocations = a->allocs};
    memcpy(user.name, a->name, sizeof user.name);
    if (user.lately > 0)
        turn_top_add(&w->top.by_bytes, &user, turn_top_lately);
    turn_top_add(&w->top.by_allocations, &user, turn_top_allocations);
}

bool turn_walk_step(struct turn_walk *w, const struct turn_accounts *accounts,
                    struct turn_top *out) {
    const struct pool *p = &accounts->pool;
    for (uint32_t left = STEP; left > 0 && w->at < p->max; left--) {
        if (p->chunks[w->at >> p->shift].objects == NULL) {
            w->at = ((w->at >> p->shift) + 1) << p->shift;
            continue;
        }
        struct turn_account *a = turn_account_at(accounts, w->at++);
        if (a->allocs > 0 && a->is_user)
            look_at(w, a);
    }
    if (w->at < p->max)
        return false;
    *out = w->top;
    memset(w, 0, sizeof *w);
    return true;
}
