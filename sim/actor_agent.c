/* SPDX-License-Identifier: MIT
 * Life and turns of a whole ICE agent in the simulated world. */
#include "sim/actor_agent.h"

#include "base/assert.h"
#include "base/rng.h"
#include "base/text.h"
#include "sim/agent_state.h"

#include <string.h>

struct sim_agent_config sim_agent_config(enum bk_ice_role role) {
    struct sim_agent_config c = {.signal = {.delay_us = 40 * BK_US_PER_MS, .keep_order = true},
                                 .data_us = 100 * BK_US_PER_MS};
    c.ice = bk_ice_config_default;
    c.ice.role = role;
    return c;
}

enum { TAG_START = 'T' };

/* ---- signalling ---- */

static void tell_peer(struct sim_agent *a, enum sim_signal_kind kind, uint16_t stream,
                      const char *text, size_t len) {
    const struct sim_signal_message m = {.kind = kind, .stream = stream, .text = text, .len = len};
    if (a->outbox != NULL)
        sim_signal_send(a->outbox, &m);
}

static void describe(struct sim_agent *a) {
    size_t len = 0;
    enum bk_err e = bk_ice_describe(a->ice, NULL, 0, &len);
    bk_assert(e == BK_ERR_SHORT);
    char *text = a->alloc.get(a->alloc.ctx, len + 1);
    bk_assert(text != NULL);
    e = bk_ice_describe(a->ice, text, len + 1, &len);
    bk_assert(e == BK_OK);
    tell_peer(a, SIM_SIGNAL_DESCRIPTION, 0, text, len);
    a->alloc.put(a->alloc.ctx, text);
    a->described = true;
}

/* RFC 8838 section 4.1: only a trickling agent describes itself before it has gathered. */
static bool may_describe(const struct sim_agent *a) {
    return a->gathered || a->config.ice.trickle == BK_ICE_TRICKLE;
}

static void start(struct sim_agent *a, struct bk_time now) {
    a->started_at = now;
    a->gathering = true;
    bk_ice_gather(a->ice, now);
    if (may_describe(a))
        describe(a);
}

static void take_signal(struct sim_agent *a, const struct sim_signal_message *m,
                        struct bk_time now) {
    enum bk_err e;
    a->known_at = now;
    if (m->kind == SIM_SIGNAL_DESCRIPTION) {
        e = bk_ice_set_remote(a->ice, m->text, m->len, now);
        e = e == BK_ERR_TOO_LONG ? BK_OK : e; /* what fits was taken */
        a->remote_known = a->remote_known || e == BK_OK;
    } else {
        e = bk_ice_add_remote_candidate(a->ice, m->stream, m->text, now);
    }
    if (e != BK_OK && e != BK_ERR_EXISTS && e != BK_ERR_FULL)
        a->seen.signal_errors++;
}

/* ---- events ---- */

static void on_gathered(struct sim_agent *a, struct bk_time now) {
    static const char end[] = "end-of-candidates";
    a->gathered = true;
    a->gathered_at = now;
    if (!a->described)
        describe(a);
    for (uint16_t s = 0; s < a->config.ice.streams; s++)
        tell_peer(a, SIM_SIGNAL_CANDIDATE, s, end, sizeof end - 1);
}

static void on_selected(struct sim_agent_path *p, struct bk_time now) {
    p->selections++;
    p->selected_at = bk_earlier(p->selected_at, now);
    p->last_selected_at = now;
}

static void on_broken(struct sim_agent *a, struct sim_agent_path *p, const struct bk_ice_event *ev,
                      struct bk_time now) {
    struct text why = text_in(a->why, sizeof a->why);
    text_str(&why, ev->text);
    p->connected = false;
    if (ev->kind == BK_ICE_ON_FAILED) {
        p->failures++;
        p->failed_at = now;
    } else {
        p->disconnects++;
        p->disconnected_at = now;
    }
}

static void on_event(struct sim_agent *a, const struct bk_ice_event *ev, struct bk_time now) {
    struct sim_agent_path *p = sim_agent_path(a, ev->stream, ev->component);
    switch (ev->kind) {
    case BK_ICE_ON_CANDIDATE:
        if (a->described)
            tell_peer(a, SIM_SIGNAL_CANDIDATE, ev->stream, ev->text, strlen(ev->text));
        return;
    case BK_ICE_ON_GATHERED:
        on_gathered(a, now);
        return;
    case BK_ICE_ON_CONNECTED:
        p->connected = true;
        p->connected_at = bk_earlier(p->connected_at, now);
        return;
    case BK_ICE_ON_SELECTED:
        on_selected(p, now);
        return;
    case BK_ICE_ON_RECONNECTED:
        p->connected = true;
        p->reconnects++;
        p->reconnected_at = now;
        return;
    case BK_ICE_ON_DISCONNECTED:
    case BK_ICE_ON_FAILED:
        on_broken(a, p, ev, now);
        return;
    case BK_ICE_ON_RESTART:
        if (may_describe(a))
            describe(a);
        return;
    case BK_ICE_ON_CLOSED:
        return;
    }
}

