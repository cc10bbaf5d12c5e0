/* SPDX-License-Identifier: MIT
 * A worker's inbox: a bounded queue of messages that any worker writes and its owner reads. It
 * carries what hubs tell each other: a key came, a key went, a packet for one of your keys, one of
 * your keys sends too much to one of mine (PRESSURE), or may go on (RELIEF); and a connection that
 * belongs to you (CONN, `key` begins with a pointer to it), or a datagram of a client whose
 * allocation you have (DATAGRAM, from `key` to `dst`). */
#ifndef SERVER_INBOX_H
#define SERVER_INBOX_H

#include <bodkin/err.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { INBOX_KEY_LEN = 32, INBOX_BYTES = 1 << 20, INBOX_DATA_MAX = 65536 };

enum inbox_kind {
    INBOX_PRESENT,
    INBOX_GONE,
    INBOX_PRESSURE,
    INBOX_RELIEF,
    INBOX_PACKET,
    INBOX_CONN,
    INBOX_DATAGRAM
};

struct inbox_message {
    enum inbox_kind kind;
    uint32_t from;              /* worker */
    uint8_t key[INBOX_KEY_LEN]; /* all but PRESENT, GONE: the sender */
    uint8_t dst[INBOX_KEY_LEN]; /* all but PRESENT, GONE */
    const uint8_t *data;        /* PACKET, DATAGRAM: a view into the taken batch */
    size_t len;
};

struct inbox {
    pthread_mutex_t lock; /* guards what follows but `taken` */
    uint8_t *filling;     /* INBOX_BYTES: whole messages, one after the other */
    size_t used;
    uint8_t *taken; /* the owner's: the batch it is reading */
    size_t taken_len, taken_at;
};

BK_MUST_USE enum bk_err inbox_init(struct inbox *box);
void inbox_fini(struct inbox *box);
/* Any thread. *first: the box was empty, so its owner must be woken. BK_ERR_FULL: packets and
 * pressure may use three quarters of the box, so that news of keys still fits. BK_ERR_TOO_LONG. */
BK_MUST_USE enum bk_err inbox_put(struct inbox *box, const struct inbox_message *message,
                                  bool *first);
/* The owner. false: nothing left. */
bool inbox_take(struct inbox *box, struct inbox_message *out);

#endif
