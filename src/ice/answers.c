/* SPDX-License-Identifier: MIT */
#include "ice/answers.h"

#include "base/assert.h"

#include <string.h>

struct ice_answer *ice_answers_push(struct ice_answers *answers) {
    if (answers->len == answers->cap)
        return NULL;
    struct ice_answer *a = &answers->ring[(answers->head + answers->len) % answers->cap];
    memset(a, 0, sizeof *a);
    answers->len++;
    return a;
}

void ice_answers_unpush(struct ice_answers *answers) {
    bk_assert(answers->len > 0);
    answers->len--;
}

const struct ice_answer *ice_answers_pop(struct ice_answers *answers) {
    if (answers->len == 0)
        return NULL;
    const struct ice_answer *a = &answers->ring[answers->head];
    answers->head = (answers->head + 1) % answers->cap;
    answers->len--;
    return a;
}

void ice_answers_straighten(struct ice_answers *answers) {
    while (answers->head != 0) { /* by one each time: rare, and the queue is short */
        struct ice_answer first = answers->ring[0];
        memmove(answers->ring, answers->ring + 1, (answers->cap - 1) * sizeof first);
        answers->ring[answers->cap - 1] = first;
        answers->head--;
    }
}
