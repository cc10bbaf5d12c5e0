/* SPDX-License-Identifier: MIT
 * Sockets beside an endpoint's shared ones, that its sessions want for ways through hard NATs:
 * which session has which, and what the owner of the network has to open and close. Bounded; only
 * numbers, no I/O. */
#ifndef PEER_SOCKETS_H
#define PEER_SOCKETS_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOCKETS_MAX = 512 /* of all sessions */ };

struct sockets {
    struct sockets_slot {
        uint8_t state;  /* see sockets.c */
        uint16_t place; /* of the session in the endpoint */
        uint16_t index, port;
    } slots[SOCKETS_MAX];
    size_t top; /* slots[top..] are free */
};

struct sockets_action {
    bool open;     /* else: close it */
    uint16_t id;   /* below SOCKETS_MAX */
    uint16_t port; /* to open: the one wanted; 0: any */
};

/* BK_ERR_FULL. `port`: that is wanted, though any will do; 0: any. */
BK_MUST_USE enum bk_err sockets_want(struct sockets *t, uint16_t place, uint16_t index,
                                     uint16_t port);
/* It is not needed any more. Unknown ones are ignored. */
void sockets_drop(struct sockets *t, uint16_t place, uint16_t port);
/* The session is gone. */
void sockets_drop_all(struct sockets *t, uint16_t place);
/* What to do next; each is told once. */
bool sockets_next(struct sockets *t, struct sockets_action *out);
/* The answer to one that was to be opened; port 0: it could not be. false: nobody wants it now, it
 * will be closed. */
bool sockets_opened(struct sockets *t, uint16_t id, uint16_t port, uint16_t *place,
                    uint16_t *index);
/* Whose is this port? */
bool sockets_find(const struct sockets *t, uint16_t port, uint16_t *place, uint16_t *index);

#endif