/* false: the agent died of it. */
static bool read_events(struct sim_agent *a, struct bk_time now) {
    struct bk_ice_event ev;
    while (bk_ice_next_event(a->ice, &ev)) {
        bk_assert((size_t)ev.kind < SIM_AGENT_EVENTS);
        a->count[ev.kind]++;
        if (++a->events == a->config.die_at_event) {
            sim_agent_fini(a);
            return false;
        }
        on_event(a, &ev, now);
    }
    return true;
}

/* ---- turns ---- */

static void turn(struct sim_agent *a, struct bk_time now) {
    struct bk_datagram out;
    uint32_t events;
    bool more;
    do {
        events = a->events;
        while (bk_ice_next_datagram(a->ice, &out))
            agent_io_send(a, &out);
        more = agent_io_drain(a, now);
        if (!read_events(a, now))
            return;
        agent_data_send(a, now);
    } while (more || a->events != events);
}

static void on_turn(void *ctx, struct world *w, struct bk_time now) {
    const struct sim_agent_place *place = ctx;
    struct sim_agent *a = place->agent;
    if (place != &a->place[0])
        world_wake(w, a->place[0].actor); /* its deadline is the agent's */
    else if (a->ice != NULL)
        turn(a, now);
}

static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    const struct sim_agent_place *place = ctx;
    struct sim_agent *a = place->agent;
    struct bk_ice_data data;
    (void)socket;
    if (a->ice != NULL && bk_ice_recv(a->ice, in, world_now(w), &data) == BK_OK &&
        data.data != NULL)
        agent_data_take(a, &data, world_now(w));
}

static void on_message(void *ctx, struct world *w, const uint8_t *data, size_t len) {
    const struct sim_agent_place *place = ctx;
    struct sim_agent *a = place->agent;
    struct sim_signal_message m;
    if (a->ice == NULL)
        return;
    if (data[0] == TAG_START)
        start(a, world_now(w));
    else if (data[0] == AGENT_RESOLVED_TAG)
        agent_io_resolved(a, data, len, world_now(w));
    else if (sim_signal_take(&a->inbox, data, len, &m))
        take_signal(a, &m, world_now(w));
}

static void on_timer(void *ctx, struct world *w, struct bk_time now) {
    const struct sim_agent_place *place = ctx;
    (void)w;
    if (place->agent->ice != NULL)
        bk_ice_advance(place->agent->ice, now);
}

static struct bk_time deadline(void *ctx) {
    const struct sim_agent_place *place = ctx;
    const struct sim_agent *a = place->agent;
    if (a->ice == NULL || place != &a->place[0])
        return BK_NEVER;
    return bk_earlier(bk_ice_deadline(a->ice), a->config.data_us > 0 ? a->data_at : BK_NEVER);
}

/* ---- life ---- */

static void forget_times(struct sim_agent *a) {
    a->started_at = a->gathered_at = a->known_at = BK_NEVER;
    for (size_t i = 0; i < SIM_AGENT_PATHS; i++) {
        struct sim_agent_path *p = &a->paths[i];
        p->connected_at = p->selected_at = p->last_selected_at = BK_NEVER;
        p->disconnected_at = p->reconnected_at = p->failed_at = p->heard_at = BK_NEVER;
    }
}

static void move_in(struct sim_agent *a, size_t i) {
    struct sim_agent_place *place = &a->place[i];
    *place = (struct sim_agent_place){.agent = a, .host = a->config.host[i]};
    const struct world_actor calls = {.ctx = place,
                                      .on_datagram = on_datagram,
                                      .on_stream = agent_io_on_stream,
                                      .on_message = on_message,
                                      .on_timer = on_timer,
                                      .on_turn = on_turn,
                                      .deadline = deadline};
    place->actor = world_add_actor(a->world, place->host, &calls);
}

