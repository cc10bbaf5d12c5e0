/* SPDX-License-Identifier: MIT
 * Relayed candidates: TURN clients, RFC 8656.
 *
 * For each server, component and family one allocation is wanted, from the best base. When the
 * server is silent there while another base has been heard, or while it has another address, a
 * second client starts beside the first; whichever is allocated first stays, the others go.
 *
 * A connection to a server is kept as long as its allocation is (RFC 6544 section 11.2).
 * Over TCP, TLS and DTLS the routing chooses our address. A connection that breaks takes the
 * allocation with it (section 3.1): it is dialled again, with growing pauses. */
#include "agent/agent.h"

#include <string.h>

enum {
    RTO_US = 200000, /* one packet each: haste costs little */
    TRIES = 7,
    SLACK_US = 20000,   /* the best base may be that much slower than another */
    SILENT_US = 600000, /* then another address of the server's is tried beside */
    REST_US = 1000000,  /* doubled with every failure in a row */
    REST_DOUBLINGS = 6,
    OVER_TCP = 16384, /* steps of preference that such relays stand behind those over UDP */
    OVER_TLS = 24576,
    OVER_DTLS = 8192
};

/* ---- Planning ----------------------------------------------------------------------------- */

static bool is_live(const struct agent_relay *r) {
    return r->state == RELAY_PLANNED || r->state == RELAY_DIALLING || r->state == RELAY_ASKING ||
           r->state == RELAY_UP || r->state == RELAY_RESTING;
}

/* Do these two stand for the same thing? */
static bool is_rival(const struct bk_ice *ice, const struct agent_relay *r, uint16_t base,
                     uint16_t server) {
    const struct agent_base *a = &ice->bases[r->base], *b = &ice->bases[base];
    return r->server == server && a->stream == b->stream && a->component == b->component &&
           a->addr.ip.family == b->addr.ip.family;
}

static bool is_wanted(const struct bk_ice *ice, uint16_t base, uint16_t server) {
    for (uint16_t i = 0; i < ice->relay_count; i++)
        if (is_live(&ice->relays[i]) && is_rival(ice, &ice->relays[i], base, server))
            return false;
    return true;
}

static struct agent_relay *take_relay(struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->relay_count; i++)
        if (ice->relays[i].state == RELAY_FREE)
            return &ice->relays[i];
    if (ice->relay_count == ice->relay_cap &&
        !agent_grow(ice, &ice->relays, &ice->relay_cap, sizeof *ice->relays, AGENT_RELAYS_MAX))
        return NULL;
    return &ice->relays[ice->relay_count++];
}

/* Two clients on one 5-tuple would release each other's allocation (RFC 8656 section 7.2, 437). */
static bool is_under_way(const struct bk_ice *ice, uint16_t base, uint16_t server, uint8_t ip) {
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        const struct agent_relay *r = &ice->relays[i];
        if (is_live(r) && r->base == base && r->server == server && r->ip == ip)
            return true;
    }
    return false;
}

static void plan_on(struct bk_ice *ice, uint16_t base, uint16_t server, uint8_t ip) {
    const struct agent_server *s = &ice->gather->servers[server];
    struct agent_relay *r = is_under_way(ice, base, server, ip) ? NULL : take_relay(ice);
    if (r == NULL)
        return;
    *r = (struct agent_relay){.state = RELAY_PLANNED,
                              .base = base,
                              .server = server,
                              .ip = ip,
                              .protocol = (uint8_t)s->uri.protocol,
                              .secure = s->uri.secure,
                              .to = bk_addr(s->ips[ip], s->uri.port),
                              .started = BK_NEVER,
                              .retry_at = BK_NEVER};
}

/* Connections leave from any address; datagrams from the base alone. */
static bool is_connected(const struct agent_relay *r) {
    return r->protocol == BK_TCP || r->secure;
}

static bool can_plan(const struct bk_ice *ice, uint16_t base, uint16_t server, uint8_t *ip) {
    const struct agent_base *b = &ice->bases[base];
    if (ice->gather == NULL || b->protocol != BK_UDP || !b->used || ice->closing)
        return false;
    const struct agent_server *s = &ice->gather->servers[server];
    return s->state == SERVER_READY && s->uri.turn && agent_server_address(s, b, 0, ip);
}

void agent_relay_plan(struct bk_ice *ice, uint16_t base, uint16_t server) {
    uint8_t ip;
    if (can_plan(ice, base, server, &ip) && is_wanted(ice, base, server))
        plan_on(ice, base, server, ip);
}

/* ---- Starting ----------------------------------------------------------------------------- */

