/* SPDX-License-Identifier: MIT
 * Connections. Those to the peer carry checks and data, each message behind 16 bits of length (RFC
 * 4571) from the first byte to the last: those we open (RFC 6544 section 7.1) and those we accept
 * (RFC 6544 section 7.2). A restart ends none of them (RFC 6544 section 9.2). Those to TURN servers
 * carry what the TURN client makes of it; those to STUN servers one message after the other (RFC
 * 8489 section 6.2.2).
 *
 * Life: dialled (bk_ice_dialled) or accepted (bk_ice_accepted), up, ended by us (BK_ICE_HANG_UP) or
 * by the world (bk_ice_hung_up). The checker asks for a connection by sending a first check; it is
 * kept until the connection is up. */
#include "agent/agent.h"

#include "base/wipe.h"
#include "wire/stun.h"

#include <string.h>

enum {
    FRAME_HEADER = 2,
    QUEUE_HEADER = 8,        /* id, length */
    PROVE_US = 10 * 1000000, /* an accepted connection on which no check came by then is ended */
    ACCEPTED_MAX = 64,
    ANSWER_MAX = 2048 /* bytes of a STUN server's message */
};

/* ---- The queue ---------------------------------------------------------------------------- */

static void put_u32(uint8_t *at, uint32_t v) {
    memcpy(at, &v, sizeof v);
}