void sim_agent_init(struct sim_agent *a, struct world *w, const struct sim_agent_config *config,
                    const struct bk_alloc *alloc) {
    memset(a, 0, sizeof *a);
    a->config = *config;
    a->world = w;
    a->alloc = *alloc;
    bk_assert(config->hosts > 0 && config->hosts <= SIM_AGENT_PLACES);
    forget_times(a);
    a->rng = world_rng(w, world_name(w, config->host[0]));
    a->tag = rng_u64(&a->rng);
    a->config.ice.rng = &a->rng;
    enum bk_err e = bk_ice_new(&a->config.ice, alloc, &a->ice);
    bk_assert(e == BK_OK);
    for (size_t i = 0; i < config->hosts; i++) {
        move_in(a, i);
        agent_io_open(a, i);
    }
    sim_signal_init(&a->inbox, w, a->place[0].actor, &config->signal, &a->rng, alloc);
}

void sim_agent_fini(struct sim_agent *a) {
    if (a->ice == NULL)
        return;
    bk_ice_free(a->ice);
    a->ice = NULL;
    agent_io_close_all(a);
    sim_signal_fini(&a->inbox);
}

void sim_agent_start(struct sim_agent *a, struct sim_signal *outbox, const uint64_t *peer_tag) {
    const uint8_t tag = TAG_START;
    a->outbox = outbox;
    a->peer_tag = peer_tag;
    world_post(a->world, a->place[0].actor, a->config.start_us, &tag, 1);
}

void sim_agent_join(struct sim_agent *a, struct sim_agent *b) {
    sim_agent_start(a, &b->inbox, &b->tag);
    sim_agent_start(b, &a->inbox, &a->tag);
}

/* ---- what happens to it ---- */

void sim_agent_restart(struct sim_agent *a) {
    if (a->ice == NULL)
        return;
    enum bk_err e = bk_ice_restart(a->ice, world_now(a->world));
    bk_assert(e == BK_OK);
    if (may_describe(a))
        describe(a);
    world_wake(a->world, a->place[0].actor);
}

void sim_agent_interface(struct sim_agent *a, size_t place, bool up) {
    if (a->ice == NULL || a->place[place].up == up)
        return;
    if (up)
        agent_io_open(a, place);
    else
        agent_io_close(a, place);
    world_wake(a->world, a->place[0].actor);
}

void sim_agent_network_changed(struct sim_agent *a) {
    if (a->ice == NULL)
        return;
    bk_ice_network_changed(a->ice, world_now(a->world));
    world_wake(a->world, a->place[0].actor);
}

/* ---- questions ---- */

size_t sim_agent_components(const struct sim_agent *a) {
    return (size_t)a->config.ice.streams * a->config.ice.components;
}

struct sim_agent_path *sim_agent_path(struct sim_agent *a, size_t stream, size_t component) {
    size_t c = component > 0 ? component - 1 : 0;
    bk_assert(stream < BK_ICE_STREAMS_MAX && c < BK_ICE_COMPONENTS_MAX);
    return &a->paths[stream * BK_ICE_COMPONENTS_MAX + c];
}

struct sim_agent_path *sim_agent_path_at(struct sim_agent *a, size_t index) {
    return sim_agent_path(a, index / a->config.ice.components,
                          index % a->config.ice.components + 1);
}

static bool all_paths(struct sim_agent *a, bool (*holds)(const struct sim_agent_path *p)) {
    for (size_t i = 0; i < sim_agent_components(a); i++) {
        if (!holds(sim_agent_path_at(a, i)))
            return false;
    }
    return a->ice != NULL;
}

static bool path_connected(const struct sim_agent_path *p) {
    return p->connected;
}

static bool path_selected(const struct sim_agent_path *p) {
    return p->connected && p->selections > 0;
}

static bool path_heard(const struct sim_agent_path *p) {
    return p->heard > 0;
}

bool sim_agent_is_connected(struct sim_agent *a) {
    return all_paths(a, path_connected);
}

bool sim_agent_is_selected(struct sim_agent *a) {
    return all_paths(a, path_selected);
}

bool sim_agent_has_heard(struct sim_agent *a) {
    return all_paths(a, path_heard);
}

static bool agree_on(struct sim_agent *a, struct sim_agent *b, uint16_t stream,
                     uint16_t component) {
    struct bk_ice_pair_info x = {.size = sizeof x}, y = {.size = sizeof y};
    return bk_ice_path(a->ice, stream, component, &x) == BK_OK &&
           bk_ice_path(b->ice, stream, component, &y) == BK_OK &&
           bk_addr_equal(&x.local.addr, &y.remote.addr) &&
           bk_addr_equal(&x.remote.addr, &y.local.addr);
}

bool sim_agent_agree(struct sim_agent *a, struct sim_agent *b) {
    bool same = a->ice != NULL && b->ice != NULL;
    for (uint16_t s = 0; same && s < a->config.ice.streams; s++) {
        for (uint16_t c = 1; same && c <= a->config.ice.components; c++)
            same = agree_on(a, b, s, c);
    }
    return same;
}
