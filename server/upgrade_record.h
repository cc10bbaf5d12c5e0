/* SPDX-License-Identifier: MIT
 * What two processes of a server tell each other while one takes over from the other
 * (server/upgrade.h), as bytes. A message is one or more records; some come with descriptors, which
 * travel beside it. The bytes come from another process of ours, perhaps of another version or
 * taken over by somebody: they are checked like a stranger's. */
#ifndef SERVER_UPGRADE_RECORD_H
#define SERVER_UPGRADE_RECORD_H

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    UPGRADE_VERSION = 1,
    UPGRADE_SECRET_LEN = 32,
    UPGRADE_MESSAGE_MAX = 66560, /* a record with the longest datagram */
    UPGRADE_FDS_MAX = 250,       /* the kernel takes 253 with one message */
    UPGRADE_WORKERS_MAX = 256,
    UPGRADE_HEAD_LEN = 8
};

enum upgrade_kind {
    UPGRADE_HELLO = 1, /* from the old one: what the new one must know before anything else */
    UPGRADE_DOOR,      /* a listening socket */
    UPGRADE_DOORS_END,
    UPGRADE_PREPARED, /* from the new one: let the fast path go */
    UPGRADE_LET_GO,
    UPGRADE_READY,     /* from the new one: hand over */
    UPGRADE_ALLOC,     /* an allocation and its relay sockets */
    UPGRADE_STAY,      /* a client that stays with the old one: pass on what it sends */
    UPGRADE_ELSEWHERE, /* a relay port that the old one keeps */
    UPGRADE_PASS,      /* a client whose allocation another worker has (RFC 8016) */
    UPGRADE_WORKER_END,
    UPGRADE_TAKEN,   /* from the new one: it has all of it */
    UPGRADE_COMMIT,  /* the old one reads no more: begin */
    UPGRADE_STARTED, /* from the new one */
    UPGRADE_REFUSED, /* from the new one: it cannot, and why */
    UPGRADE_DATAGRAM,
    UPGRADE_STAY_END, /* from the old one: a client that stayed is gone */
    UPGRADE_KINDS
};

/* What a door is for: enum port_kind, or this. */
enum { UPGRADE_DOOR_UDP = 255 };

struct upgrade_hello {
    uint16_t workers;
    uint16_t https_port, stun_port, plain_port, turns_port; /* 0: none */
    bool turn; /* it has what follows: of nonces and mobility tickets */
    uint8_t secret[UPGRADE_SECRET_LEN], previous[UPGRADE_SECRET_LEN];
    bool has_previous;
    int64_t nonce_clock_us;
};

/* A struct of all fields; which of them count depends on the kind. `data` is a view. */
struct upgrade_record {
    enum upgrade_kind kind;
    uint8_t fds;     /* so many of the message's descriptors are this one's; DOOR, ALLOC */
    uint16_t worker; /* of the old process, and of the new one */
    uint8_t door;    /* DOOR: enum port_kind, UPGRADE_DOOR_UDP */
    uint16_t to;     /* PASS: the worker that has it */
    struct bk_addr remote, local; /* ALLOC, STAY, PASS, DATAGRAM, LEFT: the 5-tuple; ELSEWHERE:
                                     `local` is the relay port */
    const uint8_t *data;          /* ALLOC: an export; DATAGRAM; REFUSED: text */
    size_t len;
    struct upgrade_hello hello;
};

struct wire_reader;
struct wire_writer;

/* Appends a record. BK_ERR_TOO_LONG: it does not fit; `w` is as before. */
BK_MUST_USE enum bk_err upgrade_put(struct wire_writer *w, const struct upgrade_record *r);
/* Reads the next record. BK_ERR_MALFORMED. BK_ERR_UNSUPPORTED: a HELLO of another version. */
BK_MUST_USE enum bk_err upgrade_get(struct wire_reader *r, struct upgrade_record *out);

#endif
