/* SPDX-License-Identifier: MIT */
#include "ice/answers.h"

#include <string.h>

struct ice_answer *ice_answers_push(struct ice_answers *answers) {
    if (answers->len == ICE_ANSWERS_MAX)
        return NULL;
    struct ice_answer *a = &answers->ring[(answers->head + answers->len) % ICE_ANSWERS_MAX];
    memset(a, 0, sizeof *a);
    answers->len++;
    return a;
}

const struct ice_answer *ice_answers_pop(struct ice_answers *answers) {
    if (answers->len == 0)
        return NULL;
    const struct ice_answer *a = &answers->ring[answers->head];
    answers->head = (answers->head + 1) % ICE_ANSWERS_MAX;
    answers->len--;
    return a;
}
