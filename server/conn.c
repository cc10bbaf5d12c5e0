/* SPDX-License-Identifier: MIT */
#include "server/conn.h"

#include "base/assert.h"
#include "net/alloc.h"
#include "relay/upgrade.h"
#include "server/log.h"
#include "server/pages.h"
#include "wire/stun_stream.h"
#include <string.h>

enum {
    STUN_BUFFER = 2048,      /* longest STUN message over TCP */
    STUN_IDLE_US = 30000000, /* a STUN connection without a message is closed after this */
    LINGER_US = 2000000      /* for the last answer to leave */
};

struct conn_stun {
    struct stun_stream frames;
    uint8_t buffer[STUN_BUFFER];
};

static void *get(size_t size) {
    return net_alloc()->get(NULL, size);
}

static void put(void *memory) {
    net_alloc()->put(NULL, memory);
}

static void drop_request(struct conn *c) {
    put(c->request);
    c->request = NULL;
}

static void leave_list(struct conn *c) {
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->worker->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
}

void conn_end(struct conn *c, int64_t linger_us) {
    struct worker *w = c->worker;
    if (c->state == CONN_RELAY) {
        w->by_hub[c->hub_conn] = NULL;
        relay_hub_close(w->hub, c->hub_conn, net_now(w->loop));
        worker_hub_touched(w);
    } else if (c->state == CONN_STUN) {
        metric_sub(&w->metrics, METRIC_STUN_TCP_CONNECTIONS, 1);
    }
    c->state = CONN_ENDED;
    net_timer_set(&c->timer, BK_NEVER);
    if (c->stream != NULL && linger_us > 0)
        net_stream_finish(c->stream, linger_us);
    else
        net_stream_close(c->stream);
    limits_leave(&w->fleet->limits, &c->remote.ip);
    metric_sub(&w->metrics, METRIC_CONNECTIONS, 1);
    leave_list(c);
    drop_request(c);
    put(c->stun);
    put(c);
}

static void log_conn(const struct conn *c, enum log_level level, enum log_topic topic,
                     const char *event, const char *reason) {
    struct log_line l;
    log_begin(&l, level, topic, event);
    log_addr(&l, "remote", &c->remote);
    log_text(&l, "reason", reason);
    log_end(&l);
}

static void on_timer(void *ctx, struct bk_time now) {
    struct conn *c = ctx;
    (void)now;
    if (c->state == CONN_HTTP) {
        metric_add(&c->worker->metrics, METRIC_HTTP_TIMEOUT, 1);
        log_conn(c, LOG_INFO, LOG_HTTP_BAD, "http_timeout", "no complete request in time");
    }
    conn_end(c, 0);
}

static void set_timer(struct conn *c, int64_t us) {
    net_timer_set(&c->timer, bk_after(net_now(c->worker->loop), us));
}

/* --- STUN over TCP ------------------------------------------------------------------------- */

static void answer_stun(struct conn *c, const struct stun_frame *frame) {
    struct worker *w = c->worker;
    uint8_t buffer[STUN_SERVICE_REPLY_MAX];
    struct bk_datagram reply;
    const struct bk_datagram in = {.local = net_stream_local(c->stream),
                                   .remote = c->remote,
                                   .data = frame->data,
                                   .len = frame->len};
    if (!stun_service_answered(
            stun_service_answer_stream(&w->stun_tcp, &in, net_now(w->loop), buffer, &reply)))
        return;
    /* A client that asks without reading loses answers, and then the connection by its timer. */
    if (net_stream_write(c->stream, reply.data, reply.len) == BK_OK)
        set_timer(c, STUN_IDLE_US);
}

static void stun_recv(struct conn *c, const uint8_t *data, size_t len) {
    struct stun_frame frame;
    enum bk_err err = BK_ERR_SHORT;
    while (len > 0 && err == BK_ERR_SHORT) {
        size_t taken = stun_stream_push(&c->stun->frames, data, len);
        data += taken;
        len -= taken;
        while ((err = stun_stream_next(&c->stun->frames, &frame)) == BK_OK)
            answer_stun(c, &frame);
    }
    metrics_from_stun(&c->worker->metrics, &c->worker->stun, &c->worker->stun_tcp);
    if (err != BK_ERR_SHORT)
        conn_end(c, 0); /* another protocol, or nonsense: RFC 8489 section 6.2.2 has no resync */
}

