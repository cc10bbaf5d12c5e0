/* SPDX-License-Identifier: MIT
 * Private to net: the pairing heap behind net_timer_set() (Fredman, Sedgewick, Sleator, Tarjan
 * 1986). Intrusive, so that a timer needs no memory but its own. */
#ifndef NET_TIMERS_H
#define NET_TIMERS_H

#include "net/loop.h"

/* Adds `t`, which is in no heap, to the heap with this root (NULL: empty); gives the new root. */
struct net_timer *timers_add(struct net_timer *root, struct net_timer *t);
/* Takes `t` out of the heap with this root; gives the new root. */
struct net_timer *timers_remove(struct net_timer *root, struct net_timer *t);

#endif
