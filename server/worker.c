/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: nanosleep */
#include "server/worker.h"

#include "base/assert.h"
#include "box/box.h"
#include "net/alloc.h"
#include "server/conn.h"
#include "server/log.h"
#include "server/turn_metrics.h"
#include "server/turn_start.h"
#include "server/udp_proxy.h"
#include <string.h>
#include <time.h>

enum {
    RECONNECT_MS = 1000, /* Restarting frames: come back after this, */
    TRY_FOR_MS = 10000,  /* and keep trying for this long */
    GOODBYE_STEP_US = 10000,
    GOODBYE_LINGER_US = 100000,
    BACKLOG = 4096,
    NEWS_WAIT_NS = 50000
};

/* --- between the workers -----------------------------------------------------------------------
 */

static void take_datagram(struct worker *w, const struct inbox_message *m) {
    struct bk_datagram in = {.data = m->data, .len = m->len};
    memcpy(&in.remote, m->key, sizeof in.remote);
    memcpy(&in.local, m->dst, sizeof in.local);
    udp_doors_recv(w, &in, net_now(w->loop));
}

static void read_inbox(struct worker *w) {
    struct inbox_message m;
    while (inbox_take(&w->inbox, &m)) {
        switch (m.kind) {
        case INBOX_PRESENT:
            if (relay_hub_remote_present(w->hub, m.from, m.key) != BK_OK)
                log_event(LOG_WARN, "mesh_full", "reason", "too many keys on the other workers");
            break;
        case INBOX_GONE:
            relay_hub_remote_gone(w->hub, m.from, m.key);
            break;
        case INBOX_PRESSURE:
        case INBOX_RELIEF:
            relay_hub_remote_pressure(w->hub, m.key, m.dst, m.kind == INBOX_PRESSURE,
                                      net_now(w->loop));
            break;
        case INBOX_CONN: {
            struct conn_parcel *parcel;
            memcpy(&parcel, m.key, sizeof parcel); /* NOLINT(bugprone-sizeof-expression) */
            conn_turn_arrive(w, parcel);
            break;
        }
        case INBOX_DATAGRAM:
            take_datagram(w, &m);
            break;
        case INBOX_PACKET:
            relay_hub_remote_packet(w->hub, m.key, m.dst, m.data, m.len, net_now(w->loop));
            break;
        }
        worker_hub_touched(w);
    }
}

static bool post(const struct worker *w, size_t to, const struct inbox_message *m) {
    struct worker *other = w->fleet->workers[to];
    bool first = false;
    if (inbox_put(&other->inbox, m, &first) != BK_OK)
        return false;
    if (first)
        net_wakeup_send(other->wakeup);
    return true;
}

void worker_pass_datagram(struct worker *w, uint16_t to, const struct bk_datagram *in) {
    struct inbox_message m = {
        .kind = INBOX_DATAGRAM, .from = w->index, .data = in->data, .len = in->len};
    memcpy(m.key, &in->remote, sizeof in->remote);
    memcpy(m.dst, &in->local, sizeof in->local);
    if (to >= w->fleet->count || to == w->index)
        return;
    if (in->len > INBOX_DATA_MAX || !post(w, to, &m))
        metric_add(&w->metrics, METRIC_TURN_LOST_PASS, 1); /* as datagrams may be */
}

void worker_give_datagram(struct worker *w, const struct bk_datagram *in) {
    struct inbox_message m = {
        .kind = INBOX_DATAGRAM, .from = w->index, .data = in->data, .len = in->len};
    memcpy(m.key, &in->remote, sizeof in->remote);
    memcpy(m.dst, &in->local, sizeof in->local);
    (void)post(w, w->index, &m);
}

void worker_send_conn(struct worker *w, uint16_t to, struct conn_parcel *parcel) {
    struct inbox_message m = {.kind = INBOX_CONN, .from = w->index};
    memcpy(m.key, &parcel, sizeof parcel); /* NOLINT(bugprone-sizeof-expression): the pointer */
    if (to >= w->fleet->count || !post(w, to, &m))
        conn_parcel_drop(w->fleet, parcel);
}

