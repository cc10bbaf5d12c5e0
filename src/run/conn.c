/* SPDX-License-Identifier: MIT
 * Connections of agents: to peers (TCP candidates) and to servers (TCP, TLS, DTLS). The agent names
 * them by numbers of its own; bytes are passed on as they come, framing is its business. What ends
 * a connection: the agent hangs up, the other side closes it, or its bytes make no sense.
 *
 * Simultaneous open (RFC 6544 section 4.1) is a connection that both sides open, each from a port
 * that the other one knows; the kernel makes one of the two requests that cross. Whose request
 * comes too early may be refused by the other side's NAT, so it is sent again, soon. */
#include "run/driver.h"

#include "net/dtls.h"
#include "net/tls.h"

enum {
    LINGER_US = 1000000, /* for goodbyes, such as the release of an allocation */
    SO_AGAIN_US = 100000,
    SO_TRIES = 6 /* at 0, 0.1, 0.3, 0.7, 1.5, 3.1 s */
};

struct run_conn {
    struct run_conn *next;
    struct driven *a;
    uint32_t id;
    struct net_stream *stream; /* NULL: DTLS, or nothing between two tries */
    struct net_dtls *dtls;
    bool up;
    unsigned tries_left; /* simultaneous open: refusals that are no end */
    struct bk_addr local, remote;
    struct net_timer again;
};

static struct run_conn *find(const struct driven *a, uint32_t id) {
    struct run_conn *c = a->conns;
    while (c != NULL && c->id != id)
        c = c->next;
    return c;
}

static void on_again(void *ctx, struct bk_time now);

