/* SPDX-License-Identifier: MIT
 * The users with the most, of those with an allocation in one service: a few of them, however many
 * there are. Found by walking through the accounts a step at a time, beside the work. */
#ifndef TURN_TOP_H
#define TURN_TOP_H

#include "turn/account.h"

enum { TURN_TOP = 16 };

struct turn_top_user {
    uint64_t id;
    uint64_t bytes;  /* of data, both ways, since its first allocation of now */
    uint64_t lately; /* the same, but older ones count less and less */
    uint32_t allocations;
    char name[TURN_ACCOUNT_NAME]; /* "": not known */
};

struct turn_top_list {
    struct turn_top_user users[TURN_TOP]; /* the first has the most */
    uint32_t count;
};

struct turn_top {
    struct turn_top_list by_bytes; /* lately */
    struct turn_top_list by_allocations;
};

/* A walk; all zero at first. */
struct turn_walk {
    uint32_t at;
    struct turn_top top; /* of those seen */
};

/* Puts a user where it belongs by `score`, if it does. */
void turn_top_add(struct turn_top_list *list, const struct turn_top_user *user,
                  uint64_t (*score)(const struct turn_top_user *user));
uint64_t turn_top_lately(const struct turn_top_user *user);
uint64_t turn_top_allocations(const struct turn_top_user *user);
/* Looks at some accounts more. true: that were all, *out is what they say, and the next walk
 * begins. */
bool turn_walk_step(struct turn_walk *w, const struct turn_accounts *accounts,
                    struct turn_top *out);

#endif