/* Connections that nobody took. */
static void empty_inbox(struct worker *w) {
    struct inbox_message m;
    while (inbox_take(&w->inbox, &m)) {
        struct conn_parcel *parcel;
        memcpy(&parcel, m.key, sizeof parcel); /* NOLINT(bugprone-sizeof-expression) */
        if (m.kind == INBOX_CONN)
            conn_parcel_drop(w->fleet, parcel);
    }
}

/* An ending worker's neighbours may have ended already and empty their inboxes no more. */
static bool is_ending(struct worker *w) {
    return w->stopping || (atomic_load(&w->commands) & WORKER_STOP) != 0;
}

/* News of keys must arrive. While another worker's inbox is full we empty our own, so that two
 * workers who wait for each other both go on; packets, which fill inboxes, may not use all of it.
 */
static void post_news(struct worker *w, const struct inbox_message *m) {
    const struct timespec moment = {.tv_nsec = NEWS_WAIT_NS};
    for (size_t i = 0; i < w->fleet->count; i++) {
        while (i != w->index && !is_ending(w) && !post(w, i, m)) {
            net_wakeup_send(w->fleet->workers[i]->wakeup);
            nanosleep(&moment, NULL);
            read_inbox(w);
        }
    }
}

static void pass_on(struct worker *w, const struct relay_hub_event *e) {
    struct inbox_message m = {.from = w->index, .data = e->data, .len = e->len};
    memcpy(m.key, e->key, sizeof m.key);
    memcpy(m.dst, e->dst, sizeof m.dst);
    switch (e->type) {
    case RELAY_HUB_PRESENT:
        m.kind = INBOX_PRESENT;
        post_news(w, &m);
        return;
    case RELAY_HUB_GONE:
        m.kind = INBOX_GONE;
        post_news(w, &m);
        return;
    case RELAY_HUB_PRESSURE: /* may be lost: the pause it asks for, or takes back, ends by time */
        m.kind = e->on ? INBOX_PRESSURE : INBOX_RELIEF;
        (void)post(w, e->hub, &m);
        return;
    case RELAY_HUB_FORWARD:
        m.kind = INBOX_PACKET;
        if (!post(w, e->hub, &m))
            metric_add(&w->metrics, METRIC_RELAY_FORWARD_FULL, 1);
        return;
    }
}

/* --- the hub -----------------------------------------------------------------------------------
 */

static const char *close_reason(enum relay_close close) {
    static const char *const names[] = {
        [RELAY_CLOSE_NOT] = "none",
        [RELAY_CLOSE_HANDSHAKE_TIMEOUT] = "handshake timeout",
        [RELAY_CLOSE_HANDSHAKE] = "bad handshake",
        [RELAY_CLOSE_PROTOCOL] = "protocol error",
        [RELAY_CLOSE_STALLED] = "takes no bytes",
        [RELAY_CLOSE_PERMISSION] = "mesh frame without the mesh key",
        [RELAY_CLOSE_PEER] = "a mesh peer asked for it",
        [RELAY_CLOSE_RESOURCES] = "no memory for its queue",
    };
    return names[close];
}

static void close_for_hub(struct conn *c, enum relay_close why) {
    struct log_line l;
    log_begin(&l, LOG_INFO, LOG_RELAY_CLOSED, "relay_closed");
    log_addr(&l, "remote", &c->remote);
    log_text(&l, "reason", close_reason(why));
    log_end(&l);
    conn_end(c, 0);
}

static void serve_ready(struct worker *w, const struct relay_ready *ready) {
    struct conn *c = ready->conn < w->by_hub_count ? w->by_hub[ready->conn] : NULL;
    if (c == NULL)
        return;
    if (ready->close != RELAY_CLOSE_NOT) {
        close_for_hub(c, ready->close);
        return;
    }
    if (ready->read)
        net_stream_resume(c->stream);
    else
        net_stream_pause(c->stream);
    if (ready->write)
        conn_write_hub(c);
}

