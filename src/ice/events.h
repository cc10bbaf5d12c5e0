/* SPDX-License-Identifier: MIT
 * A bounded queue of events. When it is full the newest is lost and counted: everything an event
 * tells can also be asked for. */
#ifndef ICE_EVENTS_H
#define ICE_EVENTS_H

#include <bodkin/checker.h>

struct ice_events {
    struct bk_checker_event *ring; /* cap elements, *kept* */
    uint32_t cap, head, len;
};

/* false: full. */
bool ice_events_push(struct ice_events *events, const struct bk_checker_event *event);
bool ice_events_pop(struct ice_events *events, struct bk_checker_event *out);
/* Moves the queue to the ring's beginning. */
void ice_events_straighten(struct ice_events *events);

#endif
