/* SPDX-License-Identifier: MIT
 * STUN and TURN on a connection, RFC 8489 section 6.2.2 and RFC 8656 section 3.1. Frames are read
 * where they are; only one that is incomplete when the bytes end is kept. So an idle connection
 * owns no buffer.
 *
 * It lives as long as its client asks for something, or as long as its allocation does: for how
 * long that is, the answers tell that pass through here. Its end is the allocation's end.
 *
 * Two things take the stream away, and both are told by the service in the middle of a message: the
 * stream becomes one with a peer connection (RFC 6062), or belongs to another worker. Then the
 * message is finished first. */
#include "server/conn.h"

#include "base/assert.h"
#include "net/alloc.h"
#include "server/lease.h"
#include "server/turn_tcp.h"
#include "wire/channel.h"
#include "wire/stun.h"
#include "wire/stun_stream.h"
#include <string.h>

enum {
    STRANGER_MAX = 2048,    /* longest message without an allocation */
    FRAME_MAX = 65536 + 64, /* and with one: ChannelData with 64 KiB of data */
    WRITE_MAX = 3 * 65536,  /* bytes buffered with an allocation, */
    WRITE_LOW = 65536,
    WRITE_KEPT = 4096, /* of which data may not use these: they are for answers */
    BINDING_REQUEST = 0x0001
};

enum leaving { STAYS, JOINS, MOVES };

struct conn_turn {
    struct turn_link link; /* first */
    struct conn *conn;
    uint8_t *rest; /* the beginning of a frame */
    size_t rest_len, rest_cap;
    struct lease lease;
    enum leaving leaving;
    struct net_deferred later; /* leaves, told when no message was being served */
    uint16_t worker;           /* MOVES: to this one */
    uint32_t connection;       /* JOINS, CONN_JOINED: with this one */
    bool inside;               /* a message of it is being served */
    bool asked;                /* the service knows this 5-tuple */
    bool moved;                /* it came from another worker */
};

struct conn_parcel {
    struct net_stream_pack *stream;
    struct bk_addr local, remote;
    bool counted;
    size_t len; /* bytes that were read already follow */
    uint8_t bytes[];
};

static void *get(size_t size) {
    return net_alloc()->get(NULL, size);
}

static void put(void *memory) {
    net_alloc()->put(NULL, memory);
}

static struct bk_time now_of(const struct conn *c) {
    return net_now(c->worker->loop);
}

/* --- to the client ----------------------------------------------------------------------------
 */

/* Data that a slow reader has no room for is lost, as on the way to any other client; answers have
 * room of their own. */
static void send_route(struct turn_link *link, const struct turn_route *route,
                       const uint8_t *data) {
    static const uint8_t zeros[4];
    struct conn_turn *t = (struct conn_turn *)(void *)link; /* its first member */
    struct conn *c = t->conn;
    const uint8_t *payload = data + route->skip;
    const struct net_piece pieces[3] = {
        {route->head, route->head_len}, {payload, route->len}, {zeros, route->pad & 3}};
    size_t len = route->head_len + route->len + route->pad;
    bool answer = route->head_len == 0 && lease_is_answer(payload, route->len);
    if (c->stream == NULL || net_stream_room(c->stream) < len + (answer ? 0 : WRITE_KEPT) ||
        net_stream_write_pieces(c->stream, pieces, 3) != BK_OK) {
        metric_add(&c->worker->metrics, METRIC_TURN_LOST_STREAM, 1);
        return;
    }
    if (answer && lease_learn(&t->lease, payload, route->len, now_of(c)))
        net_stream_set_buffer(c->stream, WRITE_MAX, WRITE_LOW);
    /* A record of its own for each message: some clients, coturn's turnutils_uclient 4.6 for one,
     * take a record for a message. */
    if (net_stream_tls_version(c->stream) != 0)
        net_stream_flush(c->stream);
}

static void link_join(struct turn_link *link, struct server_turn *turn, uint32_t connection) {
    struct conn_turn *t = (struct conn_turn *)(void *)link;
    (void)turn;
    t->leaving = JOINS;
    t->connection = connection;
    if (!t->inside)
        net_defer(&t->later);
}

static void link_pass(struct turn_link *link, uint16_t worker) {
    struct conn_turn *t = (struct conn_turn *)(void *)link;
    t->leaving = MOVES;
    t->worker = worker;
    if (!t->inside)
        net_defer(&t->later);
}

static const struct turn_link_type link_type = {send_route, link_join, link_pass};

/* --- joining ----------------------------------------------------------------------------------
 */

static void on_joined_end(void *ctx) {
    struct conn *c = ctx;
    c->state = CONN_ENDED;
    conn_end(c, 0);
}

/* RFC 6062 section 5.4: from now on bytes are the peer's. */
static void join(struct conn *c, const uint8_t *rest, size_t len) {
    struct conn_turn *t = c->turn;
    struct turn_tcp *tcp = server_turn_tcp(c->worker->turn);
    const struct turn_tcp_client client = {c->stream, rest, len, on_joined_end, c};
    if (tcp == NULL || turn_tcp_join(tcp, t->connection, &client) != BK_OK) {
        conn_end(c, 0);
        return;
    }
    c->stream = NULL; /* turn_tcp.c's */
    t->asked = false; /* it is no client's 5-tuple any more */
    c->state = CONN_JOINED;
    metric_sub(&c->worker->metrics, METRIC_STUN_TCP_CONNECTIONS, 1);
    net_timer_set(&c->timer, BK_NEVER);
}