/* --- the relay ----------------------------------------------------------------------------- */

void conn_write_hub(struct conn *c) {
    struct worker *w = c->worker;
    struct relay_piece pieces[RELAY_HUB_PIECES];
    for (;;) {
        size_t count = relay_hub_next_bytes(w->hub, c->hub_conn, pieces, RELAY_HUB_PIECES);
        size_t sent = 0;
        bool full = count == 0;
        for (size_t i = 0; i < count && !full; i++) {
            full = net_stream_write(c->stream, pieces[i].data, pieces[i].len) != BK_OK;
            sent += full ? 0 : pieces[i].len;
        }
        if (sent > 0)
            relay_hub_sent(w->hub, c->hub_conn, sent, net_now(w->loop));
        if (full)
            return; /* on_room or the stream's end follows */
    }
}

static void relay_recv(struct conn *c, const uint8_t *data, size_t len) {
    struct worker *w = c->worker;
    relay_hub_recv(w->hub, c->hub_conn, data, len, net_now(w->loop));
    /* At once, not at the end of the turn: a turn reads more than a receiver's queue holds. */
    if (!relay_hub_wants_read(w->hub, c->hub_conn))
        net_stream_pause(c->stream);
    worker_hub_touched(w);
}

/* The HTTP door has opened: the rest of the stream is the hub's. */
static void become_relay(struct conn *c, const uint8_t *rest, size_t len) {
    struct worker *w = c->worker;
    uint32_t number;
    if (relay_hub_accept(w->hub, &c->remote, net_now(w->loop), &number) != BK_OK) {
        log_conn(c, LOG_WARN, LOG_REFUSED, "relay_refused", "this worker's hub is full");
        conn_end(c, LINGER_US);
        return;
    }
    bk_assert(number < w->by_hub_count && w->by_hub[number] == NULL);
    metric_add(&w->metrics, METRIC_HTTP_UPGRADES, 1);
    w->by_hub[number] = c;
    c->hub_conn = number;
    c->state = CONN_RELAY;
    net_timer_set(&c->timer, BK_NEVER); /* the hub has deadlines of its own */
    drop_request(c);
    if (len > 0)
        relay_hub_recv(w->hub, number, rest, len, net_now(w->loop));
    worker_hub_touched(w);
}

/* --- HTTP ---------------------------------------------------------------------------------- */

static void answer_error(struct conn *c, unsigned status, const char *body) {
    char buffer[PAGES_HEAD_MAX];
    struct text t = text_in(buffer, sizeof buffer);
    metric_add(&c->worker->metrics, METRIC_HTTP_BAD, 1);
    log_conn(c, LOG_INFO, LOG_HTTP_BAD, "http_bad", body);
    relay_status_put(&t, status, NULL, body, false, false);
    bool written = net_stream_write(c->stream, buffer, t.len) == BK_OK;
    conn_end(c, written ? LINGER_US : 0);
}

/* Answers the complete request. false: the connection is gone or no longer HTTP. */
static bool answer(struct conn *c, const uint8_t *rest, size_t len) {
    struct worker *w = c->worker;
    static _Thread_local char buffer[PAGES_TEXT_MAX]; /* one answer at a time in each thread */
    struct text t = text_in(buffer, sizeof buffer);
    enum relay_route route = relay_request_route(c->request);
    bool close = false;
    metric_add(&w->metrics, METRIC_HTTP_REQUESTS, 1);
    if (route == RELAY_ROUTE_OTHER)
        pages_put(&t, c->request, w->fleet->metrics, w->fleet->count, &close);
    else
        relay_response_put(&t, c->request, route, w->fleet->relay_key, &close);
    bk_assert(!t.cut);
    bool written = t.len == 0 || net_stream_write(c->stream, t.out, t.len) == BK_OK;
    if (written && route == RELAY_ROUTE_DERP) {
        become_relay(c, rest, len);
        return false;
    }
    if (!written || close || !c->request->keep_alive || c->request->body_len > 0) {
        conn_end(c, LINGER_US);
        return false;
    }
    relay_request_init(c->request);
    set_timer(c, WORKER_HANDSHAKE_US);
    return true;
}

