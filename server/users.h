/* SPDX-License-Identifier: MIT
 * TURN's users in one worker: the book of the moment, replaced by another thread at any time. */
#ifndef SERVER_USERS_H
#define SERVER_USERS_H

#include "server/users_book.h"
#include "server/users_hook.h"
#include <stdatomic.h>

struct users_seat {
    struct users_book *book;            /* the worker's */
    _Atomic(struct users_book *) fresh; /* one that waits to be taken up, or NULL */
    struct users_hook *hook;            /* asked for whom the book does not know; or NULL */
    _Atomic(struct users_target *) aim; /* whom that shall ask from now on, or NULL */
    int64_t (*clock_s)(void);           /* seconds since 1970 */
};

/* Takes a reference of its own. */
void users_seat_init(struct users_seat *s, struct users_book *book);
void users_seat_fini(struct users_seat *s);
/* Any thread: from the next request on this is the book. Takes a reference of its own. */
void users_seat_give(struct users_seat *s, struct users_book *book);
/* Any thread: from the next request on, that is asked. Takes `target`. */
void users_seat_aim(struct users_seat *s, struct users_target *target);
/* For turn_service_config. The seat must outlive the service. */
struct turn_users users_seat_source(struct users_seat *s);

#endif