/* --- moving -----------------------------------------------------------------------------------
 */

void conn_parcel_drop(struct fleet *fleet, struct conn_parcel *parcel) {
    if (parcel->counted)
        limits_leave(&fleet->limits, &parcel->remote.ip);
    net_stream_pack_drop(parcel->stream);
    put(parcel);
}

/* To another worker, the message that cannot be answered here first. */
static void move(struct conn *c, const uint8_t *data, size_t len) {
    struct conn_turn *t = c->turn;
    struct conn_parcel *parcel = t->moved ? NULL : get(sizeof *parcel + len);
    if (parcel == NULL || net_stream_pack(c->stream, &parcel->stream) != BK_OK) {
        put(parcel);
        conn_end(c, 0);
        return;
    }
    parcel->local = c->local;
    parcel->remote = c->remote;
    parcel->counted = c->counted;
    parcel->len = len;
    memcpy(parcel->bytes, data, len);
    c->stream = NULL;
    uint16_t to = t->worker;
    struct worker *w = c->worker;
    conn_turn_end(c);
    conn_forget(c);
    worker_send_conn(w, to, parcel);
}

void conn_turn_arrive(struct worker *w, struct conn_parcel *parcel) {
    struct conn *c = w->stopping ? NULL : conn_new(w, NULL);
    if (c == NULL) {
        conn_parcel_drop(w->fleet, parcel);
        return;
    }
    c->kind = PORT_STUN_TCP;
    c->local = parcel->local;
    c->remote = parcel->remote;
    c->counted = parcel->counted;
    enum bk_err err = net_stream_unpack(w->loop, parcel->stream, &conn_events, c, &c->stream);
    if (err != BK_OK || !conn_turn_start(c)) {
        conn_end(c, 0);
    } else {
        c->turn->moved = true;
        conn_turn_bytes(c, parcel->bytes, parcel->len);
    }
    put(parcel);
}

/* A request that had to wait for somebody else's answer (users.h) is served when its bytes are
 * gone: a data connection can be joined, but not told to another worker. The client comes again. */
static void on_later(void *ctx) {
    struct conn *c = ctx;
    if (c->turn->leaving == JOINS)
        join(c, c->turn->rest, c->turn->rest_len);
    else
        conn_end(c, 0);
}

/* --- from the client --------------------------------------------------------------------------
 */

static void answer_binding(struct conn *c, const struct bk_datagram *in) {
    struct worker *w = c->worker;
    uint8_t buffer[STUN_SERVICE_REPLY_MAX];
    struct bk_datagram reply;
    enum stun_service_result result =
        stun_service_answer_stream(&w->stun_tcp, in, now_of(c), buffer, &reply);
    metrics_from_stun(&w->metrics, &w->stun, &w->stun_tcp);
    if (!stun_service_answered(result))
        return;
    /* A client that asks without reading loses answers, and then the connection by its timer. */
    if (net_stream_write(c->stream, reply.data, reply.len) == BK_OK)
        c->turn->lease.last = now_of(c);
}

static uint16_t type_of(const struct stun_frame *frame) {
    return (uint16_t)(frame->data[0] << 8 | frame->data[1]);
}

static enum bk_err ask_turn(struct conn *c, const struct bk_datagram *in) {
    struct conn_turn *t = c->turn;
    struct server_turn *turn = c->worker->turn;
    enum bk_err err;
    t->asked = true;
    t->inside = true;
    err = server_turn_recv(turn, &t->link, in, now_of(c));
    t->inside = false;
    return err;
}

static void take(struct conn *c, const struct stun_frame *frame) {
    const struct bk_datagram in = {.local = c->local,
                                   .remote = c->remote,
                                   .data = frame->data,
                                   .len = frame->len,
                                   .protocol = BK_TCP};
    bool message = frame->kind == STUN_FRAME_MESSAGE;
    bool binding = message && type_of(frame) == BINDING_REQUEST;
    enum bk_err err = BK_ERR_NOT_OURS;
    if (c->worker->turn != NULL && !binding)
        err = ask_turn(c, &in);
    if (err == BK_OK)
        c->turn->lease.last = now_of(c);
    else if (err == BK_ERR_NOT_OURS && message)
        answer_binding(c, &in); /* which also counts what is nobody's */
}

/* After a frame at `data`, which goes on for `len` bytes in all. false: the stream is not ours any
 * more. */
static bool stays(struct conn *c, const uint8_t *frame, size_t frame_len, const uint8_t *rest,
                  size_t len) {
    switch (c->turn->leaving) {
    case STAYS:
        return true;
    case JOINS:
        join(c, rest, len);
        return false;
    case MOVES:
        break;
    }
    uint8_t *all = get(frame_len + len);
    if (all == NULL) {
        conn_end(c, 0);
        return false;
    }
    memcpy(all, frame, frame_len);
    memcpy(all + frame_len, rest, len);
    move(c, all, frame_len + len);
    put(all);
    return false;
}

