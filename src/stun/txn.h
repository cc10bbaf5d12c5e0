/* SPDX-License-Identifier: MIT
 * One client transaction: when to send, when to give up, which answer is its own. RFC 8489 section
 * 6.2.1 (UDP: at 0, 1, 3, 7 ... RTO, `rc` times; fail `rm` RTOs after the last) and 6.2.2 (TCP,
 * TLS: once; fail after Ti). It builds no message: the owner does, whenever stun_txn_take_send()
 * says so, always with the same bytes. Embedded by value; nothing to free. */
#ifndef STUN_TXN_H
#define STUN_TXN_H

#include "wire/stun.h"

#include <bodkin/time.h>

struct stun_txn_config {
    int64_t rto_us; /* UDP: first retransmission after this; RFC 8489 section 6.2.1 says >= 500 ms
                       for a path nobody measured; 1 ms to 60 s */
    uint8_t rc;     /* UDP: sends in all; 1 to 16; RFC: 7 */
    uint8_t rm;     /* UDP: RTOs waited after the last send; 1 or more; RFC: 16 */
    int64_t ti_us;  /* TCP and TLS: time for the answer; 1 ms or more; RFC: 39.5 s */
    bool reliable;  /* the transport is TCP or TLS */
};

extern const struct stun_txn_config stun_txn_config_default;

/* NULL: fine. Otherwise the name of the first field outside its range. Static text. */
const char *stun_txn_config_check(const struct stun_txn_config *config);

enum stun_txn_state {
    STUN_TXN_IDLE,      /* not started, or stopped */
    STUN_TXN_WAITING,   /* for an answer */
    STUN_TXN_ANSWERED,  /* stun_txn_answer() took one */
    STUN_TXN_TIMED_OUT, /* nobody answered */
    STUN_TXN_STATES
};

struct stun_txn {
    struct stun_txn_config config;
    enum stun_txn_state state;
    uint8_t txid[STUN_TXID_LEN];
    uint8_t sent;   /* sends asked for so far */
    bool want_send; /* one of them has not been taken */
    struct bk_time started, last_sent, deadline;
};

/* Starts (or starts anew) with this transaction id; the first send is wanted at once. */
void stun_txn_start(struct stun_txn *t, const struct stun_txn_config *config,
                    const uint8_t txid[STUN_TXID_LEN], struct bk_time now);
/* Back to idle; late answers are no longer its own. */
void stun_txn_stop(struct stun_txn *t);
void stun_txn_advance(struct stun_txn *t, struct bk_time now);
struct bk_time stun_txn_deadline(const struct stun_txn *t);
/* Must the message be sent now? Tells it once per send. */
bool stun_txn_take_send(struct stun_txn *t);
/* Is `msg` a response to this waiting transaction? */
bool stun_txn_matches(const struct stun_txn *t, const struct stun_msg *msg);

/* How long the answer took. */
struct stun_rtt {
    int64_t us;
    bool exact; /* false: it was sent more than once, so `us`, counted from the first send, is an
                   upper bound (Karn's rule, RFC 8489 section 6.2.1) */
};
/* The caller accepted a matching response: ends the transaction. */
struct stun_rtt stun_txn_answer(struct stun_txn *t, struct bk_time now);

#endif
