/* SPDX-License-Identifier: MIT
 * What the caller is asked to do. The ring has room for the end of everything that is there: ends
 * must not fail. What would need that room (new things, and announcements) waits or is refused. */
#include "turn/service_int.h"

#include "base/assert.h"

enum { SLACK = 16, RING_LARGE = 4096 };

static uint32_t to_end(uint32_t allocs, uint32_t chans, uint32_t conns) {
    return allocs * TURN_RELAY_PORTS_MAX + chans + conns;
}

uint32_t turn_service_actions_for(const struct turn_service *s) {
    const struct turn_service_config *c = &s->config;
    return 2 * to_end(c->allocations_max, c->flows ? c->channels_all : 0,
                      c->tcp ? c->connections_all : 0) +
           SLACK;
}

bool turn_service_has_room(const struct turn_service *s, uint32_t more) {
    uint32_t kept = to_end(s->allocs.pool.count + 1, s->flows + 1, s->conns.pool.count + 1);
    return s->action_count + kept + more <= s->action_cap;
}

void turn_service_push(struct turn_service *s, const struct turn_due *due) {
    bk_assert(s->action_count < s->action_cap);
    s->actions[(s->action_at + s->action_count) % s->action_cap] = *due;
    s->action_count++;
}

void turn_service_pass(struct turn_service *s, uint16_t worker) {
    const struct turn_due due = {.kind = TURN_PASS, .port = worker};
    if (turn_service_has_room(s, 1))
        turn_service_push(s, &due);
}

/* An empty ring begins at its start again: what was never needed is never touched. After a rush
 * its memory is exchanged for some that was not touched. */
static void rewind_ring(struct turn_service *s) {
    bool large = s->action_at >= RING_LARGE;
    s->action_at = 0;
    if (!large)
        return;
    struct turn_due *fresh = s->alloc.get(s->alloc.ctx, s->action_cap * sizeof *fresh);
    if (fresh == NULL)
        return;
    s->alloc.put(s->alloc.ctx, s->actions);
    s->actions = fresh;
}

static void say_flow(const struct turn_service *s, uint32_t chan, struct turn_action *out) {
    const struct turn_channel *c = turn_channel_at(&s->chans, chan);
    const struct turn_alloc *a = turn_service_alloc(s, c->owner);
    size_t family = turn_family_index(c->peer.ip.family);
    uint32_t perm = turn_permissions_find(&s->perms, c->owner, &c->peer.ip);
    struct turn_flow *f = &out->flow;
    f->alloc = c->owner;
    f->client = a->client;
    f->server = a->server;
    f->relay = bk_addr(s->config.relay[family], a->port[family]);
    f->peer = c->peer;
    f->channel = c->number;
    f->expires = bk_earlier(a->wait.when, c->wait.when);
    f->expires = perm == TURN_NONE
                     ? s->now
                     : bk_earlier(f->expires, turn_permission_at(&s->perms, perm)->wait.when);
    f->bytes_per_s = a->bucket.bytes_per_s;
    out->via = a->via;
}

static bool say_connect(const struct turn_service *s, uint32_t number, struct turn_action *out) {
    uint32_t i = turn_conns_by_number(&s->conns, number);
    if (i == TURN_NONE)
        return false; /* gone already: its cut follows */
    const struct turn_conn *c = turn_conn_at(&s->conns, i);
    size_t family = turn_family_index(c->peer.ip.family);
    out->protocol = BK_TCP;
    out->connection = number;
    out->peer = c->peer;
    out->addr = bk_addr(s->config.relay[family], turn_service_alloc(s, c->owner)->port[family]);
    return true;
}

/* false: nothing to be told any more. */
static bool say(const struct turn_service *s, const struct turn_due *due, struct turn_action *out) {
    memset(out, 0, sizeof *out);
    out->kind = due->kind;
    out->protocol = due->protocol;
    switch (out->kind) {
    case TURN_OPEN:
    case TURN_CLOSE:
        out->addr = bk_addr(s->config.relay[due->family], due->port);
        return true;
    case TURN_FLOW:
        out->flow.id = due->id;
        if (!turn_channel_is(&s->chans, due->id) || !turn_channel_at(&s->chans, due->id)->flow)
            return false; /* gone already: its end follows */
        say_flow(s, due->id, out);
        return true;
    case TURN_FLOW_END:
        out->flow.id = due->id;
        return true;
    case TURN_CONNECT:
        return say_connect(s, due->id, out);
    case TURN_JOIN:
        out->connection = due->id;
        out->via = s->via;
        return true;
    case TURN_CUT:
        out->connection = due->id;
        return true;
    case TURN_PASS:
        out->worker = due->port;
        return true;
    }
    return false;
}

/* A port is free for others only once the caller knows that it is to be closed. */
bool turn_service_next_action(struct turn_service *service, struct turn_action *out) {
    while (service->action_count > 0) {
        const struct turn_due due = service->actions[service->action_at];
        service->action_at = (service->action_at + 1) % service->action_cap;
        service->action_count--;
        if (service->action_count == 0)
            rewind_ring(service);
        bool told = say(service, &due, out);
        if (due.kind == TURN_CLOSE)
            turn_port_is_closed(service, due.family, due.port);
        if (told)
            return true;
    }
    return false;
}

void turn_service_opened(struct turn_service *service, const struct bk_addr *addr, void *socket) {
    size_t family = turn_family_index(addr->ip.family);
    uint32_t owner = turn_relay_is_here(service, addr)
                         ? turn_ports_owner(&service->ports[family], addr->port)
                         : TURN_NOBODY;
    if (owner == TURN_NOBODY)
        return;
    if ((owner & TURN_SHARED) != 0)
        ((struct turn_share *)pool_at(&service->shares, owner & ~TURN_SHARED))->socket = socket;
    else
        turn_service_alloc(service, owner)->socket[family] = socket;
}