static void count_dtls(struct worker *w) {
    if (w->dtls == NULL)
        return;
    const struct net_dtls_server_counters *c = udp_dtls_counters(w->dtls);
    metric_set(&w->metrics, METRIC_DTLS_SESSIONS, c->sessions);
    metric_set(&w->metrics, METRIC_DTLS_FAILED, c->failed + c->late);
    metric_set(&w->metrics, METRIC_DTLS_REFUSED, c->full);
}

static void count(struct worker *w) {
    const struct net_plane_counters *c = net_plane_counters(w->plane);
    metric_set(&w->metrics, METRIC_UDP_IN, c->in);
    metric_set(&w->metrics, METRIC_UDP_OUT, c->out);
    metric_set(&w->metrics, METRIC_UDP_BYTES_IN, c->in_bytes);
    metric_set(&w->metrics, METRIC_UDP_BYTES_OUT, c->out_bytes);
    metric_set(&w->metrics, METRIC_UDP_LOST, c->out_full);
    metric_set(&w->metrics, METRIC_UDP_NO_WAY, c->out_unreachable);
    metric_set(&w->metrics, METRIC_UDP_TOO_LONG, c->out_too_long);
    metric_set(&w->metrics, METRIC_UDP_ERROR, c->out_error);
    metric_set(&w->metrics, METRIC_UDP_TOO_LONG_IN, c->in_truncated);
    count_dtls(w);
    metrics_from_stun(&w->metrics, &w->stun, &w->stun_tcp);
    metrics_from_hub(&w->metrics, w->hub);
    turn_metrics_collect(w->turn, &w->metrics);
}

/* The end of every turn in which the hub got something. */
static void on_drain(void *ctx) {
    struct worker *w = ctx;
    struct relay_ready ready;
    struct relay_hub_event event;
    while (relay_hub_next_event(w->hub, &event))
        pass_on(w, &event);
    while (relay_hub_next_ready(w->hub, &ready))
        serve_ready(w, &ready);
    net_timer_set(&w->hub_timer, relay_hub_deadline(w->hub));
    metrics_from_hub(&w->metrics, w->hub);
}

