/* SPDX-License-Identifier: MIT
 * From accept to the first bytes that tell what a connection is:
 *
 *     port    |  a proxy's header first, if a proxy that is trusted connects; then
 *     HTTPS   |  TLS; STUN by ALPN (RFC 7443) or by its first byte, otherwise HTTP
 *     TURNS   |  TLS, then STUN
 *     STUN    |  TLS or STUN, by the first byte
 *     PLAIN   |  HTTP
 */
#include "server/conn.h"

#include "net/alloc.h"
#include "server/log.h"
#include "server/proxy.h"
#include <string.h>

enum {
    TLS_FIRST_BYTE = 0x16, /* a handshake record, RFC 8446 section 5.1 */
    STUN_FIRST_MAX = 0x3f  /* RFC 8489 section 5: the first two bits of a STUN message are zero */
};

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

/* Goes on with `data` as whatever `c` has become. */
static void go_on(struct conn *c, bool started, const uint8_t *data, size_t len) {
    if (!started)
        conn_end(c, 0); /* out of memory */
    else if (len > 0)
        conn_events.on_bytes(c, data, len);
}

static void start_tls(struct conn *c, const uint8_t *data, size_t len) {
    c->state = CONN_TLS;
    net_timer_set(&c->timer, BK_NEVER); /* the stream has a deadline of its own for it */
    if (net_stream_start_tls(c->stream, c->tls, data, len) != BK_OK)
        conn_end(c, 0);
}

static bool wait_for_first(struct conn *c) {
    c->state = CONN_FIRST;
    conn_set_timer(c, WORKER_HANDSHAKE_US);
    return true;
}

static bool is_stun_by_alpn(const struct conn *c) { /* RFC 7443 */
    return net_stream_is_alpn(c->stream, "stun.turn") ||
           net_stream_is_alpn(c->stream, "stun.nat-discovery");
}

/* TCP is open, TLS too where the port has it. false: no memory. */
static bool open(struct conn *c) {
    bool sealed = net_stream_tls_version(c->stream) != 0;
    if (c->kind == PORT_PLAIN)
        return conn_start_http(c);
    if (c->kind == PORT_TURNS || (c->kind == PORT_STUN_TCP && sealed) || is_stun_by_alpn(c))
        return conn_turn_start(c);
    return wait_for_first(c);
}

void conn_opened(struct conn *c) {
    if (c->state != CONN_PROXY) /* a header is to come */
        go_on(c, open(c), NULL, 0);
}

/* The first bytes of a client's, plain or out of TLS. */
static void judge(struct conn *c, const uint8_t *data, size_t len) {
    if (c->kind != PORT_STUN_TCP && data[0] > STUN_FIRST_MAX)
        go_on(c, conn_start_http(c), data, len);
    else if (c->kind == PORT_STUN_TCP && c->tls != NULL && data[0] == TLS_FIRST_BYTE)
        start_tls(c, data, len);
    else
        go_on(c, conn_turn_start(c), data, len);
}

/* --- proxies ----------------------------------------------------------------------------------
 */

/* The header is there, `data` what came behind it. */
static void behind_header(struct conn *c, const struct proxy_header *h, const uint8_t *data,
                          size_t len) {
    if (!h->local) {
        c->remote = h->client;
        c->local = h->server;
    }
    if (!is_welcome(c->worker, &c->remote)) {
        conn_end(c, 0);
        return;
    }
    c->counted = true;
    if (c->kind == PORT_HTTPS || c->kind == PORT_TURNS)
        start_tls(c, data, len);
    else
        go_on(c, open(c), data, len);
}

static void refuse_header(struct conn *c, enum bk_err err) {
    conn_log(c, LOG_WARN, LOG_REFUSED, "proxy_refused",
             err == BK_ERR_NOT_OURS ? "a trusted proxy sent no PROXY header"
                                    : "the PROXY header is malformed");
    conn_end(c, 0);
}

/* All of the header so far is in `c->header`. */
static void read_header(struct conn *c, const uint8_t *data, size_t len) {
    struct proxy_header h;
    size_t before = c->header_len;
    size_t taken = len < PROXY_V2_MAX - before ? len : PROXY_V2_MAX - before;
    if (c->header == NULL)
        c->header = net_alloc()->get(NULL, PROXY_V2_MAX);
    if (c->header == NULL) {
        conn_end(c, 0);
        return;
    }
    memcpy(c->header + before, data, taken);
    c->header_len += taken;
    enum bk_err err = proxy_header_parse(&h, c->header, c->header_len);
    if (err == BK_ERR_SHORT)
        return; /* the timer does not wait for ever */
    if (err != BK_OK) {
        refuse_header(c, err);
        return;
    }
    net_alloc()->put(NULL, c->header);
    c->header = NULL;
    behind_header(c, &h, data + (h.len - before), len - (h.len - before));
}

void conn_first_bytes(struct conn *c, const uint8_t *data, size_t len) {
    if (c->state == CONN_PROXY)
        read_header(c, data, len);
    else
        judge(c, data, len);
}

/* --- accept -----------------------------------------------------------------------------------
 */

static bool is_proxy(const struct fleet *f, const struct bk_ip *ip) {
    return turn_filter_opens(&f->proxies, ip);
}

void conn_accept(struct door *door, struct net_stream *stream) {
    struct worker *w = door->worker;
    struct bk_addr remote = net_stream_remote(stream);
    bool proxied = is_proxy(w->fleet, &remote.ip);
    if (w->stopping || (!proxied && !is_welcome(w, &remote))) {
        net_stream_close(stream);
        return;
    }
    struct conn *c = conn_new(w, stream);
    if (c == NULL) {
        if (!proxied)
            limits_leave(&w->fleet->limits, &remote.ip);
        return;
    }
    c->kind = door->kind;
    c->remote = remote;
    c->local = net_stream_local(stream);
    c->counted = !proxied; /* later, when it is known for whom it speaks */
    c->tls = door->tls == NULL ? NULL : net_tls_ref(door->tls);
    metric_add(&w->metrics, METRIC_ACCEPTED, 1);
    net_stream_adopt(stream, &conn_events, c);
    if (proxied) {
        c->state = CONN_PROXY;
        conn_set_timer(c, WORKER_HANDSHAKE_US);
    } else if (c->kind == PORT_HTTPS || c->kind == PORT_TURNS) {
        start_tls(c, NULL, 0);
    }
}
