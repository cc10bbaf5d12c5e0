/* SPDX-License-Identifier: MIT
 * The users with the most, of all workers, for /metrics: each worker puts up what it knows once a
 * second, whoever answers reads what is up. As many lines as one screen has, however many users
 * there are. */
#ifndef SERVER_TURN_BOARD_H
#define SERVER_TURN_BOARD_H

#include "base/text.h"
#include "server/options.h"
#include "turn/top.h"
#include <pthread.h>

struct metrics;

/* Of one worker. */
struct turn_board {
    pthread_mutex_t lock; /* guards `top` */
    struct turn_top top;
    char realm[SERVER_TEXT_MAX];
};

BK_MUST_USE enum bk_err turn_board_init(struct turn_board *b, const char *realm);
void turn_board_fini(struct turn_board *b);
void turn_board_put(struct turn_board *b, const struct turn_top *top);
/* The lines of /metrics, of those of `sets` that have a board. */
void turn_board_print(struct text *out, struct metrics *const *sets, size_t count);
/* A name as the value of a label: escaped as Prometheus asks for, without the expiry of a
 * time-limited one, and with the user's number where the name alone would not tell it apart. */
void turn_board_label(struct text *out, const struct turn_top_user *user, bool ambiguous);

#endif
