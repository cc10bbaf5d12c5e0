/* SPDX-License-Identifier: MIT */
#include "ice/events.h"

#include <string.h>

bool ice_events_push(struct ice_events *events, const struct bk_checker_event *event) {
    if (events->len == events->cap)
        return false;
    events->ring[(events->head + events->len) % events->cap] = *event;
    events->len++;
    return true;
}

bool ice_events_pop(struct ice_events *events, struct bk_checker_event *out) {
    if (events->len == 0)
        return false;
    *out = events->ring[events->head];
    events->head = (events->head + 1) % events->cap;
    events->len--;
    return true;
}

void ice_events_straighten(struct ice_events *events) {
    while (events->head != 0) { /* by one each time: rare, and the queue is short */
        struct bk_checker_event first = events->ring[0];
        memmove(events->ring, events->ring + 1, (events->cap - 1) * sizeof first);
        events->ring[events->cap - 1] = first;
        events->head--;
    }
}
