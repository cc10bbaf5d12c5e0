/* SPDX-License-Identifier: MIT
 * The main thread's side of TURN's users: makes the book from the options and the data base, looks
 * every second whether the data base has changed, and hands a new book to the workers' seats. */
#ifndef SERVER_USERS_KEEPER_H
#define SERVER_USERS_KEEPER_H

#include "net/loop.h"
#include "server/options.h"
#include "server/users.h"
#include "server/users_db.h"

struct users_keeper {
    const struct turn_options *options;
    struct net_timer poll;
    struct users_db *db; /* NULL: none */
    uint64_t version;    /* of what is in the book */
    struct users_book *book;
    struct users_seat seats[SERVER_WORKERS_MAX];
    size_t count;
    struct net_tls *tls; /* of clients of --users-url, once it was https; or NULL */
};

/* `options` is borrowed. Opens the data base, so before privileges are given up. On failure
 * `reason` (room for SERVER_TEXT_MAX) gets one sentence. */
BK_MUST_USE enum bk_err users_keeper_start(struct users_keeper *k, struct net_loop *loop,
                                           const struct turn_options *options, size_t workers,
                                           char *reason);
/* Worker `i` can ask --users-url, whatever that is. `loop` is its own. */
BK_MUST_USE enum bk_err users_keeper_hook(struct users_keeper *k, size_t i, struct net_loop *loop,
                                          char *reason);
/* After the workers' threads have ended, before their loops are gone. */
void users_keeper_unhook(struct users_keeper *k);
/* After the workers have ended. */
void users_keeper_stop(struct users_keeper *k);
/* Other options from now on. On failure everything stays as it was. */
BK_MUST_USE enum bk_err users_keeper_reload(struct users_keeper *k,
                                            const struct turn_options *options, char *reason);
/* The source of worker `i`. */
struct turn_users users_keeper_source(struct users_keeper *k, size_t i);

/* For --check: makes the book and drops it. *count becomes the number of users. */
BK_MUST_USE enum bk_err users_keeper_try(const struct turn_options *options, size_t *count,
                                         char *reason);

#endif