static void *shared_work(struct bk_ice *ice, const struct bk_turn_config *c) {
    if (ice->work == NULL)
        ice->work = ice->alloc.get(ice->alloc.ctx, bk_turn_work_size(c));
    return ice->work;
}

static void make_client(struct bk_ice *ice, struct agent_relay *r) {
    const struct bk_ice_server *s = &ice->config.servers[r->server];
    struct bk_turn_config c = bk_turn_config_default;
    c.local = r->local;
    c.server = r->to;
    c.user = s->user;
    c.password = s->password;
    c.stream = r->protocol == BK_TCP;
    c.family = ice->config.ipv4 ? BK_IPV4 : BK_IPV6;
    c.both = ice->config.ipv4 && ice->config.ipv6 && ice->config.relay_ipv6;
    c.rto_us = RTO_US;
    c.tries = TRIES;
    c.peers_max = ice->config.remotes_max;
    c.work = shared_work(ice, &c);
    r->state = RELAY_ASKING;
    if (bk_turn_new(&c, &ice->alloc, ice->config.rng, ice->now, &r->turn) != BK_OK)
        r->state = RELAY_OVER;
}

static void start(struct bk_ice *ice, uint16_t at) {
    struct agent_relay *r = &ice->relays[at];
    r->started = ice->now;
    ice->facts[r->server].asked = true;
    if (!is_connected(r)) {
        r->local = ice->bases[r->base].addr;
        make_client(ice, r);
        return;
    }
    struct bk_addr any = {.ip = {.family = r->to.ip.family}};
    r->conn = agent_conn_dial(ice, at, &any, &r->to);
    r->state = r->conn == 0 ? RELAY_OVER : RELAY_DIALLING;
}

void agent_relay_connected(struct bk_ice *ice, uint16_t relay, const struct bk_addr *local) {
    struct agent_relay *r = &ice->relays[relay];
    r->local = *local;
    make_client(ice, r);
}

/* ---- Candidates --------------------------------------------------------------------------- */

static uint16_t preference_of(const struct bk_ice *ice, const struct agent_relay *r) {
    uint32_t down = 0, own = ice->bases[r->base].preference;
    if (r->protocol == BK_TCP)
        down = r->secure ? OVER_TLS : OVER_TCP;
    else if (r->secure)
        down = OVER_DTLS;
    return (uint16_t)(own > down ? own - down : 1);
}

static void add_relayed(struct bk_ice *ice, const struct agent_relay *r, const struct bk_addr *addr,
                        const struct bk_addr *mapped) {
    const struct agent_base *b = &ice->bases[r->base];
    if (addr->ip.family == BK_FAMILY_NONE)
        return;
    struct bk_ice_candidate c = {.kind = BK_ICE_RELAYED,
                                 .addr = *addr,
                                 .base = *addr,
                                 .server = r->to,
                                 .stream = b->stream,
                                 .component = b->component,
                                 .preference = preference_of(ice, r)};
    agent_cand_add_related(ice, &c, mapped, r->base);
}

static void drop_addr(struct bk_ice *ice, struct bk_addr *addr) {
    if (addr->ip.family == BK_FAMILY_NONE)
        return;
    agent_cands_drop_addr(ice, addr, BK_UDP);
    enum bk_err err = bk_checker_remove_base(ice->checker, addr, BK_UDP, ice->now);
    (void)err; /* the checker may have found it redundant */
    memset(addr, 0, sizeof *addr);
}

static void drop_candidates(struct bk_ice *ice, struct agent_relay *r) {
    drop_addr(ice, &r->relayed);
    drop_addr(ice, &r->relayed6);
}

/* ---- Ending ------------------------------------------------------------------------------- */

static void end(struct bk_ice *ice, struct agent_relay *r, enum agent_relay_state into) {
    drop_candidates(ice, r);
    bk_turn_free(r->turn);
    r->turn = NULL;
    if (r->conn != 0)
        agent_conn_end(ice, r->conn);
    r->conn = 0;
    r->state = into;
}

static void close_one(struct bk_ice *ice, struct agent_relay *r) {
    if (r->turn == NULL || r->state == RELAY_CLOSING) {
        if (r->state != RELAY_CLOSING)
            end(ice, r, RELAY_OVER);
        return;
    }
    drop_candidates(ice, r);
    r->state = RELAY_CLOSING;
    bk_turn_close(r->turn, ice->now);
}

