/* SPDX-License-Identifier: MIT */
#include "ice/events.h"

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
