/* SPDX-License-Identifier: MIT
 * What the checker found, for each component: the path its data takes, and the events about it. */
#include "agent/agent.h"

#include "base/assert.h"

#include <string.h>

/* May a component's link go from [row] to [column]? */
static const bool may[AGENT_LINKS][AGENT_LINKS] = {
    [AGENT_NEW] = {[AGENT_CONNECTED] = true, [AGENT_FAILED] = true},
    [AGENT_CONNECTED] = {[AGENT_DISCONNECTED] = true, [AGENT_FAILED] = true},
    [AGENT_DISCONNECTED] = {[AGENT_CONNECTED] = true, [AGENT_FAILED] = true},
    [AGENT_FAILED] = {[AGENT_CONNECTED] = true},
};

static void move(struct agent_component *c, enum agent_link to) {
    bk_assert(may[c->link][to]);
    c->link = to;
}

struct agent_component *agent_component(const struct bk_ice *ice, uint16_t stream,
                                        uint16_t component) {
    uint16_t at = component == 0 ? 0 : (uint16_t)(component - 1);
    if (stream >= ice->config.streams || at >= ice->config.components)
        return NULL;
    return &ice->components[stream * ice->config.components + at];
}

static enum bk_err best_of(const struct bk_ice *ice, const struct agent_component *c,
                           struct bk_ice_pair_info *out) {
    (void)c;
    return bk_checker_best_valid(ice->checker, out);
}

static void use_path(struct bk_ice *ice, struct agent_component *c,
                     const struct bk_ice_pair_info *info) {
    enum agent_link before = c->link;
    c->pair = info->id;
    c->local = info->local.base;
    c->remote = info->remote.addr;
    c->protocol = info->local.transport == BK_ICE_UDP ? BK_UDP : BK_TCP;
    c->relay = info->local.transport == BK_ICE_UDP ? agent_relay_of(ice, &c->local) : AGENT_NONE;
    if (before != AGENT_CONNECTED) {
        move(c, AGENT_CONNECTED);
        agent_tell(ice, before == AGENT_DISCONNECTED ? BK_ICE_ON_RECONNECTED : BK_ICE_ON_CONNECTED,
                   c, info->id);
    }
    if (info->selected && c->selected != info->id) {
        c->selected = info->id;
        agent_tell(ice, BK_ICE_ON_SELECTED, c, info->id);
        if (c->relay != AGENT_NONE)
            agent_relay_channel(ice, c->relay, &c->remote);
    }
}

static void lose_path(struct bk_ice *ice, struct agent_component *c) {
    c->pair = c->selected = 0;
    if (c->link == AGENT_CONNECTED) {
        move(c, AGENT_DISCONNECTED);
        agent_tell(ice, BK_ICE_ON_DISCONNECTED, c, 0);
    }
    if (c->link != AGENT_FAILED && bk_checker_get_state(ice->checker) == BK_ICE_FAILED) {
        move(c, AGENT_FAILED);
        agent_tell(ice, BK_ICE_ON_FAILED, c, 0);
    }
}

void agent_heard(struct bk_ice *ice, struct agent_component *c, const struct bk_datagram *in) {
    (void)in;
    c->heard = ice->now;
}

void agent_paths_turn(struct bk_ice *ice) {
    struct bk_checker_event e;
    bool changed = false;
    while (bk_checker_next_event(ice->checker, &e))
        changed = true;
    if (!changed)
        return;
    for (uint16_t i = 0; i < ice->component_count; i++) {
        struct agent_component *c = &ice->components[i];
        struct bk_ice_pair_info info = {.size = sizeof info};
        if (best_of(ice, c, &info) == BK_OK)
            use_path(ice, c, &info);
        else
            lose_path(ice, c);
    }
}

struct bk_time agent_paths_deadline(const struct bk_ice *ice) {
    (void)ice;
    return BK_NEVER;
}

enum bk_err bk_ice_path(const struct bk_ice *ice, uint16_t stream, uint16_t component,
                        struct bk_ice_pair_info *out) {
    const struct agent_component *c = agent_component(ice, stream, component);
    if (c == NULL || c->pair == 0)
        return BK_ERR_NOT_FOUND;
    return bk_checker_pair(ice->checker, c->pair, out);
}

enum bk_err bk_ice_pair_at(const struct bk_ice *ice, size_t index, struct bk_ice_pair_info *out) {
    return bk_checker_pair_at(ice->checker, index, out);
}

enum bk_ice_state bk_ice_get_state(const struct bk_ice *ice) {
    return bk_checker_get_state(ice->checker);
}

enum bk_ice_role bk_ice_get_role(const struct bk_ice *ice) {
    return bk_checker_is_controlling(ice->checker) ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
}