/* A base that does as well for a relay in a connection. */
static uint16_t base_like(const struct bk_ice *ice, uint16_t base) {
    const struct agent_base *b = &ice->bases[base];
    for (uint16_t i = 0; i < ice->base_count; i++) {
        const struct agent_base *o = &ice->bases[i];
        if (i != base && o->used && o->protocol == b->protocol && o->stream == b->stream &&
            o->component == b->component && o->addr.ip.family == b->addr.ip.family)
            return i;
    }
    return AGENT_NONE;
}

void agent_relays_drop_base(struct bk_ice *ice, uint16_t base) {
    uint16_t other = base_like(ice, base);
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        struct agent_relay *r = &ice->relays[i];
        if (r->base != base || r->state == RELAY_FREE)
            continue;
        if (is_connected(r) && other != AGENT_NONE)
            r->base = other; /* if the connection used it, it will break */
        else
            end(ice, r, RELAY_FREE);
    }
}

void agent_relays_renew(struct bk_ice *ice, uint16_t base) {
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        struct agent_relay *r = &ice->relays[i];
        if (r->base != base || is_connected(r) || !is_live(r) || r->state == RELAY_PLANNED)
            continue;
        end(ice, r, RELAY_PLANNED);
        r->heard = r->hedged = r->moved = false;
    }
}

/* The server's next address, or nothing. */
static void try_next_address(struct bk_ice *ice, uint16_t at) {
    const struct agent_relay *r = &ice->relays[at];
    uint8_t ip;
    if (ice->gather == NULL || !ice->bases[r->base].used)
        return;
    const struct agent_server *s = &ice->gather->servers[r->server];
    if (agent_server_address(s, &ice->bases[r->base], (uint8_t)(r->ip + 1), &ip))
        plan_on(ice, r->base, r->server, ip);
}

static void rest(struct bk_ice *ice, struct agent_relay *r) {
    int doublings = r->failures < REST_DOUBLINGS ? r->failures : REST_DOUBLINGS;
    end(ice, r, RELAY_RESTING);
    r->failures++;
    r->retry_at = bk_after(ice->now, (int64_t)REST_US << doublings);
}

void agent_relay_broken(struct bk_ice *ice, uint16_t relay) {
    struct agent_relay *r = &ice->relays[relay];
    bool was_up = r->state == RELAY_UP || r->failures > 0;
    r->conn = 0; /* is gone already */
    if (ice->closing || r->state == RELAY_CLOSING || !was_up) {
        end(ice, r, RELAY_OVER);
        if (!ice->closing)
            try_next_address(ice, relay);
    } else {
        rest(ice, r);
    }
}

void agent_relays_refresh(struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->relay_count; i++)
        if (ice->relays[i].state == RELAY_UP)
            bk_turn_refresh(ice->relays[i].turn, ice->now);
}

/* ---- What the clients tell ----------------------------------------------------------------- */

/* One allocation of a kind is enough. */
static void drop_rivals(struct bk_ice *ice, uint16_t winner) {
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        const struct agent_relay *w = &ice->relays[winner];
        if (i != winner && is_live(&ice->relays[i]) &&
            is_rival(ice, &ice->relays[i], w->base, w->server))
            close_one(ice, &ice->relays[i]);
    }
}

static void allocated(struct bk_ice *ice, uint16_t at, const struct bk_turn_event *e) {
    struct agent_relay *r = &ice->relays[at];
    drop_candidates(ice, r);
    r->state = RELAY_UP;
    r->heard = true;
    r->failures = 0;
    r->relayed = e->relayed;
    r->relayed6 = e->relayed6;
    ice->facts[r->server].answered = ice->facts[r->server].relayed = true;
    drop_rivals(ice, at);
    add_relayed(ice, r, &r->relayed, &e->mapped);
    add_relayed(ice, r, &r->relayed6, &e->mapped);
    agent_relay_permit_all(ice);
    if (r->conn == 0)
        agent_gather_mapped(ice, r->base, &r->to, &e->mapped);
}

/* RFC 8489 section 10: to the alternate server, once, and only to an address of the same family. */
static void redirected(struct bk_ice *ice, uint16_t at, const struct bk_turn_event *e) {
    struct agent_relay *r = &ice->relays[at];
    struct bk_addr to = e->alternate;
    bool follow = !r->redirected && to.ip.family == r->to.ip.family && to.port != 0 &&
                  bk_ip_scope(&to.ip) != BK_SCOPE_NONE;
    ice->facts[r->server].refused = true;
    ice->facts[r->server].code = 300;
    end(ice, r, follow ? RELAY_PLANNED : RELAY_OVER);
    r->redirected = true;
    r->to = to;
}

