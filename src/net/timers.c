/* SPDX-License-Identifier: MIT
 * `child` is the first child, `next` the right sibling, `prev` the left sibling or, for a first
 * child, the parent. A root has neither. */
#define _GNU_SOURCE /* NOLINT: libuv needs it */
#include "net/timers.h"

#include "net/loop_private.h"
#include <stddef.h>

/* Joins two heaps: the later root becomes the first child of the earlier one. */
static struct net_timer *meld(struct net_timer *a, struct net_timer *b) {
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (bk_before(b->deadline, a->deadline)) {
        struct net_timer *swap = a;
        a = b;
        b = swap;
    }
    b->next = a->child;
    if (b->next != NULL)
        b->next->prev = b;
    b->prev = a;
    a->child = b;
    return a;
}

/* Two passes over the siblings starting at `first`: pairs from left to right, then all together
 * from right to left. Loops, because a heap of many timers may be one long list. */
static struct net_timer *meld_siblings(struct net_timer *first) {
    struct net_timer *pairs = NULL, *root = NULL;
    while (first != NULL) {
        struct net_timer *a = first, *b = a->next;
        first = b == NULL ? NULL : b->next;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = pairs; /* a stack, threaded through the roots' unused `next` */
        pairs = a;
    }
    while (pairs != NULL) {
        struct net_timer *a = pairs;
        pairs = a->next;
        a->next = NULL;
        root = meld(root, a);
    }
    return root;
}

struct net_timer *timers_add(struct net_timer *root, struct net_timer *t) {
    t->child = t->next = t->prev = NULL;
    return meld(root, t);
}

struct net_timer *timers_remove(struct net_timer *root, struct net_timer *t) {
    struct net_timer *below = meld_siblings(t->child);
    t->child = NULL;
    if (t == root)
        return below;
    if (t->prev->child == t)
        t->prev->child = t->next;
    else
        t->prev->next = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    t->next = t->prev = NULL;
    return meld(root, below);
}

void net_timer_init(struct net_timer *t, struct net_loop *loop,
                    void (*on_due)(void *ctx, struct bk_time now), void *ctx) {
    *t = (struct net_timer){.loop = loop, .on_due = on_due, .ctx = ctx, .deadline = BK_NEVER};
}

void net_timer_set(struct net_timer *t, struct bk_time deadline) {
    struct net_loop *loop = t->loop;
    if (t->deadline.us == deadline.us)
        return;
    if (!bk_is_never(t->deadline))
        loop->timers = timers_remove(loop->timers, t);
    t->deadline = deadline;
    if (!bk_is_never(deadline))
        loop->timers = timers_add(loop->timers, t);
}
