/* SPDX-License-Identifier: MIT
 * A worker's part when another process takes over from its server: what main has it do, one step at
 * a time, and what it is afterwards, when the clients that could not move are all that is left. */
#ifndef SERVER_UPGRADE_WORKER_H
#define SERVER_UPGRADE_WORKER_H

#include "net/loop.h"
#include "turn/service.h"
#include <stdatomic.h>

struct worker;
struct upgrade_stay;

enum upgrade_step {
    UPGRADE_STEP_LET_GO,    /* of the fast path */
    UPGRADE_STEP_HAND_OVER, /* stop reading what moves, and tell the other process */
    UPGRADE_STEP_GO_ON,     /* it came to nothing */
    UPGRADE_STEP_LEAVE,     /* it is done: keep who stayed */
    UPGRADE_STEP_ALONE      /* in the new one: the old one is gone */
};

/* What main and the workers share while a step is done. */
struct upgrade_crew {
    int channel;               /* to the other process; any thread may send */
    atomic_uint left;          /* workers that have not done the step */
    atomic_int err;            /* enum bk_err: the first failure */
    struct net_wakeup *wakeup; /* main's: all have done it */
};

struct upgrade_worker {
    struct upgrade_crew *crew; /* NULL: no other process is in sight */
    atomic_uint step;          /* what to do: enum upgrade_step */
    struct net_timer look;     /* once it has left */
    bool has_left;
    unsigned looks;
    atomic_uint remaining;     /* clients that stayed, about */
    struct upgrade_stay *stay; /* the new one: whom the old one keeps; NULL: nobody */
    struct bk_addr *elsewhere; /* the new one: relay ports that the old one keeps */
    size_t elsewhere_count, elsewhere_cap;
};

void upgrade_worker_init(struct worker *w);
void upgrade_worker_fini(struct worker *w);
/* Main: has all workers do it; crew->wakeup is told at the end. */
void upgrade_workers_do(struct worker *const workers[], size_t count, struct upgrade_crew *crew,
                        enum upgrade_step step);
/* The worker: does it. */
void upgrade_worker_step(struct worker *w);
/* The worker: a client that stayed, or may have, is gone. */
void upgrade_worker_lost(struct worker *w, const struct bk_datagram *client);

#endif
