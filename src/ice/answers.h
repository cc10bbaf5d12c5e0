/* SPDX-License-Identifier: MIT
 * Answers that wait to be sent: a bounded queue. The message itself is built when it leaves. */
#ifndef ICE_ANSWERS_H
#define ICE_ANSWERS_H

#include "wire/stun.h"

enum {
    ICE_ANSWERS_MAX = 32, /* between two drains; more are dropped, the peer sends again */
    ICE_ANSWER_UNKNOWN_MAX = 4
};

struct ice_answer {
    struct bk_addr local, remote;
    uint8_t txid[STUN_TXID_LEN];
    uint16_t code; /* 0: success */
    bool tcp;
    bool old; /* signed with the credentials from before the restart */
    uint8_t unknown_count;
    uint16_t unknown[ICE_ANSWER_UNKNOWN_MAX]; /* of a 420 */
};

struct ice_answers {
    struct ice_answer *ring; /* cap elements, *kept* */
    unsigned cap, head, len;
};

/* NULL: full. The caller fills what it gets. */
struct ice_answer *ice_answers_push(struct ice_answers *answers);
/* Takes the last one back. */
void ice_answers_unpush(struct ice_answers *answers);
/* NULL: none. Valid until the next push. */
const struct ice_answer *ice_answers_pop(struct ice_answers *answers);
/* Moves the queue to the ring's beginning. */
void ice_answers_straighten(struct ice_answers *answers);

#endif