/* Another protocol, or nonsense: RFC 8489 section 6.2.2 has no resync. */
static bool end_badly(struct conn *c) {
    metrics_from_stun(&c->worker->metrics, &c->worker->stun, &c->worker->stun_tcp);
    conn_end(c, 0);
    return false;
}

/* Keeps the beginning of a frame of `whole` bytes. false: the connection has ended. */
static bool keep(struct conn *c, const uint8_t *data, size_t len, size_t whole) {
    struct conn_turn *t = c->turn;
    if (whole > (size_t)(lease_has_allocation(&t->lease, now_of(c)) ? FRAME_MAX : STRANGER_MAX))
        return end_badly(c);
    if (whole > t->rest_cap) {
        uint8_t *bigger = get(whole);
        if (bigger == NULL)
            return end_badly(c);
        if (t->rest_len > 0)
            memcpy(bigger, t->rest, t->rest_len);
        put(t->rest);
        t->rest = bigger;
        t->rest_cap = whole;
    }
    bk_assert(t->rest != NULL && t->rest_len + len <= t->rest_cap);
    memcpy(t->rest + t->rest_len, data, len);
    t->rest_len += len;
    return true;
}

/* Takes frames out of `data`, and keeps what is left. false: the stream is not ours any more. */
static bool take_frames(struct conn *c, const uint8_t *data, size_t len) {
    while (len > 0) {
        struct stun_frame frame;
        size_t whole;
        enum bk_err err = stun_stream_cut(data, len, CHANNEL_OLD_MAX, &frame, &whole);
        if (err == BK_ERR_SHORT)
            return keep(c, data, len, whole);
        if (err != BK_OK)
            return end_badly(c);
        take(c, &frame);
        if (!stays(c, data, whole, data + whole, len - whole))
            return false;
        data += whole;
        len -= whole;
    }
    return true;
}

/* Adds as many bytes to the kept ones as their frame lacks. How many those were; the frame is taken
 * when it is complete. *gone: the stream is not ours any more. */
static size_t complete(struct conn *c, const uint8_t *data, size_t len, bool *gone) {
    struct conn_turn *t = c->turn;
    struct stun_frame frame;
    size_t whole, used = 0;
    enum bk_err err;
    while ((err = stun_stream_cut(t->rest, t->rest_len, CHANNEL_OLD_MAX, &frame, &whole)) ==
               BK_ERR_SHORT &&
           used < len) {
        size_t lacks = whole - t->rest_len, n = lacks < len - used ? lacks : len - used;
        if (!keep(c, data + used, n, whole)) {
            *gone = true;
            return used;
        }
        used += n;
    }
    if (err == BK_ERR_SHORT)
        return used;
    if (err != BK_OK) {
        *gone = !end_badly(c);
        return used;
    }
    uint8_t *bytes = t->rest;
    t->rest = NULL;
    t->rest_len = t->rest_cap = 0;
    take(c, &frame);
    *gone = !stays(c, bytes, whole, data + used, len - used);
    put(bytes);
    return used;
}

void conn_turn_bytes(struct conn *c, const uint8_t *data, size_t len) {
    bool gone = false;
    if (c->turn->rest_len > 0) {
        size_t used = complete(c, data, len, &gone);
        data += used;
        len -= used;
    }
    if (!gone)
        (void)take_frames(c, data, len);
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

bool conn_turn_start(struct conn *c) {
    c->turn = get(sizeof *c->turn);
    if (c->turn == NULL)
        return false;
    c->turn->link.type = &link_type;
    net_deferred_init(&c->turn->later, c->worker->loop, on_later, c);
    c->turn->conn = c;
    c->turn->lease.last = c->turn->lease.until = now_of(c);
    c->state = CONN_STUN;
    metric_add(&c->worker->metrics, METRIC_STUN_TCP_CONNECTIONS, 1);
    net_timer_set(&c->timer, lease_end(&c->turn->lease));
    return true;
}

void conn_turn_due(struct conn *c, struct bk_time now) {
    struct bk_time end = lease_end(&c->turn->lease);
    if (bk_due(end, now))
        conn_end(c, 0);
    else
        net_timer_set(&c->timer, end);
}

void conn_turn_end(struct conn *c) {
    struct conn_turn *t = c->turn;
    struct worker *w = c->worker;
    const struct bk_datagram client = {.local = c->local, .remote = c->remote, .protocol = BK_TCP};
    c->turn = NULL;
    net_defer_cancel(&t->later);
    if (c->state == CONN_JOINED)
        turn_tcp_cut(server_turn_tcp(w->turn), t->connection);
    else if (c->state == CONN_STUN)
        metric_sub(&w->metrics, METRIC_STUN_TCP_CONNECTIONS, 1);
    if (t->asked && w->turn != NULL)
        server_turn_left(w->turn, &client, now_of(c));
    put(t->rest);
    put(t);
}
