/* SPDX-License-Identifier: MIT */
#include "server/conn.h"

#include "base/assert.h"
#include "net/alloc.h"
#include "relay/upgrade.h"
#include "server/log.h"
#include "server/pages.h"

enum { LINGER_US = 2000000 /* for the last answer to leave */ };

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

void conn_forget(struct conn *c) {
    c->state = CONN_ENDED;
    net_timer_set(&c->timer, BK_NEVER);
    metric_sub(&c->worker->metrics, METRIC_CONNECTIONS, 1);
    leave_list(c);
    drop_request(c);
    net_tls_unref(c->tls);
    put(c->header);
    put(c);
}

void conn_end(struct conn *c, int64_t linger_us) {
    struct worker *w = c->worker;
    if (c->state == CONN_RELAY) {
        w->by_hub[c->hub_conn] = NULL;
        relay_hub_close(w->hub, c->hub_conn, net_now(w->loop));
        worker_hub_touched(w);
    }
    if (c->turn != NULL)
        conn_turn_end(c);
    c->state = CONN_ENDED;
    if (c->stream != NULL && linger_us > 0)
        net_stream_finish(c->stream, linger_us);
    else
        net_stream_close(c->stream);
    if (c->counted)
        limits_leave(&w->fleet->limits, &c->remote.ip);
    conn_forget(c);
}

void conn_log(const struct conn *c, enum log_level level, enum log_topic topic, const char *event,
              const char *reason) {
    struct log_line l;
    log_begin(&l, level, topic, event);
    log_addr(&l, "remote", &c->remote);
    log_text(&l, "reason", reason);
    log_end(&l);
}

static void on_timer(void *ctx, struct bk_time now) {
    struct conn *c = ctx;
    if (c->state == CONN_STUN) {
        conn_turn_due(c, now);
        return;
    }
    if (c->state == CONN_HTTP || (c->state == CONN_FIRST && c->kind != PORT_STUN_TCP)) {
        metric_add(&c->worker->metrics, METRIC_HTTP_TIMEOUT, 1);
        conn_log(c, LOG_INFO, LOG_HTTP_BAD, "http_timeout", "no complete request in time");
    }
    conn_end(c, 0);
}

void conn_set_timer(struct conn *c, int64_t us) {
    net_timer_set(&c->timer, bk_after(net_now(c->worker->loop), us));
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
        conn_log(c, LOG_WARN, LOG_REFUSED, "relay_refused", "this worker's hub is full");
        conn_end(c, LINGER_US);
        return;
    }
    bk_assert(number < w->by_hub_count && w->by_hub[number] == NULL);
    metric_add(&w->metrics, METRIC_HTTP_UPGRADES, 1);
    w->by_hub[number] = c;
    c->hub_conn = number;
    c->state = CONN_RELAY;
    net_timer_set(&c->timer, BK_NEVER); /* the hub has deadlines of its own, */
    net_stream_no_keepalive(c->stream); /* and a KeepAlive that asks more seldom of quiet clients */
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
    conn_log(c, LOG_INFO, LOG_HTTP_BAD, "http_bad", body);
    relay_status_put(&t, status, NULL, body, false, false);
    bool written = net_stream_write(c->stream, buffer, t.len) == BK_OK;
    conn_end(c, written ? LINGER_US : 0);
}

/* Numbers are for whoever runs the server. */
static bool is_watcher(const struct worker *w, const struct bk_ip *remote) {
    struct bk_ip ip = *remote;
    bk_ip_unmap(&ip);
    if (w->fleet->watchers.allow_count > 0)
        return turn_filter_opens(&w->fleet->watchers, &ip);
    return bk_ip_scope(&ip) < BK_SCOPE_GLOBAL;
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
        pages_put(&t, c->request,
                  &(struct pages_source){w->fleet->metrics, w->fleet->count,
                                         is_watcher(w, &c->remote.ip)},
                  &close);
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
    conn_set_timer(c, WORKER_HANDSHAKE_US);
    return true;
}

void conn_http_bytes(struct conn *c, const uint8_t *data, size_t len) {
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

bool conn_start_http(struct conn *c) {
    c->request = get(sizeof *c->request);
    if (c->request == NULL)
        return false;
    relay_request_init(c->request);
    c->state = CONN_HTTP;
    conn_set_timer(c, WORKER_HANDSHAKE_US);
    return true;
}

static void on_open(void *ctx) {
    conn_opened(ctx);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct conn *c = ctx;
    switch (c->state) {
    case CONN_PROXY:
    case CONN_FIRST:
        conn_first_bytes(c, data, len);
        return;
    case CONN_HTTP:
        conn_http_bytes(c, data, len);
        return;
    case CONN_STUN:
        conn_turn_bytes(c, data, len);
        return;
    case CONN_RELAY:
        relay_recv(c, data, len);
        return;
    case CONN_TLS:
    case CONN_JOINED:
    case CONN_ENDED:
        return; /* no bytes come before on_open, after the end, or when the events are another's */
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
        conn_log(c, LOG_INFO, LOG_TLS_FAILED, "tls_failed", reason);
    } else {
        conn_log(c, LOG_DEBUG, LOG_CONNECTION, "closed", reason);
    }
    conn_end(c, 0);
}

const struct net_stream_events conn_events = {on_open, on_bytes, NULL, on_room, on_close};

struct conn *conn_new(struct worker *w, struct net_stream *stream) {
    struct conn *c = get(sizeof *c);
    if (c == NULL) {
        net_stream_close(stream);
        return NULL;
    }
    c->worker = w;
    c->stream = stream;
    c->state = CONN_TLS;
    c->next = w->conns;
    if (c->next != NULL)
        c->next->prev = c;
    w->conns = c;
    net_timer_init(&c->timer, w->loop, on_timer, c);
    metric_add(&w->metrics, METRIC_CONNECTIONS, 1);
    return c;
}