static void http_recv(struct conn *c, const uint8_t *data, size_t len) {
    bool more = len > 0;
    while (more) {
        size_t used = 0;
        enum bk_err err = relay_request_recv(c->request, data, len, &used);
        if (err == BK_ERR_SHORT)
            return;
        if (err != BK_OK) {
            answer_error(c, err == BK_ERR_TOO_LONG ? 431 : 400,
                         err == BK_ERR_TOO_LONG ? "the request's head is too long\n"
                                                : "this is not HTTP\n");
            return;
        }
        data += used;
        len -= used;
        more = answer(c, data, len) && len > 0;
    }
}

/* --- the stream's events --------------------------------------------------------------------- */

static bool start_http(struct conn *c) {
    c->request = get(sizeof *c->request);
    if (c->request == NULL)
        return false;
    relay_request_init(c->request);
    c->state = CONN_HTTP;
    set_timer(c, WORKER_HANDSHAKE_US);
    return true;
}

static bool start_stun(struct conn *c) {
    c->stun = get(sizeof *c->stun);
    if (c->stun == NULL)
        return false;
    stun_stream_init(&c->stun->frames, c->stun->buffer, sizeof c->stun->buffer, false);
    c->state = CONN_STUN;
    metric_add(&c->worker->metrics, METRIC_STUN_TCP_CONNECTIONS, 1);
    set_timer(c, STUN_IDLE_US);
    return true;
}

static void on_open(void *ctx) {
    struct conn *c = ctx;
    if (!(c->kind == PORT_STUN_TCP ? start_stun(c) : start_http(c)))
        conn_end(c, 0);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct conn *c = ctx;
    switch (c->state) {
    case CONN_HTTP:
        http_recv(c, data, len);
        return;
    case CONN_STUN:
        stun_recv(c, data, len);
        return;
    case CONN_RELAY:
        relay_recv(c, data, len);
        return;
    case CONN_TLS:
    case CONN_ENDED:
        return; /* no bytes come before on_open or after the end */
    }
}

static void on_room(void *ctx) {
    struct conn *c = ctx;
    if (c->state == CONN_RELAY)
        conn_write_hub(c);
    worker_hub_touched(c->worker);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct conn *c = ctx;
    c->stream = NULL;
    if (c->state == CONN_TLS) {
        bool late = err == BK_ERR_TIMEOUT;
        metric_add(&c->worker->metrics, late ? METRIC_TLS_TIMEOUT : METRIC_TLS_FAILED, 1);
        log_conn(c, LOG_INFO, LOG_TLS_FAILED, "tls_failed", reason);
    } else {
        log_conn(c, LOG_DEBUG, LOG_CONNECTION, "closed", reason);
    }
    conn_end(c, 0);
}

static bool is_welcome(struct worker *w, const struct bk_addr *remote) {
    enum limits_verdict verdict = limits_enter(&w->fleet->limits, &remote->ip);
    struct log_line l;
    if (verdict == LIMITS_WELCOME)
        return true;
    bool total = verdict == LIMITS_TOTAL;
    metric_add(&w->metrics, total ? METRIC_REFUSED_TOTAL : METRIC_REFUSED_ADDRESS, 1);
    log_begin(&l, LOG_WARN, LOG_REFUSED, "refused");
    log_addr(&l, "remote", remote);
    log_text(&l, "reason", total ? "connections-max is reached" : "per-address-max is reached");
    log_end(&l);
    return false;
}

void conn_accept(struct door *door, struct net_stream *stream) {
    static const struct net_stream_events events = {on_open, on_bytes, NULL, on_room, on_close};
    struct worker *w = door->worker;
    struct bk_addr remote = net_stream_remote(stream);
    if (w->stopping || !is_welcome(w, &remote)) {
        net_stream_close(stream);
        return;
    }
    struct conn *c = get(sizeof *c);
    if (c == NULL) {
        limits_leave(&w->fleet->limits, &remote.ip);
        net_stream_close(stream);
        return;
    }
    c->worker = w;
    c->stream = stream;
    c->kind = door->kind;
    c->remote = remote;
    c->next = w->conns;
    if (c->next != NULL)
        c->next->prev = c;
    w->conns = c;
    net_timer_init(&c->timer, w->loop, on_timer, c);
    metric_add(&w->metrics, METRIC_ACCEPTED, 1);
    metric_add(&w->metrics, METRIC_CONNECTIONS, 1);
    net_stream_adopt(stream, &events, c);
}