static void on_hub_timer(void *ctx, struct bk_time now) {
    struct worker *w = ctx;
    relay_hub_advance(w->hub, now);
    worker_hub_touched(w);
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

static bool all_sent(const struct worker *w) {
    for (const struct conn *c = w->conns; c != NULL; c = c->next)
        if (c->state == CONN_RELAY && net_stream_pending(c->stream) > 0)
            return false;
    return true;
}

/* First waits until the Restarting frames have left, or long enough; then ends all connections and
 * gives the last bytes a moment; then ends the loop. */
static void on_goodbye(void *ctx, struct bk_time now) {
    struct worker *w = ctx;
    if (w->conns == NULL) {
        net_loop_stop(w->loop);
        return;
    }
    if (!all_sent(w) && bk_before(now, w->goodbye_by)) {
        net_timer_set(&w->goodbye, bk_after(now, GOODBYE_STEP_US));
        return;
    }
    while (w->conns != NULL)
        conn_end(w->conns, GOODBYE_LINGER_US);
    net_timer_set(&w->goodbye, bk_after(now, GOODBYE_LINGER_US));
}

static void stop(struct worker *w) {
    if (w->stopping)
        return;
    w->stopping = true;
    for (size_t i = 0; i < w->door_count; i++) {
        net_listener_close(w->doors[i].listener);
        w->doors[i].listener = NULL;
    }
    relay_hub_restarting(w->hub, RECONNECT_MS, TRY_FOR_MS);
    worker_hub_touched(w);
    w->goodbye_by = bk_after(net_now(w->loop), WORKER_GOODBYE_US);
    net_timer_set(&w->goodbye, bk_after(net_now(w->loop), GOODBYE_STEP_US));
}

static void change_tls(struct worker *w) {
    struct net_tls *tls = atomic_exchange(&w->tls, NULL);
    for (size_t i = 0; tls != NULL && i < w->door_count; i++) {
        struct door *door = &w->doors[i];
        if (door->tls != NULL) {
            net_tls_unref(door->tls);
            door->tls = net_tls_ref(tls);
        }
    }
    if (tls != NULL && w->dtls != NULL)
        udp_dtls_set_tls(w->dtls, tls);
    net_tls_unref(tls);
}

static void change_options(struct worker *w) {
    struct options_copy *options = atomic_exchange(&w->options, NULL);
    if (options != NULL && w->turn != NULL)
        server_turn_change(w->turn, &options->options);
    options_copy_unref(options);
}

static void drain(struct worker *w) {
    if (w->turn != NULL)
        server_turn_refuse(w->turn);
    count(w);
    atomic_store(&w->drains, true);
}

static void on_wake(void *ctx) {
    struct worker *w = ctx;
    unsigned commands = atomic_exchange(&w->commands, 0);
    if ((commands & WORKER_TLS) != 0)
        change_tls(w);
    if ((commands & WORKER_OPTIONS) != 0)
        change_options(w);
    if ((commands & WORKER_DRAIN) != 0)
        drain(w);
    if ((commands & WORKER_UPGRADE) != 0)
        upgrade_worker_step(w);
    if ((commands & WORKER_STOP) != 0)
        stop(w);
    read_inbox(w);
}

static void on_count(void *ctx, struct bk_time now) {
    struct worker *w = ctx;
    count(w);
    net_timer_set(&w->count_timer, bk_after(now, BK_US_PER_S));
}

enum bk_err worker_new(struct fleet *fleet, uint32_t index, const struct relay_hub_config *hub,
                       struct worker **out) {
    const struct bk_alloc *alloc = net_alloc();
    struct bk_rng rng = box_rng();
    struct worker *w = alloc->get(alloc->ctx, sizeof *w);
    if (w == NULL)
        return BK_ERR_NO_MEMORY;
    w->fleet = fleet;
    w->index = index;
    w->by_hub_count = hub->conns_max;
    w->by_hub = alloc->get(alloc->ctx, hub->conns_max * sizeof(struct conn *));
    enum bk_err err = w->by_hub == NULL ? BK_ERR_NO_MEMORY : net_loop_new(alloc, &w->loop);
    if (err == BK_OK)
        err = net_plane_new(w->loop, &fleet->plane, &w->plane);
    if (err == BK_OK)
        err = inbox_init(&w->inbox);
    if (err == BK_OK)
        err = relay_hub_new(hub, &rng, alloc, &w->hub);
    if (err == BK_OK)
        err = net_wakeup_new(w->loop, on_wake, w, &w->wakeup);
    if (err != BK_OK)
        return err; /* the program ends: nothing is taken back */
    net_timer_init(&w->hub_timer, w->loop, on_hub_timer, w);
    net_timer_init(&w->goodbye, w->loop, on_goodbye, w);
    net_timer_init(&w->count_timer, w->loop, on_count, w);
    net_deferred_init(&w->drain, w->loop, on_drain, w);
    upgrade_worker_init(w);
    *out = w;
    return BK_OK;
}

void worker_free(struct worker *w) {
    const struct bk_alloc *alloc = net_alloc();
    if (w == NULL)
        return;
    while (w->conns != NULL)
        conn_end(w->conns, 0);
    for (size_t i = 0; i < w->door_count; i++) {
        net_listener_close(w->doors[i].listener);
        net_tls_unref(w->doors[i].tls);
    }
    udp_dtls_free(w->dtls);
    udp_proxy_free(w->proxied);
    server_turn_free(w->turn);
    udp_doors_close(w);
    net_timer_set(&w->hub_timer, BK_NEVER);
    net_timer_set(&w->goodbye, BK_NEVER);
    net_timer_set(&w->count_timer, BK_NEVER);
    net_defer_cancel(&w->drain);
    upgrade_worker_fini(w);
    net_wakeup_free(w->wakeup);
    net_plane_free(w->plane);
    net_loop_free(w->loop);
    net_tls_unref(atomic_exchange(&w->tls, NULL));
    options_copy_unref(atomic_exchange(&w->options, NULL));
    relay_hub_free(w->hub);
    empty_inbox(w);
    inbox_fini(&w->inbox);
    alloc->put(alloc->ctx, w->by_hub);
    alloc->put(alloc->ctx, w);
}

static void on_accept(void *ctx, struct net_stream *stream) {
    conn_accept(ctx, stream);
}

/* Ports that workers share could be shared with another server of this user, too, who would then
 * get half of the clients. So the first worker tries without sharing. */
static enum bk_err is_free(struct worker *w, const struct bk_addr *at,
                           const struct net_listener_config *config) {
    const struct net_listener_events nobody = {NULL, NULL};
    struct net_listener_config alone = *config;
    struct net_listener *probe;
    if (w->index != 0 || !config->reuse_port)
        return BK_OK;
    alone.reuse_port = false;
    enum bk_err err = net_listener_open(w->loop, at, &alone, &nobody, &probe);
    if (err == BK_OK)
        net_listener_close(probe);
    return err;
}

enum bk_err worker_listen(struct worker *w, enum port_kind kind, const struct bk_addr *at,
                          struct net_tls *tls, struct bk_addr *bound) {
    bk_assert(w->door_count < sizeof w->doors / sizeof w->doors[0]);
    struct door *door = &w->doors[w->door_count];
    const struct net_listener_events events = {on_accept, door};
    struct net_listener_config config = net_listener_config_default;
    config.reuse_port = w->fleet->count > 1;
    config.backlog = BACKLOG;
    config.stream.write_max = WORKER_BUFFER_MAX;
    config.stream.write_low = WORKER_BUFFER_LOW;
    config.stream.open_timeout_us = WORKER_HANDSHAKE_US;
    config.socket = takeover_door(w->fleet->takeover, (uint16_t)w->index, (uint8_t)kind, at);
    door->worker = w;
    door->kind = kind;
    door->tls = tls == NULL ? NULL : net_tls_ref(tls);
    enum bk_err err = config.socket != 0 ? BK_OK : is_free(w, at, &config);
    if (err == BK_OK)
        err = net_listener_open(w->loop, at, &config, &events, &door->listener);
    if (err != BK_OK) {
        net_tls_unref(door->tls);
        return err;
    }
    *bound = net_listener_local(door->listener);
    w->door_count++;
    return BK_OK;
}

enum bk_err worker_start_dtls(struct worker *w, struct net_tls *tls) {
    return udp_dtls_new(w, tls, &w->dtls);
}

enum bk_err worker_trust_proxies(struct worker *w) {
    return w->proxied != NULL ? BK_OK : udp_proxy_new(w, &w->proxied);
}

static void *run(void *ctx) {
    struct worker *w = ctx;
    on_count(w, net_now(w->loop));
    worker_hub_touched(w);
    net_plane_run(w->plane);
    return NULL;
}

enum bk_err worker_start(struct worker *w) {
    return pthread_create(&w->thread, NULL, run, w) == 0 ? BK_OK : BK_ERR_NO_MEMORY;
}

static void command(struct worker *w, enum worker_command what) {
    atomic_fetch_or(&w->commands, (unsigned)what);
    net_wakeup_send(w->wakeup);
}

void worker_stop(struct worker *w) {
    command(w, WORKER_STOP);
}

void worker_join(struct worker *w) {
    pthread_join(w->thread, NULL);
}

void worker_set_tls(struct worker *w, struct net_tls *tls) {
    net_tls_unref(atomic_exchange(&w->tls, net_tls_ref(tls)));
    command(w, WORKER_TLS);
}

void worker_set_options(struct worker *w, struct options_copy *options) {
    options_copy_unref(atomic_exchange(&w->options, options_copy_ref(options)));
    command(w, WORKER_OPTIONS);
}

void worker_upgrade(struct worker *w) {
    command(w, WORKER_UPGRADE);
}

void worker_drain(struct worker *w) {
    command(w, WORKER_DRAIN);
}