static struct run_conn *new_conn(struct driven *a, uint32_t id) {
    struct run_conn *c = run_get(sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (struct run_conn){.next = a->conns, .a = a, .id = id};
    net_timer_init(&c->again, a->run->loop, on_again, c);
    a->conns = c;
    return c;
}

/* Forgets the connection, whose socket is gone or somebody else's. */
static void drop(struct run_conn *c) {
    struct run_conn **at = &c->a->conns;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    net_timer_set(&c->again, BK_NEVER);
    run_put(c);
}

/* Lets go of the socket: what was written still leaves. */
static void end(struct run_conn *c) {
    if (c->dtls != NULL)
        net_dtls_close(c->dtls);
    else if (c->up)
        net_stream_finish(c->stream, LINGER_US);
    else
        net_stream_close(c->stream);
    drop(c);
}

static void tell_dialled(struct driven *a, uint32_t id, enum bk_err err,
                         const struct bk_addr *local) {
    struct run_conn *c = find(a, id);
    if (bk_ice_dialled(a->ice, id, err, local, net_now(a->run->loop)) != BK_OK && c != NULL)
        end(c);
    driven_touch(a);
}

static void on_open(void *ctx) {
    struct run_conn *c = ctx;
    struct bk_addr local =
        c->stream == NULL ? net_dtls_local(c->dtls) : net_stream_local(c->stream);
    c->up = true;
    tell_dialled(c->a, c->id, BK_OK, &local);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct run_conn *c = ctx;
    run_conn_input(c->a, c->id, data, len);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct run_conn *c = ctx;
    struct driven *a = c->a;
    uint32_t id = c->id;
    bool up = c->up;
    (void)reason;
    if (!up && err == BK_ERR_REFUSED && c->tries_left > 0) {
        c->stream = NULL;
        struct bk_time now = net_now(a->run->loop);
        net_timer_set(&c->again,
                      bk_after(now, (int64_t)SO_AGAIN_US << (SO_TRIES - 1 - c->tries_left)));
        c->tries_left--;
        return;
    }
    drop(c);
    if (!up) {
        tell_dialled(a, id, err == BK_OK ? BK_ERR_CLOSED : err, NULL);
        return;
    }
    bk_ice_hung_up(a->ice, id, net_now(a->run->loop));
    driven_touch(a);
}

static const struct net_stream_events stream_events = {
    .on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};
static const struct net_dtls_events dtls_events = {
    .on_open = on_open, .on_message = on_bytes, .on_close = on_close};

void run_conn_input(struct driven *a, uint32_t id, const uint8_t *data, size_t len) {
    struct bk_ice_data message;
    if (a->ice == NULL || find(a, id) == NULL)
        return;
    driven_hold(a);
    enum bk_err err = bk_ice_stream_recv(a->ice, id, data, len, net_now(a->run->loop));
    while (a->ice != NULL && bk_ice_next_data(a->ice, &message))
        driven_tell_data(a, &message);
    struct run_conn *c = a->ice == NULL ? NULL : find(a, id);
    if (c != NULL && err != BK_OK) { /* RFC 4571 framing that is none, or nobody's any more */
        end(c);
        bk_ice_hung_up(a->ice, id, net_now(a->run->loop));
    }
    driven_touch(a);
    driven_release(a);
}

/* --- opening --- */

static enum bk_err make_tls(struct bk_run *run) {
    struct net_tls_client_config config = net_tls_client_config_default;
    char reason[NET_REASON_MAX];
    if (run->tls != NULL)
        return BK_OK;
    config.ca_file = run->config.ca_file;
    config.verify_name = !run->config.insecure;
    config.insecure = run->config.insecure;
    return net_tls_client_new(&config, &run->tls, reason);
}

static enum bk_err open_stream(struct run_conn *c, const struct bk_ice_request *r) {
    struct bk_run *run = c->a->run;
    struct net_stream_config config = net_stream_config_default;
    config.from = c->local = r->local;
    c->remote = r->remote;
    if (r->reuse && r->name[0] == '\0') /* not to a server */
        c->tries_left = SO_TRIES - 1;
    if (r->security == BK_ICE_TLS) {
        enum bk_err err = make_tls(run);
        if (err != BK_OK)
            return err;
        config.tls = run->tls;
        config.server_name = r->name;
    }
    return net_stream_connect_addr(run->loop, &r->remote, &config, &stream_events, c, &c->stream);
}

static void on_again(void *ctx, struct bk_time now) {
    struct run_conn *c = ctx;
    struct net_stream_config config = net_stream_config_default;
    (void)now;
    config.from = c->local;
    enum bk_err err = net_stream_connect_addr(c->a->run->loop, &c->remote, &config, &stream_events,
                                              c, &c->stream);
    if (err != BK_OK)
        on_close(c, err, NULL);
}

static enum bk_err open_dtls(struct run_conn *c, const struct bk_ice_request *r) {
    struct bk_run *run = c->a->run;
    struct net_dtls_config config = net_dtls_config_default;
    enum bk_err err = make_tls(run);
    if (err != BK_OK)
        return err;
    config.tls = run->tls;
    config.server_name = r->name;
    config.from = r->local;
    return net_dtls_connect(run->loop, &r->remote, &config, &dtls_events, c, &c->dtls);
}

void run_conn_dial(struct driven *a, const struct bk_ice_request *r) {
    struct run_conn *c = new_conn(a, r->id);
    enum bk_err err = BK_ERR_UNSUPPORTED;
    if (c == NULL)
        err = BK_ERR_NO_MEMORY;
    else if (r->protocol == BK_TCP && r->security != BK_ICE_DTLS)
        err = open_stream(c, r);
    else if (r->protocol == BK_UDP && r->security == BK_ICE_DTLS)
        err = open_dtls(c, r);
    if (err == BK_OK)
        return;
    if (c != NULL)
        drop(c);
    tell_dialled(a, r->id, err, NULL);
}

bool run_conn_adopt(struct driven *a, struct net_stream *s, uint32_t id) {
    struct run_conn *c = new_conn(a, id);
    if (c == NULL)
        return false;
    c->stream = s;
    c->up = true;
    net_stream_adopt(s, &stream_events, c);
    return true;
}

/* --- the rest --- */

void run_conn_hang_up(struct driven *a, uint32_t id) {
    struct run_conn *c = find(a, id);
    if (c != NULL)
        end(c);
}

void run_conn_end_all(struct driven *a) {
    while (a->conns != NULL)
        end(a->conns);
}

enum bk_err run_conn_drain(struct driven *a) {
    enum bk_err result = BK_OK;
    uint32_t id;
    const uint8_t *data;
    size_t len;
    while (bk_ice_next_stream_data(a->ice, &id, &data, &len)) {
        struct run_conn *c = find(a, id);
        enum bk_err err = BK_OK;
        if (c != NULL && c->up)
            err = c->stream == NULL ? net_dtls_send(c->dtls, data, len)
                                    : net_stream_write(c->stream, data, len);
        if (err != BK_OK)
            result = err;
    }
    return result;
}
