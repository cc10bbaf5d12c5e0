/* SPDX-License-Identifier: MIT
 * Gathering, RFC 8445 section 5.1.1.
 *
 * Every base asks every server of its family. Exchanges leave in a burst and then one per Ta. A
 * candidate is told the moment its answer comes; nothing waits for the end of gathering but the
 * event that says so, and that does not wait for sockets that are plainly dead: once a server has
 * answered on one base, the others get as long as that took, and a little more. Whatever answers
 * later is a candidate all the same.
 *
 * The exchanges are repeated to keep the mappings open (section 5.1.1.4) until a path is selected,
 * whose own checks do that from then on.
 *
 * A TCP base asks the STUN servers that are reached by TCP or TLS, in a connection that leaves from
 * its own port: RFC 6544 section 5.2. What the server sees is a passive or simultaneous-open
 * candidate, as long as the connection keeps the mapping. */
#include "agent/agent.h"

#include <string.h>

enum {
    BURST = 24,              /* exchanges that may leave at once: 20 bytes each */
    GATHER_TA_US = 5000,     /* then one per; RFC 8445 section 14.2 allows no less */
    RTO_US = 100000,         /* candidates are worth haste: one packet each */
    TRIES = 6,               /* at 0, 0.1, 0.3, 0.7, 1.5, 3.1 s */
    SLACK_US = 30000,        /* for bases slower than the first one that answered */
    RETRY_US = 1000000,      /* its candidate may still come, late */
    KEEP_OPEN_US = 15000000, /* RFC 8445 section 11 */
    QUERIES_MAX = 1024,
    DISCARD_PORT = 9 /* of active candidates, RFC 6544 section 4.5 */
};

/* ---- Planning ----------------------------------------------------------------------------- */

/* Datagrams to STUN and TURN servers alike; connections, which cost more, to STUN servers alone,
 * and only where they can make a candidate. STUN over DTLS has no use here. */
static bool asks(const struct bk_ice *ice, const struct agent_base *b,
                 const struct agent_server *s) {
    if (b->protocol != s->uri.protocol)
        return false;
    return b->protocol == BK_UDP ? !s->uri.secure
                                 : !s->uri.turn && ice->config.policy != BK_ICE_RELAYED_ONLY;
}

/* Has its client been set up, and has it a way to the server? */
static bool is_talking(const struct agent_query *q) {
    return (q->state == QUERY_ASKING || q->state == QUERY_OVER) && (!q->tcp || q->conn != 0);
}

static struct agent_query *take_query(struct bk_ice *ice) {
    struct agent_gather *g = ice->gather;
    if (g->query_count == g->query_cap &&
        !agent_grow(ice, &g->queries, &g->query_cap, sizeof *g->queries, QUERIES_MAX))
        return NULL;
    return &g->queries[g->query_count++];
}

static bool is_asked(const struct agent_gather *g, uint16_t base, uint16_t server) {
    for (uint16_t i = 0; i < g->query_count; i++)
        if (g->queries[i].base == base && g->queries[i].server == server)
            return true;
    return false;
}

static void plan_query(struct bk_ice *ice, uint16_t base, uint16_t server) {
    const struct agent_base *b = &ice->bases[base];
    struct agent_server *s = &ice->gather->servers[server];
    uint8_t at;
    if (!b->used || s->state != SERVER_READY || !asks(ice, b, s) ||
        is_asked(ice->gather, base, server) || !agent_server_address(s, b, 0, &at))
        return;
    struct agent_query *q = take_query(ice);
    if (q == NULL)
        return;
    memset(q, 0, sizeof *q);
    q->state = QUERY_PLANNED;
    q->base = base;
    q->server = server;
    q->ip = at;
    q->tcp = b->protocol == BK_TCP;
    q->to = bk_addr(s->ips[at], s->uri.port);
    q->answered = BK_NEVER;
}

/* The best base not yet visited, or AGENT_NONE. */
static uint16_t next_best(const struct bk_ice *ice, uint32_t *below) {
    uint16_t best = AGENT_NONE;
    uint32_t rank = 0;
    for (uint16_t i = 0; i < ice->base_count; i++) {
        const struct agent_base *b = &ice->bases[i];
        uint32_t r = (uint32_t)b->preference << 16 | (uint32_t)(UINT16_MAX - i);
        if (!b->used || r >= *below || r < rank)
            continue;
        best = i;
        rank = r;
    }
    *below = rank;
    return best;
}

