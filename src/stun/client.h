/* SPDX-License-Identifier: MIT
 * Binding client, RFC 8489 section 2: asks one server, from one local socket, which address it
 * sees. Once, or again and again: then it also keeps the NAT's mapping alive and notices its
 * change. Needs no credentials. Embedded by value; nothing to free. */
#ifndef STUN_CLIENT_H
#define STUN_CLIENT_H

#include "stun/txn.h"

#include <bodkin/env.h>

struct stun_client_config {
    struct bk_addr local;       /* the socket; copied into datagrams and events */
    struct bk_addr server;      /* answers from elsewhere are not ours */
    struct stun_txn_config txn; /* gathering wants txn.rto_us near 100 ms and txn.rc 5 or so */
    int64_t every_us;           /* 0: once. Otherwise the pause from an answer (or a failure) to the
                                   next request; 15 s keeps most NATs open, RFC 8445 section 11 */
    int64_t retry_us; /* the pause after a round without an answer, if shorter; it doubles each time
                         up to every_us; 0: every_us */
    bool tailnode; /* SOFTWARE "tailnode" and FINGERPRINT, which derper servers ask for; servers of
                      RFC 8489 answer it as well */
};

/* once, RFC 8489 timing; set `local` and `server` */
extern const struct stun_client_config stun_client_config_default;

enum stun_client_event_kind {
    STUN_CLIENT_MAPPED, /* `mapped` is our address as the server sees it */
    STUN_CLIENT_FAILED  /* this round gave nothing; see `err` */
};

struct stun_client_event {
    enum stun_client_event_kind kind;
    struct bk_addr local, server;
    struct bk_addr mapped;    /* MAPPED */
    struct stun_rtt rtt;      /* MAPPED */
    bool changed;             /* MAPPED: differs from the round before, or is the first */
    enum bk_err err;          /* FAILED: BK_ERR_TIMEOUT; BK_ERR_REFUSED: see `code` */
    uint16_t code;            /* FAILED with BK_ERR_REFUSED: the STUN error code */
    struct bk_addr alternate; /* with code 300: the server to ask instead, if it named one; family
                                 NONE otherwise. RFC 8489 section 10: not proved by anybody */
};

/* What was dropped, by reason. */
struct stun_client_counts {
    uint64_t answered, timed_out, refused;
    uint64_t not_ours;  /* other address, other transaction, not STUN */
    uint64_t malformed; /* ours by transaction id, but breaks the RFC */
};

struct stun_client {
    struct stun_client_config config;
    struct bk_rng rng;
    struct stun_txn txn;
    struct bk_time next_round; /* BK_NEVER: none is planned */
    struct bk_time now;        /* the latest time seen */
    int64_t retry_us;          /* the next pause after a failure */
    struct bk_addr mapped;     /* of the last answer; family NONE before */
    struct stun_client_event event;
    bool has_event;
    uint8_t buf[64]; /* the datagram last given out */
    struct stun_client_counts counts;
};

/* *Keeps* what rng->ctx points to. BK_ERR_ARGUMENT: a config field is outside its range. */
BK_MUST_USE enum bk_err stun_client_init(struct stun_client *c,
                                         const struct stun_client_config *config,
                                         const struct bk_rng *rng, struct bk_time now);
/* Stops: no more datagrams or events. */
void stun_client_stop(struct stun_client *c);
/* Asks now, whatever was planned: the network changed, say. */
void stun_client_ask_now(struct stun_client *c, struct bk_time now);

/* The five verbs. recv: BK_ERR_NOT_OURS: for somebody else, pass it on. BK_ERR_MALFORMED: an answer
 * that breaks the RFC, dropped. */
BK_MUST_USE enum bk_err stun_client_recv(struct stun_client *c, const struct bk_datagram *in,
                                         struct bk_time now);
void stun_client_advance(struct stun_client *c, struct bk_time now);
struct bk_time stun_client_deadline(const struct stun_client *c);
bool stun_client_next_datagram(struct stun_client *c, struct bk_datagram *out);
bool stun_client_next_event(struct stun_client *c, struct stun_client_event *out);

#endif
