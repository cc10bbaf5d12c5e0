/* SPDX-License-Identifier: MIT
 * Requests whose user is being asked for elsewhere (TURN_USER_LATER): kept, a few, and handed in
 * again when an answer is there. Who finds no room sends again, or gives up. */
#ifndef SERVER_TURN_LATER_H
#define SERVER_TURN_LATER_H

#include "server/turn.h"

enum { TURN_LATER_MAX = 64, TURN_LATER_LEN = 1024 };

struct turn_later_one {
    struct turn_link *link; /* NULL: free */
    struct bk_datagram in;
    uint8_t data[TURN_LATER_LEN];
};

struct turn_later {
    struct turn_later_one list[TURN_LATER_MAX];
};

/* false: it is lost. */
bool turn_later_keep(struct turn_later *l, struct turn_link *link, const struct bk_datagram *in);
/* The client is gone. */
void turn_later_forget(struct turn_later *l, const struct bk_datagram *client);
/* Hands in everything that is kept; what must wait on is kept again. */
void turn_later_again(struct turn_later *l, struct server_turn *t, struct bk_time now);

#endif