static void failed(struct bk_ice *ice, uint16_t at, const struct bk_turn_event *e) {
    struct agent_relay *r = &ice->relays[at];
    struct agent_fact *f = &ice->facts[r->server];
    if (e->err != BK_ERR_TIMEOUT) {
        f->refused = true;
        f->code = e->err == BK_ERR_AUTH ? 401 : e->code;
    }
    if (e->err != BK_ERR_TIMEOUT) {
        end(ice, r, RELAY_OVER);
        return;
    }
    rest(ice, r); /* it may have been loss alone */
    if (!r->hedged)
        try_next_address(ice, at);
}

/* The index is good until the event is dealt with: planning another may move the table. */
static void take_event(struct bk_ice *ice, uint16_t at, const struct bk_turn_event *e) {
    switch (e->kind) {
    case BK_TURN_ALLOCATED:
        allocated(ice, at, e);
        break;
    case BK_TURN_LOST:
        drop_candidates(ice, &ice->relays[at]);
        ice->relays[at].state = RELAY_ASKING;
        break;
    case BK_TURN_REDIRECT:
        redirected(ice, at, e);
        break;
    case BK_TURN_FAILED:
        failed(ice, at, e);
        break;
    case BK_TURN_CLOSED:
        end(ice, &ice->relays[at], RELAY_FREE);
        break;
    case BK_TURN_PERMITTED:
    case BK_TURN_REFUSED:
    case BK_TURN_ICMP:
    case BK_TURN_MOVED:
    case BK_TURN_CONNECTION:
    case BK_TURN_NO_CONNECTION:
        break; /* the check itself will tell */
    }
}

static void read_events(struct bk_ice *ice, uint16_t at) {
    struct bk_turn_event e;
    while (ice->relays[at].turn != NULL && bk_turn_next_event(ice->relays[at].turn, &e)) {
        if (ice->relays[at].state == RELAY_CLOSING && e.kind != BK_TURN_CLOSED &&
            e.kind != BK_TURN_FAILED)
            continue;
        take_event(ice, at, &e);
    }
}

/* ---- Permissions -------------------------------------------------------------------------- */

uint16_t agent_relay_of(const struct bk_ice *ice, const struct bk_addr *relayed) {
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        const struct agent_relay *r = &ice->relays[i];
        if (r->state == RELAY_UP &&
            (bk_addr_equal(&r->relayed, relayed) || bk_addr_equal(&r->relayed6, relayed)))
            return i;
    }
    return AGENT_NONE;
}

/* RFC 8445 section 7.2.1: a relayed candidate's checks need a permission, kept from then on. Ahead
 * of the checks: the peer's may come before ours have asked for it. */
void agent_relay_permit_all(struct bk_ice *ice) {
    struct bk_ice_pair_info p = {.size = sizeof p};
    bool any = false;
    for (uint16_t i = 0; i < ice->relay_count; i++)
        any |= ice->relays[i].state == RELAY_UP;
    for (size_t i = 0; any && bk_checker_pair_at(ice->checker, i, &p) == BK_OK; i++) {
        uint16_t at = agent_relay_of(ice, &p.local.base);
        if (at == AGENT_NONE)
            continue;
        if (bk_turn_permit(ice->relays[at].turn, &p.remote.addr, false, ice->now) == BK_ERR_FULL)
            return;
    }
}

void agent_relay_channel(struct bk_ice *ice, uint16_t relay, const struct bk_addr *peer) {
    if (bk_turn_permit(ice->relays[relay].turn, peer, true, ice->now) != BK_OK)
        return; /* Send indications do as well */
}

/* ---- The verbs ---------------------------------------------------------------------------- */

enum bk_err agent_relays_recv(struct bk_ice *ice, const struct bk_datagram *in,
                              struct bk_turn_data *out, uint16_t *relay) {
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        struct agent_relay *r = &ice->relays[i];
        if (r->turn == NULL || r->conn != 0 || !bk_addr_equal(&r->to, &in->remote) ||
            !bk_addr_equal(&r->local, &in->local))
            continue;
        enum bk_err err = bk_turn_recv(r->turn, in, ice->now, out);
        if (err == BK_ERR_NOT_OURS)
            continue;
        r->heard = true;
        *relay = i;
        if (err != BK_OK || out->data == NULL)
            read_events(ice, i);
        return err;
    }
    return BK_ERR_NOT_OURS;
}

static bool is_mute(const struct agent_relay *r) {
    return !r->heard && (r->state == RELAY_ASKING || r->state == RELAY_DIALLING);
}

static void try_other_address(struct bk_ice *ice, uint16_t at) {
    struct agent_relay *r = &ice->relays[at];
    if (r->hedged || !is_mute(r) || bk_elapsed_us(r->started, ice->now) < SILENT_US)
        return;
    r->hedged = true;
    try_next_address(ice, at);
}