/* Best base first: it gets the relay. */
void agent_gather_server(struct bk_ice *ice, uint16_t server) {
    uint32_t below = UINT32_MAX;
    for (uint16_t b = next_best(ice, &below); b != AGENT_NONE; b = next_best(ice, &below)) {
        agent_relay_plan(ice, b, server);
        plan_query(ice, b, server);
    }
}

/* ---- Starting ----------------------------------------------------------------------------- */

static void add_host(struct bk_ice *ice, uint16_t base, enum bk_ice_transport transport,
                     uint16_t port) {
    const struct agent_base *b = &ice->bases[base];
    struct bk_ice_candidate host = {.kind = BK_ICE_HOST,
                                    .transport = transport,
                                    .addr = bk_addr(b->addr.ip, port),
                                    .base = bk_addr(b->addr.ip, port),
                                    .stream = b->stream,
                                    .component = b->component,
                                    .preference = b->preference};
    if (transport != BK_ICE_UDP)
        host.preference = bk_checker_tcp_preference(BK_ICE_HOST, transport, b->preference);
    agent_cand_add(ice, &host, base);
}

/* RFC 6544 section 5.1: a listener makes a passive candidate, and its address an active one; or a
 * simultaneous-open one, which wants a port of its own. */
static void add_hosts(struct bk_ice *ice, uint16_t base) {
    const struct agent_base *b = &ice->bases[base];
    if (!agent_may_show_host(ice, &b->addr))
        return;
    if (b->protocol == BK_UDP) {
        add_host(ice, base, BK_ICE_UDP, b->addr.port);
        return;
    }
    if (b->so) {
        add_host(ice, base, BK_ICE_TCP_SO, b->addr.port);
        return;
    }
    add_host(ice, base, BK_ICE_TCP_ACTIVE, DISCARD_PORT);
    add_host(ice, base, BK_ICE_TCP_PASSIVE, b->addr.port);
}

void agent_gather_base(struct bk_ice *ice, uint16_t base) {
    add_hosts(ice, base);
    if (ice->gather == NULL)
        return;
    for (uint16_t s = 0; s < agent_servers(ice); s++) {
        agent_relay_plan(ice, base, s);
        plan_query(ice, base, s);
    }
}

static void let_go(struct bk_ice *ice, struct agent_query *q) {
    if (q->conn != 0)
        agent_conn_end(ice, q->conn);
    q->conn = 0;
}

void agent_gather_drop_base(struct bk_ice *ice, uint16_t base) {
    struct agent_gather *g = ice->gather;
    for (uint16_t i = 0; g != NULL && i < g->query_count;) {
        if (g->queries[i].base != base) {
            i++;
            continue;
        }
        let_go(ice, &g->queries[i]);
        g->queries[i] = g->queries[--g->query_count];
    }
}

static void make_gather(struct bk_ice *ice) {
    agent_unsettle(ice);
    if (ice->gather != NULL || ice->config.server_count == 0 || ice->config.lite)
        return;
    ice->gather = ice->alloc.get(ice->alloc.ctx, sizeof *ice->gather);
    ice->pace_at.us = ice->now.us - (int64_t)BURST * GATHER_TA_US;
}

void bk_ice_gather(struct bk_ice *ice, struct bk_time now) {
    (void)agent_see(ice, now);
    if (ice->gathering || ice->closing)
        return;
    ice->gathering = true;
    ice->gathered = false;
    make_gather(ice);
    for (uint16_t b = 0; b < ice->base_count; b++)
        if (ice->bases[b].used)
            agent_gather_base(ice, b);
    if (ice->gather != NULL)
        agent_servers_start(ice);
    agent_turn(ice, now);
}

void agent_gather_again(struct bk_ice *ice) {
    if ((!ice->gathering && !ice->gathered) || ice->closing)
        return;
    bool fresh = ice->gather == NULL;
    make_gather(ice);
    if (ice->gather == NULL)
        return;
    if (fresh) {
        agent_servers_start(ice);
        return;
    }
    for (uint16_t i = 0; i < ice->gather->query_count; i++) {
        struct agent_query *q = &ice->gather->queries[i];
        if (is_talking(q))
            stun_client_ask_now(&q->client, ice->now);
        else if (q->state == QUERY_OVER)
            q->state = QUERY_PLANNED; /* its connection is gone */
    }
    for (uint16_t s = 0; s < agent_servers(ice); s++)
        if (ice->gather->servers[s].state == SERVER_READY)
            agent_gather_server(ice, s); /* what was given up, or has a new base */
}

