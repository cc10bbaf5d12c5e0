/* SPDX-License-Identifier: MIT
 * What the checker found, for each component: the path its data takes, and the events about it. */
#include "agent/agent.h"

#include "base/assert.h"

#include <string.h>

enum { HEARD_US = 20000 /* the checker need not hear of every packet */ };

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

/* ---- One component ------------------------------------------------------------------------ */

static void connect(struct bk_ice *ice, struct agent_component *c) {
    enum agent_link before = c->link;
    if (before == AGENT_CONNECTED)
        return;
    move(c, AGENT_CONNECTED);
    c->was_connected = true;
    agent_tell(ice, before == AGENT_DISCONNECTED ? BK_ICE_ON_RECONNECTED : BK_ICE_ON_CONNECTED, c,
               c->pair);
}

static void disconnect(struct bk_ice *ice, struct agent_component *c) {
    if (c->link != AGENT_CONNECTED)
        return;
    move(c, AGENT_DISCONNECTED);
    agent_tell(ice, BK_ICE_ON_DISCONNECTED, c, c->pair);
}

static void select_path(struct bk_ice *ice, struct agent_component *c) {
    if (c->selected == c->pair)
        return;
    c->selected = c->pair;
    agent_tell(ice, BK_ICE_ON_SELECTED, c, c->pair);
    if (c->relay != AGENT_NONE)
        agent_relay_channel(ice, c->relay, &c->remote);
}

static void use_path(struct bk_ice *ice, struct agent_component *c,
                     const struct bk_ice_pair_info *info) {
    if (c->pair != info->id)
        c->bytes_sent = c->bytes_received = c->messages_sent = c->messages_received = 0;
    c->pair = info->id;
    c->local = info->local.base;
    c->remote = info->remote.addr;
    c->protocol = info->local.transport == BK_ICE_UDP ? BK_UDP : BK_TCP;
    c->relay = c->protocol == BK_UDP ? agent_relay_of(ice, &c->local) : AGENT_NONE;
    if (info->silent && c->link == AGENT_CONNECTED)
        disconnect(ice, c);
    else if (!info->silent)
        connect(ice, c);
    if (info->selected)
        select_path(ice, c);
}

static void lose_path(struct bk_ice *ice, struct agent_component *c) {
    c->pair = c->selected = 0;
    disconnect(ice, c);
    if (c->link == AGENT_FAILED ||
        bk_checker_stream_state(ice->checker, c->stream) != BK_ICE_FAILED)
        return;
    move(c, AGENT_FAILED);
    agent_tell(ice, BK_ICE_ON_FAILED, c, 0);
}

static void update(struct bk_ice *ice, struct agent_component *c) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    if (bk_checker_best_valid_of(ice->checker, c->stream, c->component, &info) == BK_OK)
        use_path(ice, c, &info);
    else
        lose_path(ice, c);
}

/* ---- The checker's events ----------------------------------------------------------------- */

void agent_paths_update(struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->component_count; i++)
        update(ice, &ice->components[i]);
}

/* The events only say that something changed; what is there now is looked up, because without
 * memory an event is lost. */
bool agent_paths_turn(struct bk_ice *ice) {
    struct bk_checker_event e;
    uint64_t lost = bk_checker_stats(ice->checker)->events_lost;
    bool changed = lost != ice->news_lost;
    ice->news_lost = lost;
    while (bk_checker_next_event(ice->checker, &e))
        changed = true;
    if (changed)
        agent_paths_update(ice);
    return changed;
}

void agent_heard(struct bk_ice *ice, struct agent_component *c, const struct bk_datagram *in) {
    if (!bk_is_never(c->heard) && bk_elapsed_us(c->heard, ice->now) < HEARD_US)
        return;
    c->heard = ice->now;
    bk_checker_heard(ice->checker, &in->local, &in->remote, ice->now);
    if (c->link != AGENT_CONNECTED) /* it may be back, and that is news for now */
        (void)agent_paths_turn(ice);
}

/* ---- Asking ------------------------------------------------------------------------------- */

static void fill_counts(const struct bk_ice *ice, struct bk_ice_pair_info *out) {
    for (uint16_t i = 0; i < ice->component_count; i++) {
        const struct agent_component *c = &ice->components[i];
        if (c->pair != out->id)
            continue;
        out->bytes_sent = c->bytes_sent;
        out->bytes_received = c->bytes_received;
        out->messages_sent = c->messages_sent;
        out->messages_received = c->messages_received;
    }
}

enum bk_err bk_ice_path(const struct bk_ice *ice, uint16_t stream, uint16_t component,
                        struct bk_ice_pair_info *out) {
    const struct agent_component *c = agent_component(ice, stream, component);
    if (c == NULL || c->pair == 0)
        return BK_ERR_NOT_FOUND;
    enum bk_err err = bk_checker_pair(ice->checker, c->pair, out);
    if (err == BK_OK)
        fill_counts(ice, out);
    return err;
}

enum bk_err bk_ice_pair_at(const struct bk_ice *ice, size_t index, struct bk_ice_pair_info *out) {
    enum bk_err err = bk_checker_pair_at(ice->checker, index, out);
    if (err == BK_OK)
        fill_counts(ice, out);
    return err;
}

enum bk_ice_state bk_ice_get_state(const struct bk_ice *ice) {
    return bk_checker_get_state(ice->checker);
}

enum bk_ice_role bk_ice_get_role(const struct bk_ice *ice) {
    return bk_checker_is_controlling(ice->checker) ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
}