/* When another base, where a server was heard, is to be tried beside this relay's. */
static struct bk_time move_at(const struct bk_ice *ice, const struct agent_relay *r,
                              uint16_t *base) {
    struct bk_time t = BK_NEVER;
    if (r->moved || !is_mute(r) || is_connected(r))
        return t;
    for (uint16_t i = 0; i < ice->base_count; i++) {
        const struct agent_base *b = &ice->bases[i];
        if (!b->used || i == r->base || !is_rival(ice, r, i, r->server) ||
            !bk_before(bk_after(b->alive_at, SLACK_US), t))
            continue;
        t = bk_after(b->alive_at, SLACK_US);
        *base = i;
    }
    return bk_is_never(t) ? t : bk_later(t, bk_after(r->started, SLACK_US));
}

static void try_other_base(struct bk_ice *ice, uint16_t at) {
    struct agent_relay *r = &ice->relays[at];
    uint16_t base = AGENT_NONE;
    uint8_t ip;
    if (!bk_due(move_at(ice, r, &base), ice->now))
        return;
    r->moved = true;
    if (can_plan(ice, base, r->server, &ip))
        plan_on(ice, base, r->server, ip);
}

void agent_relays_turn(struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        if (ice->relays[i].state == RELAY_RESTING && bk_due(ice->relays[i].retry_at, ice->now))
            ice->relays[i].state = RELAY_PLANNED;
        if (ice->relays[i].state == RELAY_PLANNED && agent_gather_pace(ice))
            start(ice, i);
        if (ice->relays[i].turn != NULL) {
            bk_turn_advance(ice->relays[i].turn, ice->now);
            read_events(ice, i);
        }
        try_other_address(ice, i);
        try_other_base(ice, i);
    }
}

static struct bk_time deadline_of(const struct bk_ice *ice, const struct agent_relay *r) {
    uint16_t base;
    struct bk_time t = move_at(ice, r, &base);
    if (r->state == RELAY_PLANNED)
        t = bk_earlier(t, ice->pace_at);
    if (r->state == RELAY_RESTING)
        t = bk_earlier(t, r->retry_at);
    if (r->turn != NULL)
        t = bk_earlier(t, bk_turn_deadline(r->turn));
    if (is_mute(r) && !r->hedged)
        t = bk_earlier(t, bk_after(r->started, SILENT_US));
    return t;
}

struct bk_time agent_relays_deadline(const struct bk_ice *ice) {
    struct bk_time t = BK_NEVER;
    for (uint16_t i = 0; i < ice->relay_count; i++)
        t = bk_earlier(t, deadline_of(ice, &ice->relays[i]));
    return t;
}

struct bk_time agent_relays_wait(const struct bk_ice *ice) {
    struct bk_time t = {INT64_MIN};
    for (uint16_t i = 0; ice->gather != NULL && i < ice->relay_count; i++) {
        const struct agent_relay *r = &ice->relays[i];
        if (r->state == RELAY_PLANNED || r->state == RELAY_DIALLING || r->state == RELAY_ASKING)
            t = bk_later(t, ice->gather->servers[r->server].give_up);
    }
    return t;
}

bool agent_relays_next_datagram(struct bk_ice *ice, struct bk_datagram *out) {
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        const struct agent_relay *r = &ice->relays[i];
        if (r->turn != NULL && r->conn == 0 && bk_turn_next_datagram(r->turn, out))
            return true;
    }
    return false;
}

bool agent_relays_next_stream(struct bk_ice *ice, uint32_t *conn, struct bk_datagram *out) {
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        const struct agent_relay *r = &ice->relays[i];
        if (r->turn == NULL || r->conn == 0 || !bk_turn_next_datagram(r->turn, out))
            continue;
        *conn = r->conn;
        return true;
    }
    return false;
}

void agent_relays_close(struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->relay_count; i++)
        if (ice->relays[i].state != RELAY_FREE)
            close_one(ice, &ice->relays[i]);
}

bool agent_relays_are_closed(const struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->relay_count; i++)
        if (ice->relays[i].turn != NULL)
            return false;
    return true;
}

void agent_relays_free(struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->relay_count; i++)
        bk_turn_free(ice->relays[i].turn);
    ice->alloc.put(ice->alloc.ctx, ice->relays);
    ice->alloc.put(ice->alloc.ctx, ice->work);
    ice->relays = NULL;
    ice->work = NULL;
    ice->relay_count = ice->relay_cap = 0;
}