void agent_gather_free(struct bk_ice *ice) {
    if (ice->gather == NULL)
        return;
    for (uint16_t i = 0; i < ice->gather->query_count; i++)
        let_go(ice, &ice->gather->queries[i]);
    ice->alloc.put(ice->alloc.ctx, ice->gather->queries);
    ice->alloc.put(ice->alloc.ctx, ice->gather);
    ice->gather = NULL;
}

/* ---- One exchange ------------------------------------------------------------------------- */

static void ask(struct bk_ice *ice, struct agent_query *q) {
    struct stun_client_config config = stun_client_config_default;
    config.txn.reliable = q->tcp; /* RFC 8489 section 6.2.2 */
    config.txn.ti_us = ice->config.gather_us;
    config.local = ice->bases[q->base].addr;
    config.server = q->to;
    config.txn.rto_us = RTO_US;
    config.txn.rc = TRIES;
    config.every_us = KEEP_OPEN_US;
    config.retry_us = RETRY_US;
    q->state = QUERY_ASKING;
    if (stun_client_init(&q->client, &config, ice->config.rng, ice->now) != BK_OK)
        q->state = QUERY_OVER;
}

/* RFC 6544 section 5.2: from the base's own port. */
static void begin(struct bk_ice *ice, struct agent_query *q) {
    q->started = ice->now;
    ice->facts[q->server].asked = true;
    if (!q->tcp) {
        ask(ice, q);
        return;
    }
    let_go(ice, q);
    q->conn = agent_conn_dial_stun(ice, &ice->bases[q->base].addr, &q->to);
    q->state = q->conn == 0 ? QUERY_OVER : QUERY_DIALLING;
}

/* The server's next address of the same family, when one is silent. */
static bool ask_next_address(struct bk_ice *ice, struct agent_query *q) {
    const struct agent_server *s = &ice->gather->servers[q->server];
    uint8_t at;
    if (!agent_server_address(s, &ice->bases[q->base], (uint8_t)(q->ip + 1), &at))
        return false;
    q->ip = at;
    q->to = bk_addr(s->ips[at], s->uri.port);
    begin(ice, q);
    return true;
}

void agent_gather_mapped(struct bk_ice *ice, uint16_t base, const struct bk_addr *server,
                         const struct bk_addr *mapped) {
    const struct agent_base *b = &ice->bases[base];
    if (ice->config.policy == BK_ICE_RELAYED_ONLY || mapped->ip.family != b->addr.ip.family)
        return;
    struct bk_ice_candidate srflx = {.kind = BK_ICE_SRFLX,
                                     .addr = *mapped,
                                     .base = b->addr,
                                     .server = *server,
                                     .stream = b->stream,
                                     .component = b->component,
                                     .preference = b->preference};
    if (b->protocol == BK_TCP) {
        srflx.transport = b->so ? BK_ICE_TCP_SO : BK_ICE_TCP_PASSIVE;
        srflx.preference = bk_checker_tcp_preference(BK_ICE_SRFLX, srflx.transport, b->preference);
    }
    agent_cand_add(ice, &srflx, base);
}

/* A NAT gave us another address: the old one is not told any more, and what stands on it moves. */
static void note_mapped(struct bk_ice *ice, struct agent_query *q, const struct bk_addr *mapped) {
    struct bk_addr before = q->mapped;
    q->mapped = *mapped;
    if (before.ip.family == BK_FAMILY_NONE || bk_addr_equal(&before, mapped))
        return;
    agent_cands_drop_addr(ice, &before, q->tcp ? BK_TCP : BK_UDP);
    agent_relays_renew(ice, q->base);
    agent_changed(ice);
}