static uint32_t get_u32(const uint8_t *at) {
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static bool queue_has_room(struct bk_ice *ice, size_t len) {
    struct agent_queue *q = &ice->queue;
    if (q->cap - q->tail >= len)
        return true;
    size_t used = q->tail - q->head, cap = q->cap == 0 ? 1024 : q->cap;
    while (cap < used + len)
        cap *= 2;
    if (cap > AGENT_QUEUE_MAX)
        return false;
    uint8_t *bigger = ice->alloc.get(ice->alloc.ctx, cap);
    if (bigger == NULL)
        return false;
    if (used > 0)
        memcpy(bigger, q->data + q->head, used);
    ice->alloc.put(ice->alloc.ctx, q->data);
    *q = (struct agent_queue){.data = bigger, .tail = used, .cap = cap};
    return true;
}

/* `header` goes before the data: a frame's length, or nothing. */
static enum bk_err queue_push(struct bk_ice *ice, uint32_t id, const uint8_t *header,
                              size_t header_len, const void *data, size_t len) {
    struct agent_queue *q = &ice->queue;
    size_t body = header_len + len;
    if (!queue_has_room(ice, QUEUE_HEADER + body))
        return BK_ERR_FULL;
    uint8_t *at = q->data + q->tail;
    put_u32(at, id);
    put_u32(at + 4, (uint32_t)body);
    if (header_len > 0)
        memcpy(at + QUEUE_HEADER, header, header_len);
    if (len > 0)
        memcpy(at + QUEUE_HEADER + header_len, data, len);
    q->tail += QUEUE_HEADER + body;
    return BK_OK;
}

static bool queue_pop(struct bk_ice *ice, uint32_t *id, const uint8_t **data, size_t *len) {
    struct agent_queue *q = &ice->queue;
    if (q->head == q->tail) {
        ice->alloc.put(ice->alloc.ctx, q->data);
        *q = (struct agent_queue){.data = NULL};
        return false;
    }
    *id = get_u32(q->data + q->head);
    *len = get_u32(q->data + q->head + 4);
    *data = q->data + q->head + QUEUE_HEADER;
    q->head += QUEUE_HEADER + *len;
    return true;
}

/* ---- The table ---------------------------------------------------------------------------- */

uint16_t agent_conn_find(const struct bk_ice *ice, uint32_t id) {
    for (uint16_t i = 0; i < ice->conn_count; i++)
        if (ice->conns[i].state != CONN_FREE && ice->conns[i].id == id)
            return i;
    return AGENT_NONE;
}

static bool is_peers(const struct agent_conn *c) {
    return (c->state == CONN_DIALLING || c->state == CONN_UP) && c->relay == AGENT_NONE &&
           !c->query;
}

/* The connection that matches a pair serves it (RFC 6544 section 9.2); one that is up, if there is:
 * with simultaneous open the peer may get through while we still try. */
static uint16_t find_pair(const struct bk_ice *ice, const struct bk_addr *base,
                          const struct bk_addr *remote) {
    uint16_t best = AGENT_NONE;
    for (uint16_t i = 0; i < ice->conn_count; i++) {
        const struct agent_conn *c = &ice->conns[i];
        if (is_peers(c) && bk_addr_equal(&c->base, base) && bk_addr_equal(&c->remote, remote) &&
            (best == AGENT_NONE || ice->conns[best].state == CONN_DIALLING))
            best = i;
    }
    return best;
}

static struct agent_conn *take_conn(struct bk_ice *ice) {
    struct agent_conn *c = NULL;
    for (uint16_t i = 0; i < ice->conn_count && c == NULL; i++)
        if (ice->conns[i].state == CONN_FREE)
            c = &ice->conns[i];
    if (c == NULL && ice->conn_count == ice->conn_cap &&
        !agent_grow(ice, &ice->conns, &ice->conn_cap, sizeof *ice->conns, AGENT_CONNS_MAX))
        return NULL;
    if (c == NULL)
        c = &ice->conns[ice->conn_count++];
    *c = (struct agent_conn){.id = ++ice->last_id, .relay = AGENT_NONE, .prove_by = BK_NEVER};
    return c;
}

static void forget(struct bk_ice *ice, struct agent_conn *c) {
    if (ice->reading == (uint16_t)(c - ice->conns)) {
        ice->reading = AGENT_NONE;
        ice->rest_len = 0;
        ice->held.data = NULL;
    }
    ice->alloc.put(ice->alloc.ctx, c->in);
    ice->alloc.put(ice->alloc.ctx, c->first);
    *c = (struct agent_conn){.state = CONN_FREE};
}

/* By us. What the world knows of it must be told. */
static void end(struct bk_ice *ice, struct agent_conn *c) {
    struct agent_conn told = {.state = CONN_ENDING, .id = c->id};
    bool known = c->told || c->accepted;
    forget(ice, c);
    if (known)
        *c = told;
}

void agent_conn_end(struct bk_ice *ice, uint32_t id) {
    uint16_t at = agent_conn_find(ice, id);
    if (at != AGENT_NONE && ice->conns[at].state != CONN_ENDING)
        end(ice, &ice->conns[at]);
}

/* It is gone: whoever stands on it hears of it. */
static void broken(struct bk_ice *ice, uint16_t at) {
    struct agent_conn *c = &ice->conns[at];
    uint16_t relay = c->relay;
    struct bk_addr base = c->base, remote = c->remote;
    bool was_ending = c->state == CONN_ENDING, query = c->query;
    uint32_t id = c->id;
    forget(ice, c);
    if (was_ending)
        return;
    if (query)
        agent_gather_broken(ice, id);
    else if (relay != AGENT_NONE)
        agent_relay_broken(ice, relay);
    else
        bk_checker_broken(ice->checker, &base, &remote, ice->now);
}

/* ---- Opening ------------------------------------------------------------------------------ */

uint32_t agent_conn_dial(struct bk_ice *ice, uint16_t relay, const struct bk_addr *base,
                         const struct bk_addr *remote) {
    struct agent_conn *c = take_conn(ice);
    if (c == NULL)
        return 0;
    c->state = CONN_DIALLING;
    c->relay = relay;
    c->datagrams = relay != AGENT_NONE && ice->relays[relay].protocol == BK_UDP;
    c->base = *base;
    c->remote = *remote;
    return c->id;
}

uint32_t agent_conn_dial_stun(struct bk_ice *ice, const struct bk_addr *base,
                              const struct bk_addr *server) {
    uint32_t id = agent_conn_dial(ice, AGENT_NONE, base, server);
    if (id != 0)
        ice->conns[agent_conn_find(ice, id)].query = true;
    return id;
}

static void flush_first(struct bk_ice *ice, struct agent_conn *c) {
    if (c->first_len > 0 && queue_push(ice, c->id, NULL, 0, c->first, c->first_len) != BK_OK)
        c->first_len = 0; /* lost; the check times out */
    ice->alloc.put(ice->alloc.ctx, c->first);
    c->first = NULL;
    c->first_len = 0;
}

/* What could not be dialled because the peer's connection is already there (RFC 6544 section 7.2
 * wants it accepted) hands its first check over, and is forgotten. */
static bool yield(struct bk_ice *ice, struct agent_conn *c) {
    uint16_t at = is_peers(c) ? find_pair(ice, &c->base, &c->remote) : AGENT_NONE;
    if (at == AGENT_NONE || ice->conns[at].state != CONN_UP)
        return false;
    c->id = ice->conns[at].id;
    flush_first(ice, c);
    forget(ice, c);
    return true;
}

enum bk_err bk_ice_dialled(struct bk_ice *ice, uint32_t id, enum bk_err err,
                           const struct bk_addr *local, struct bk_time now) {
    uint16_t at = agent_conn_find(ice, id);
    (void)agent_see(ice, now);
    if (at == AGENT_NONE || ice->conns[at].state != CONN_DIALLING)
        return BK_ERR_NOT_FOUND;
    struct agent_conn *c = &ice->conns[at];
    if (err != BK_OK || local == NULL) {
        if (!yield(ice, c))
            broken(ice, at);
    } else {
        c->state = CONN_UP;
        flush_first(ice, c);
        if (c->query)
            agent_gather_connected(ice, id);
        else if (c->relay != AGENT_NONE)
            agent_relay_connected(ice, c->relay, local);
    }
    agent_turn(ice, now);
    return BK_OK;
}

enum bk_err bk_ice_accepted(struct bk_ice *ice, const struct bk_addr *local,
                            const struct bk_addr *remote, struct bk_time now, uint32_t *id) {
    size_t accepted = 0;
    (void)agent_see(ice, now);
    if (ice->closing || agent_base_find(ice, local, BK_TCP) == AGENT_NONE)
        return BK_ERR_NOT_FOUND;
    for (uint16_t i = 0; i < ice->conn_count; i++)
        accepted += ice->conns[i].state == CONN_UP && ice->conns[i].accepted;
    struct agent_conn *c = accepted < ACCEPTED_MAX ? take_conn(ice) : NULL;
    if (c == NULL)
        return BK_ERR_FULL;
    c->state = CONN_UP;
    c->accepted = true;
    c->base = *local;
    c->remote = *remote;
    c->prove_by = bk_after(ice->now, PROVE_US);
    *id = c->id;
    return BK_OK;
}

void bk_ice_hung_up(struct bk_ice *ice, uint32_t id, struct bk_time now) {
    uint16_t at = agent_conn_find(ice, id);
    (void)agent_see(ice, now);
    if (at == AGENT_NONE)
        return;
    broken(ice, at);
    agent_turn(ice, now);
}

/* ---- Sending ------------------------------------------------------------------------------ */

/* Only checks of active and simultaneous-open candidates open connections, RFC 6544 section 7.1. */
static struct agent_conn *open_for(struct bk_ice *ice, const struct bk_datagram *in) {
    if (!stun_is_message(in->data, in->len) || !agent_cand_dials(ice, &in->local))
        return NULL;
    uint32_t id = agent_conn_dial(ice, AGENT_NONE, &in->local, &in->remote);
    return id == 0 ? NULL : &ice->conns[agent_conn_find(ice, id)];
}

static enum bk_err keep_first(struct bk_ice *ice, struct agent_conn *c, const uint8_t *header,
                              const struct bk_datagram *in) {
    uint8_t *copy = ice->alloc.get(ice->alloc.ctx, FRAME_HEADER + in->len);
    if (copy == NULL)
        return BK_ERR_FULL;
    memcpy(copy, header, FRAME_HEADER);
    memcpy(copy + FRAME_HEADER, in->data, in->len);
    ice->alloc.put(ice->alloc.ctx, c->first);
    c->first = copy;
    c->first_len = (uint32_t)(FRAME_HEADER + in->len);
    return BK_OK;
}

/* Data takes the connection of the selected pair, framed as the checks were: RFC 6544 section 10.1.
 */
enum bk_err agent_conn_send(struct bk_ice *ice, const struct bk_datagram *in) {
    const uint8_t header[FRAME_HEADER] = {(uint8_t)(in->len >> 8), (uint8_t)in->len};
    uint16_t at = find_pair(ice, &in->local, &in->remote);
    struct agent_conn *c = at == AGENT_NONE ? open_for(ice, in) : &ice->conns[at];
    if (c == NULL)
        return BK_ERR_NOT_FOUND;
    if (c->state == CONN_DIALLING)
        return keep_first(ice, c, header, in);
    return queue_push(ice, c->id, header, FRAME_HEADER, in->data, in->len);
}

enum bk_err agent_conn_write(struct bk_ice *ice, uint32_t id, const void *data, size_t len) {
    return queue_push(ice, id, NULL, 0, data, len);
}

/* What is asked of a TURN server goes before what waits for it: a permission before the check that
 * needs it. */
bool bk_ice_next_stream_data(struct bk_ice *ice, uint32_t *id, const uint8_t **data, size_t *len) {
    struct bk_datagram d;
    if (agent_relays_next_stream(ice, id, &d) || agent_gather_next_stream(ice, id, &d)) {
        *data = d.data;
        *len = d.len;
        return true;
    }
    while (queue_pop(ice, id, data, len)) {
        uint16_t at = agent_conn_find(ice, *id);
        if (at != AGENT_NONE && ice->conns[at].state == CONN_UP)
            return true;
    }
    return false;
}

/* ---- Receiving ---------------------------------------------------------------------------- */

/* Moves bytes from the rest to the message that has begun, until it has `want`. */
static bool gather_bytes(struct bk_ice *ice, struct agent_conn *c, size_t want) {
    if (c->in_cap < want) {
        uint8_t *bigger = ice->alloc.get(ice->alloc.ctx, want);
        if (bigger == NULL)
            return false;
        if (c->in_len > 0)
            memcpy(bigger, c->in, c->in_len);
        ice->alloc.put(ice->alloc.ctx, c->in);
        c->in = bigger;
        c->in_cap = (uint32_t)want;
    }
    size_t n = want - c->in_len < ice->rest_len ? want - c->in_len : ice->rest_len;
    if (n > 0)
        memcpy(c->in + c->in_len, ice->rest, n);
    c->in_len += (uint32_t)n;
    ice->rest += n;
    ice->rest_len -= n;
    return c->in_len == want;
}

static size_t frame_len(const uint8_t *at) {
    return (size_t)at[0] << 8 | at[1];
}

/* The next whole message, without its frame (RFC 6544 section 10.2), in place where it can be. */
static bool next_frame(struct bk_ice *ice, struct agent_conn *c, struct bk_datagram *out) {
    if (c->in_len == 0 && ice->rest_len >= FRAME_HEADER &&
        ice->rest_len - FRAME_HEADER >= frame_len(ice->rest)) {
        out->data = ice->rest + FRAME_HEADER;
        out->len = frame_len(ice->rest);
        ice->rest += FRAME_HEADER + out->len;
        ice->rest_len -= FRAME_HEADER + out->len;
        return true;
    }
    if (ice->rest_len == 0 || (c->in_len < FRAME_HEADER && !gather_bytes(ice, c, FRAME_HEADER)) ||
        !gather_bytes(ice, c, FRAME_HEADER + frame_len(c->in)))
        return false;
    out->data = c->in + FRAME_HEADER;
    out->len = frame_len(c->in);
    c->in_len = 0;
    return true;
}

static bool pump_peer(struct bk_ice *ice, struct bk_ice_data *out) {
    for (;;) {
        struct agent_conn *c = &ice->conns[ice->reading];
        struct bk_datagram in = {.local = c->base, .remote = c->remote, .protocol = BK_TCP};
        if (!next_frame(ice, c, &in))
            return false;
        if (in.len == 0)
            continue;
        if (agent_take(ice, &in, out) == BK_OK && out->data != NULL)
            return true;
        if (ice->reading == AGENT_NONE)
            return false;
    }
}

static bool pump_relay(struct bk_ice *ice, uint16_t relay, struct bk_ice_data *out) {
    struct bk_turn_data d;
    while (ice->relays[relay].turn != NULL && bk_turn_next_data(ice->relays[relay].turn, &d))
        if (agent_take_relayed(ice, relay, &d, out) == BK_OK && out->data != NULL)
            return true;
    return false;
}

/* The next message of data among the bytes that came in last. */
static bool pump(struct bk_ice *ice, struct bk_ice_data *out) {
    memset(out, 0, sizeof *out);
    if (ice->reading == AGENT_NONE)
        return false;
    uint16_t relay = ice->conns[ice->reading].relay;
    bool found = relay == AGENT_NONE ? pump_peer(ice, out) : pump_relay(ice, relay, out);
    if (!found) {
        ice->reading = AGENT_NONE;
        ice->rest_len = 0;
    }
    return found;
}

static enum bk_err recv_for_relay(struct bk_ice *ice, struct agent_conn *c, const void *data,
                                  size_t len) {
    struct agent_relay *r = &ice->relays[c->relay];
    uint16_t relay = c->relay;
    if (r->turn == NULL)
        return BK_ERR_STATE;
    r->heard = true;
    if (!c->datagrams)
        return bk_turn_stream_recv(r->turn, data, len, ice->now);
    struct bk_datagram in = {.local = r->local, .remote = r->to, .data = data, .len = len};
    struct bk_turn_data d = {.data = NULL};
    enum bk_err err = bk_turn_recv(r->turn, &in, ice->now, &d);
    if (err == BK_OK && d.data != NULL)
        err = agent_take_relayed(ice, relay, &d, &ice->held);
    (void)err; /* a record that means nothing is dropped, as a datagram is */
    return BK_OK;
}

/* false: no whole message is left in `rest`. */
static enum bk_err next_answer(struct bk_ice *ice, struct agent_conn *c, bool *whole) {
    *whole = false;
    if (c->in_len < STUN_HEADER_LEN && !gather_bytes(ice, c, STUN_HEADER_LEN))
        return BK_OK;
    size_t want = STUN_HEADER_LEN + ((size_t)c->in[2] << 8 | c->in[3]);
    if (!stun_is_message(c->in, STUN_HEADER_LEN) || want > ANSWER_MAX)
        return BK_ERR_MALFORMED;
    *whole = gather_bytes(ice, c, want);
    return BK_OK;
}

/* RFC 8489 section 6.2.2: the messages' own lengths tell them apart. */
static enum bk_err recv_for_query(struct bk_ice *ice, uint32_t id, const void *data, size_t len) {
    enum bk_err err = BK_OK;
    bool whole = true;
    ice->rest = data;
    ice->rest_len = len;
    while (err == BK_OK && whole) {
        uint16_t at = agent_conn_find(ice, id);
        if (at == AGENT_NONE || ice->conns[at].state != CONN_UP)
            break; /* an answer ended it */
        struct agent_conn *c = &ice->conns[at];
        err = next_answer(ice, c, &whole);
        if (err != BK_OK || !whole)
            break;
        const struct bk_datagram in = {.local = c->base,
                                       .remote = c->remote,
                                       .data = c->in,
                                       .len = c->in_len,
                                       .protocol = BK_TCP};
        c->in_len = 0;
        agent_gather_answer(ice, id, &in);
    }
    ice->rest_len = 0;
    return err;
}

enum bk_err bk_ice_stream_recv(struct bk_ice *ice, uint32_t id, const void *data, size_t len,
                               struct bk_time now) {
    struct bk_ice_data unread;
    uint16_t at = agent_conn_find(ice, id);
    (void)agent_see(ice, now);
    while (pump(ice, &unread))
        ; /* the caller did not want it */
    memset(&ice->held, 0, sizeof ice->held);
    if (at == AGENT_NONE || ice->conns[at].state != CONN_UP)
        return BK_ERR_NOT_FOUND;
    enum bk_err err = BK_OK;
    if (ice->conns[at].query) {
        err = recv_for_query(ice, id, data, len);
        agent_turn(ice, now);
        return err;
    }
    ice->reading = at;
    if (ice->conns[at].relay != AGENT_NONE) {
        err = recv_for_relay(ice, &ice->conns[at], data, len);
    } else {
        ice->rest = data;
        ice->rest_len = len;
    }
    if (err != BK_OK)
        ice->reading = AGENT_NONE;
    else if (ice->held.data == NULL)
        (void)pump(ice, &ice->held);
    if (ice->held.data == NULL)
        agent_turn(ice, now); /* else the view must last until it is fetched */
    return err;
}

bool bk_ice_next_data(struct bk_ice *ice, struct bk_ice_data *out) {
    if (ice->held.data == NULL && !pump(ice, &ice->held)) {
        agent_turn(ice, ice->now);
        return false;
    }
    *out = ice->held;
    memset(&ice->held, 0, sizeof ice->held);
    return true;
}

/* ---- Time, and the end -------------------------------------------------------------------- */

void agent_conns_turn(struct bk_ice *ice) {
    struct bk_ice_pair_info p = {.size = sizeof p};
    for (uint16_t i = 0; i < ice->conn_count; i++) {
        struct agent_conn *c = &ice->conns[i];
        if (c->state != CONN_UP || !bk_due(c->prove_by, ice->now))
            continue;
        c->prove_by = bk_after(ice->now, PROVE_US);
        if (bk_checker_find_pair(ice->checker, &c->base, &c->remote, &p) != BK_OK)
            end(ice, c);
    }
}

struct bk_time agent_conns_deadline(const struct bk_ice *ice) {
    struct bk_time t = BK_NEVER;
    for (uint16_t i = 0; i < ice->conn_count; i++)
        if (ice->conns[i].state == CONN_UP)
            t = bk_earlier(t, ice->conns[i].prove_by);
    return t;
}

void agent_conns_drop_base(struct bk_ice *ice, const struct bk_addr *base) {
    for (uint16_t i = 0; i < ice->conn_count; i++) {
        struct agent_conn *c = &ice->conns[i];
        if (is_peers(c) && (base == NULL || bk_addr_equal(&c->base, base)))
            end(ice, c);
    }
}

void agent_conns_free(struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->conn_count; i++) {
        ice->alloc.put(ice->alloc.ctx, ice->conns[i].in);
        ice->alloc.put(ice->alloc.ctx, ice->conns[i].first);
    }
    ice->alloc.put(ice->alloc.ctx, ice->conns);
    if (ice->queue.data != NULL)
        wipe(ice->queue.data, ice->queue.cap);
    ice->alloc.put(ice->alloc.ctx, ice->queue.data);
}
