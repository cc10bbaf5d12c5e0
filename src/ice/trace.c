/* SPDX-License-Identifier: MIT
 * What leaves the agent besides datagrams: trace lines and events. */
#include "ice/checker.h"

bool ice_trace_on(const struct bk_checker *ice) {
    return ice->config.trace.line != NULL;
}

void ice_trace(const struct bk_checker *ice, const struct text *line) {
    ice->config.trace.line(ice->config.trace.ctx, line->out);
}

void ice_trace_addrs(const struct bk_checker *ice, const char *label, const struct bk_addr *a,
                     const struct bk_addr *b) {
    if (!ice_trace_on(ice))
        return;
    char buf[64 + 2 * BK_ADDR_TEXT_MAX];
    struct text t = text_in(buf, sizeof buf);
    text_str(&t, label);
    text_char(&t, ' ');
    text_addr(&t, a);
    text_str(&t, " <-> ");
    text_addr(&t, b);
    ice_trace(ice, &t);
}

void ice_tell(struct bk_checker *ice, const struct bk_checker_event *event) {
    if (ice_events_push(&ice->events, event))
        return;
    if (!ice_grow_events(ice) || !ice_events_push(&ice->events, event))
        ice->stats.events_lost++;
}

void ice_tell_pair(struct bk_checker *ice, enum bk_checker_event_kind kind,
                   const struct ice_pair *pair) {
    struct bk_checker_event event = {.kind = kind,
                                     .state = ice->state,
                                     .failure = (enum bk_ice_failure)pair->failure,
                                     .controlling = ice->role.controlling,
                                     .pair = pair->id,
                                     .stream = pair->stream,
                                     .component = ice->comps[pair->comp].component,
                                     .rtt_us = pair->rtt_us};
    ice_tell(ice, &event);
}