static void query_mapped(struct bk_ice *ice, struct agent_query *q,
                         const struct stun_client_event *e) {
    struct agent_base *b = &ice->bases[q->base];
    struct agent_server *s = &ice->gather->servers[q->server];
    q->state = QUERY_OVER;
    q->answered = ice->now;
    b->alive_at = bk_earlier(b->alive_at, ice->now);
    ice->facts[q->server].answered = true;
    if (bk_is_never(s->answered_at)) {
        s->answered_at = ice->now;
        s->rtt_us = q->tcp ? bk_elapsed_us(q->started, ice->now) : e->rtt.us;
    }
    note_mapped(ice, q, &e->mapped);
    agent_gather_mapped(ice, q->base, &e->server, &e->mapped);
}

/* RFC 8489 section 10: to the alternate server, once. It must be of the same family there. */
static bool follow_redirect(struct bk_ice *ice, struct agent_query *q,
                            const struct stun_client_event *e) {
    if (e->code != 300 || q->redirected || e->alternate.ip.family != q->to.ip.family ||
        e->alternate.port == 0 || bk_ip_scope(&e->alternate.ip) == BK_SCOPE_NONE)
        return false;
    q->redirected = true;
    q->to = e->alternate;
    begin(ice, q);
    return true;
}

static void query_failed(struct bk_ice *ice, struct agent_query *q,
                         const struct stun_client_event *e) {
    if (e->err == BK_ERR_REFUSED) {
        ice->facts[q->server].refused = true;
        ice->facts[q->server].code = e->code;
        if (follow_redirect(ice, q, e))
            return;
    } else if (bk_is_never(q->answered) && ask_next_address(ice, q)) {
        return;
    }
    q->state = QUERY_OVER;
    let_go(ice, q);
}

static void read_events(struct bk_ice *ice, struct agent_query *q) {
    struct stun_client_event e;
    while (stun_client_next_event(&q->client, &e)) {
        if (e.kind == STUN_CLIENT_MAPPED)
            query_mapped(ice, q, &e);
        else
            query_failed(ice, q, &e);
    }
}

enum bk_err agent_gather_recv(struct bk_ice *ice, const struct bk_datagram *in) {
    struct agent_gather *g = ice->gather;
    for (uint16_t i = 0; g != NULL && i < g->query_count; i++) {
        struct agent_query *q = &g->queries[i];
        if (q->tcp || !is_talking(q) || !bk_addr_equal(&q->to, &in->remote))
            continue;
        enum bk_err err = stun_client_recv(&q->client, in, ice->now);
        if (err == BK_ERR_NOT_OURS)
            continue;
        read_events(ice, q);
        return err;
    }
    return BK_ERR_NOT_OURS;
}

/* ---- In a connection ---------------------------------------------------------------------- */

static struct agent_query *query_on(const struct bk_ice *ice, uint32_t conn) {
    const struct agent_gather *g = ice->gather;
    for (uint16_t i = 0; g != NULL && i < g->query_count; i++)
        if (g->queries[i].conn == conn)
            return &g->queries[i];
    return NULL;
}

uint16_t agent_gather_server_of(const struct bk_ice *ice, uint32_t conn) {
    const struct agent_query *q = query_on(ice, conn);
    return q == NULL ? AGENT_NONE : q->server;
}

void agent_gather_connected(struct bk_ice *ice, uint32_t conn) {
    struct agent_query *q = query_on(ice, conn);
    if (q != NULL)
        ask(ice, q);
}

void agent_gather_answer(struct bk_ice *ice, uint32_t conn, const struct bk_datagram *in) {
    struct agent_query *q = query_on(ice, conn);
    if (q != NULL && is_talking(q) && stun_client_recv(&q->client, in, ice->now) == BK_OK)
        read_events(ice, q);
}

/* A server that hangs up after its answer takes nothing back: the mapping outlives the connection
 * for a while. */
void agent_gather_broken(struct bk_ice *ice, uint32_t conn) {
    struct agent_query *q = query_on(ice, conn);
    if (q == NULL)
        return;
    q->conn = 0;
    if (bk_is_never(q->answered) && ask_next_address(ice, q))
        return;
    q->state = QUERY_OVER;
}

bool agent_gather_next_stream(struct bk_ice *ice, uint32_t *conn, struct bk_datagram *out) {
    struct agent_gather *g = ice->gather;
    for (uint16_t i = 0; g != NULL && i < g->query_count; i++) {
        struct agent_query *q = &g->queries[i];
        if (!q->tcp || !is_talking(q) || !stun_client_next_datagram(&q->client, out))
            continue;
        *conn = q->conn;
        return true;
    }
    return false;
}

