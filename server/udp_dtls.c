/* SPDX-License-Identifier: MIT */
#include "server/udp_dtls.h"

#include "net/alloc.h"
#include "server/lease.h"
#include "server/worker.h"

enum {
    BINDING_REQUEST = 0x0001,
    KEEP_STEP_US = 1000000 /* a deadline is not moved for less */
};

struct sealed {
    struct turn_link link; /* first */
    struct udp_dtls *doors;
    struct net_dtls_session *session;
    struct sealed *next, *prev;
    struct lease lease;
    struct bk_time kept; /* the session's deadline */
};

struct udp_dtls {
    struct worker *worker;
    struct net_dtls_server *server;
    struct sealed *list;
};

static struct bk_time now_of(const struct udp_dtls *d) {
    return net_now(d->worker->loop);
}

/* --- to the client ----------------------------------------------------------------------------
 */

static void send_route(struct turn_link *link, const struct turn_route *route,
                       const uint8_t *data) {
    static const uint8_t zeros[4];
    struct sealed *s = (struct sealed *)(void *)link; /* its first member */
    const uint8_t *payload = data + route->skip;
    const struct net_piece pieces[3] = {
        {route->head, route->head_len}, {payload, route->len}, {zeros, route->pad & 3}};
    if (net_dtls_session_send(s->session, pieces, 3) != BK_OK)
        metric_add(&s->doors->worker->metrics, METRIC_TURN_LOST_DTLS, 1);
    else if (route->head_len == 0 && lease_is_answer(payload, route->len))
        (void)lease_learn(&s->lease, payload, route->len, now_of(s->doors));
}

static const struct turn_link_type link_type = {.send = send_route};

static void on_send(void *ctx, void *door, const struct bk_datagram *out) {
    (void)ctx;
    udp_door_send(door, out);
}

/* --- from the client --------------------------------------------------------------------------
 */

static struct bk_datagram client_of(const struct sealed *s) {
    return (struct bk_datagram){.local = net_dtls_session_local(s->session),
                                .remote = net_dtls_session_remote(s->session),
                                .protocol = TURN_DTLS};
}

static void answer_binding(struct sealed *s, const struct bk_datagram *in) {
    struct worker *w = s->doors->worker;
    uint8_t buffer[STUN_SERVICE_REPLY_MAX];
    struct bk_datagram reply;
    struct bk_time now = now_of(s->doors);
    /* As over TCP: there is no other way for the answer (RFC 7350 section 3). */
    if (!stun_service_answered(stun_service_answer_stream(&w->stun_tcp, in, now, buffer, &reply)))
        return;
    const struct net_piece piece = {reply.data, reply.len};
    if (net_dtls_session_send(s->session, &piece, 1) == BK_OK)
        s->lease.last = now;
}

static void keep(struct sealed *s) {
    struct bk_time end = lease_end(&s->lease);
    if (bk_before(end, bk_after(s->kept, KEEP_STEP_US)) && !bk_before(end, s->kept))
        return;
    s->kept = end;
    net_dtls_session_keep(s->session, end);
}

static void on_message(void *ctx, struct net_dtls_session *session, const uint8_t *data,
                       size_t len) {
    struct udp_dtls *d = ctx;
    struct sealed *s = net_dtls_session_owner(session);
    struct bk_datagram in = client_of(s);
    enum bk_err err = BK_ERR_NOT_OURS;
    in.data = data;
    in.len = len;
    bool binding = len >= 2 && (data[0] << 8 | data[1]) == BINDING_REQUEST;
    if (d->worker->turn != NULL && !binding)
        err = server_turn_recv(d->worker->turn, &s->link, &in, now_of(d));
    if (err == BK_OK)
        s->lease.last = now_of(d);
    else if (err == BK_ERR_NOT_OURS)
        answer_binding(s, &in);
    keep(s);
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

static void on_open(void *ctx, struct net_dtls_session *session) {
    struct udp_dtls *d = ctx;
    struct sealed *s = net_alloc()->get(NULL, sizeof *s);
    if (s == NULL) {
        net_dtls_session_close(session);
        return;
    }
    s->link.type = &link_type;
    s->doors = d;
    s->session = session;
    s->lease.last = s->lease.until = now_of(d);
    s->next = d->list;
    if (s->next != NULL)
        s->next->prev = s;
    d->list = s;
    net_dtls_session_set_owner(session, s);
}

static void forget(struct sealed *s) {
    struct udp_dtls *d = s->doors;
    const struct bk_datagram client = client_of(s);
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        d->list = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    if (d->worker->turn != NULL)
        server_turn_left(d->worker->turn, &client, now_of(d));
    upgrade_worker_lost(d->worker, &client);
    net_alloc()->put(NULL, s);
}

static void on_close(void *ctx, struct net_dtls_session *session, enum net_dtls_end why) {
    (void)ctx;
    (void)why;
    forget(net_dtls_session_owner(session));
}

static void on_record(void *ctx, struct udp_door *door, const struct bk_datagram *in,
                      struct bk_time now) {
    struct udp_dtls *d = ctx;
    (void)now;
    net_dtls_server_recv(d->server, door, in);
}

enum bk_err udp_dtls_new(struct worker *w, struct net_tls *tls, struct udp_dtls **out) {
    struct udp_dtls *d = net_alloc()->get(NULL, sizeof *d);
    if (d == NULL)
        return BK_ERR_NO_MEMORY;
    const struct net_dtls_server_events events = {on_send, on_open, on_message, on_close, d};
    struct net_dtls_server_config config = net_dtls_server_config_default;
    config.tls = tls;
    d->worker = w;
    enum bk_err err = net_dtls_server_new(w->loop, &config, &events, &d->server);
    if (err != BK_OK) {
        net_alloc()->put(NULL, d);
        return err;
    }
    w->records = (struct udp_records){on_record, d};
    *out = d;
    return BK_OK;
}

void udp_dtls_free(struct udp_dtls *d) {
    if (d == NULL)
        return;
    d->worker->records = (struct udp_records){NULL, NULL};
    while (d->list != NULL) {
        struct net_dtls_session *session = d->list->session;
        forget(d->list);
        net_dtls_session_close(session);
    }
    net_dtls_server_free(d->server);
    net_alloc()->put(NULL, d);
}

void udp_dtls_each(const struct udp_dtls *d,
                   void (*each)(void *ctx, const struct bk_datagram *client), void *ctx) {
    for (const struct sealed *s = d->list; s != NULL; s = s->next) {
        const struct bk_datagram client = client_of(s);
        each(ctx, &client);
    }
}

void udp_dtls_set_tls(struct udp_dtls *d, struct net_tls *tls) {
    net_dtls_server_set_tls(d->server, tls);
}

const struct net_dtls_server_counters *udp_dtls_counters(const struct udp_dtls *d) {
    return net_dtls_server_counters(d->server);
}
