/* SPDX-License-Identifier: MIT
 * One direction of a link: delay, jitter, loss, rate. */
#ifndef LAB_LINK_H
#define LAB_LINK_H

#include "lab/fabric.h"

enum link_verdict {
    LINK_PASS, /* nothing to wait for: go on at once */
    LINK_WAIT, /* t->due says until when */
    LINK_LOST,
    LINK_FULL
};

/* Decides about a packet that enters the link, and books its time on it. */
enum link_verdict link_enter(struct fabric_link *link, struct transit *t, struct rng_seeded *random,
                             struct bk_time now);
/* Appends a packet that has to wait; takes it. */
void link_push(struct fabric_link *link, struct transit *t);
/* The first packet, if it is due; the caller has it then. NULL: none. */
struct transit *link_pop(struct fabric_link *link, struct bk_time now);
struct bk_time link_deadline(const struct fabric_link *link);

#endif