/* ---- Time --------------------------------------------------------------------------------- */

bool agent_gather_pace(struct bk_ice *ice) {
    if (ice->pace_at.us > ice->now.us)
        return false;
    struct bk_time least = {ice->now.us - (int64_t)BURST * GATHER_TA_US};
    ice->pace_at = bk_after(bk_later(ice->pace_at, least), GATHER_TA_US);
    return true;
}

static void start_planned(struct bk_ice *ice) {
    struct agent_gather *g = ice->gather;
    for (uint16_t i = 0; i < g->query_count; i++) {
        struct agent_query *q = &g->queries[i];
        if (q->state != QUERY_PLANNED)
            continue;
        if (!agent_gather_pace(ice))
            return;
        begin(ice, q);
    }
}

/* Until when the end of gathering waits for this exchange. */
static struct bk_time waits_until(const struct agent_gather *g, const struct agent_query *q) {
    const struct agent_server *s = &g->servers[q->server];
    if (q->state == QUERY_PLANNED || bk_is_never(s->answered_at))
        return s->give_up;
    struct bk_time fair = bk_later(s->answered_at, bk_after(q->started, s->rtt_us));
    return bk_earlier(s->give_up, bk_after(fair, SLACK_US));
}

static bool server_is_pending(const struct agent_server *s) {
    return s->state == SERVER_NEW || s->state == SERVER_LOOKING;
}

/* When is gathering over, if nothing more comes? In the past: it is. */
static struct bk_time over_at(const struct bk_ice *ice) {
    const struct agent_gather *g = ice->gather;
    struct bk_time t = agent_relays_wait(ice);
    if (g == NULL)
        return t;
    for (size_t i = 0; i < ice->config.server_count; i++)
        if (server_is_pending(&g->servers[i]))
            t = bk_later(t, g->servers[i].give_up);
    for (uint16_t i = 0; i < g->query_count; i++)
        if (g->queries[i].state != QUERY_OVER)
            t = bk_later(t, waits_until(g, &g->queries[i]));
    return t;
}

static void finish(struct bk_ice *ice) {
    ice->gathering = false;
    ice->gathered = true;
    agent_tell(ice, BK_ICE_ON_GATHERED, NULL, 0);
    bk_checker_end_of_local_candidates(ice->checker, ice->now);
}

static struct bk_time dialled_by(const struct bk_ice *ice, const struct agent_query *q) {
    bool dials = q->state == QUERY_DIALLING;
    return dials ? bk_after(q->started, ice->config.gather_us) : BK_NEVER;
}

static struct bk_time deadline_of(const struct bk_ice *ice, const struct agent_query *q) {
    if (q->state == QUERY_PLANNED)
        return ice->pace_at;
    return is_talking(q) ? stun_client_deadline(&q->client) : dialled_by(ice, q);
}

void agent_gather_turn(struct bk_ice *ice) {
    struct agent_gather *g = ice->gather;
    if (g != NULL) {
        start_planned(ice);
        for (uint16_t i = 0; i < g->query_count; i++) {
            struct agent_query *q = &g->queries[i];
            if (bk_due(dialled_by(ice, q), ice->now)) {
                uint32_t conn = q->conn;
                agent_conn_end(ice, conn);
                agent_gather_broken(ice, conn);
            }
            if (!is_talking(q))
                continue;
            stun_client_advance(&q->client, ice->now);
            read_events(ice, q);
        }
    }
}

void agent_gather_end_turn(struct bk_ice *ice) {
    if (ice->gathering && over_at(ice).us <= ice->now.us)
        finish(ice);
}

struct bk_time agent_gather_deadline(const struct bk_ice *ice) {
    const struct agent_gather *g = ice->gather;
    struct bk_time t = ice->gathering ? over_at(ice) : BK_NEVER;
    for (uint16_t i = 0; g != NULL && i < g->query_count; i++)
        t = bk_earlier(t, deadline_of(ice, &g->queries[i]));
    return t;
}

bool agent_gather_next_datagram(struct bk_ice *ice, struct bk_datagram *out) {
    struct agent_gather *g = ice->gather;
    for (uint16_t i = 0; g != NULL && i < g->query_count; i++)
        if (!g->queries[i].tcp && is_talking(&g->queries[i]) &&
            stun_client_next_datagram(&g->queries[i].client, out))
            return true;
    return false;
}
