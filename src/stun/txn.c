/* SPDX-License-Identifier: MIT */
#include "stun/txn.h"

#include "base/assert.h"

#include <string.h>

const struct stun_txn_config stun_txn_config_default = {
    .rto_us = 500 * BK_US_PER_MS,  /* RFC 8489 section 6.2.1 */
    .rc = 7,                       /* RFC 8489 section 6.2.1 */
    .rm = 16,                      /* RFC 8489 section 6.2.1 */
    .ti_us = 39500 * BK_US_PER_MS, /* RFC 8489 section 6.2.2 */
    .reliable = false,
};

const char *stun_txn_config_check(const struct stun_txn_config *config) {
    if (config->rto_us < BK_US_PER_MS || config->rto_us > 60 * BK_US_PER_S)
        return "rto_us";
    if (config->rc < 1 || config->rc > 16)
        return "rc";
    if (config->rm < 1)
        return "rm";
    if (config->ti_us < BK_US_PER_MS)
        return "ti_us";
    return NULL;
}

/* May a transaction go from [row] to [column]? */
static const bool may[STUN_TXN_STATES][STUN_TXN_STATES] = {
    [STUN_TXN_IDLE] = {[STUN_TXN_WAITING] = true},
    [STUN_TXN_WAITING] =
        {[STUN_TXN_IDLE] = true, [STUN_TXN_ANSWERED] = true, [STUN_TXN_TIMED_OUT] = true},
    [STUN_TXN_ANSWERED] = {[STUN_TXN_IDLE] = true},
    [STUN_TXN_TIMED_OUT] = {[STUN_TXN_IDLE] = true},
};

static void move(struct stun_txn *t, enum stun_txn_state state) {
    bk_assert(may[t->state][state]);
    t->state = state;
    if (state != STUN_TXN_WAITING) {
        t->want_send = false;
        t->deadline = BK_NEVER;
    }
}

void stun_txn_stop(struct stun_txn *t) {
    if (t->state != STUN_TXN_IDLE)
        move(t, STUN_TXN_IDLE);
}

/* RFC 8489 section 6.2.1: the wait doubles after each send; after the last it is rm RTOs. */
static void send_once_more(struct stun_txn *t, struct bk_time now) {
    const struct stun_txn_config *c = &t->config;
    int64_t wait_us = c->ti_us;
    t->sent++;
    t->want_send = true;
    t->last_sent = now;
    if (!c->reliable)
        wait_us = t->sent == c->rc ? c->rm * c->rto_us : c->rto_us << (t->sent - 1);
    t->deadline = bk_after(now, wait_us);
}

void stun_txn_start(struct stun_txn *t, const struct stun_txn_config *config,
                    const uint8_t txid[STUN_TXID_LEN], struct bk_time now) {
    stun_txn_stop(t);
    t->config = *config;
    memcpy(t->txid, txid, STUN_TXID_LEN);
    t->sent = 0;
    t->started = now;
    move(t, STUN_TXN_WAITING);
    send_once_more(t, now);
}

void stun_txn_advance(struct stun_txn *t, struct bk_time now) {
    if (t->state != STUN_TXN_WAITING || !bk_due(t->deadline, now))
        return;
    if (t->config.reliable || t->sent >= t->config.rc)
        move(t, STUN_TXN_TIMED_OUT);
    else
        send_once_more(t, now);
}

struct bk_time stun_txn_deadline(const struct stun_txn *t) {
    return t->state == STUN_TXN_WAITING ? t->deadline : BK_NEVER;
}

bool stun_txn_take_send(struct stun_txn *t) {
    bool wanted = t->want_send;
    t->want_send = false;
    return wanted;
}

bool stun_txn_matches(const struct stun_txn *t, const struct stun_msg *msg) {
    return t->state == STUN_TXN_WAITING && (msg->cls == STUN_SUCCESS || msg->cls == STUN_ERROR) &&
           memcmp(t->txid, msg->txid, STUN_TXID_LEN) == 0;
}

struct stun_rtt stun_txn_answer(struct stun_txn *t, struct bk_time now) {
    struct stun_rtt rtt = {.us = bk_elapsed_us(t->started, now), .exact = t->sent == 1};
    move(t, STUN_TXN_ANSWERED);
    return rtt;
}
