/* SPDX-License-Identifier: MIT
 * The listener's side of forwarded ports: opens what its user has named, and nothing else. */
#define _GNU_SOURCE
#include "cli/forward.h"
#include "cli/talk.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void on_moved(void *ctx) {
    struct forward_server *f = ctx;
    node_touch(f->agent->node);
}

static void on_flow_open(void *ctx, struct udp_flow *flow, bool ok) {
    uint8_t byte = ok ? CALL_ACCEPTED : CALL_UNREACHABLE;
    struct quic *quic = session_quic(flow->session);
    struct session *s = flow->session;
    (void)quic_stream_write(quic, flow->stream, &byte, 1);
    flow->answered = ok;
    if (ok) {
        udp_flows_from_peer(flow->owner, s, flow->used); /* what came before the answer */
    } else {
        if (quic_stream_finish(quic, flow->stream) == BK_OK)
            quic_stream_stop(quic, flow->stream, 0);
        udp_flow_close(flow);
    }
    on_moved(ctx);
}

enum exit_code forward_server_init(struct forward_server *f, struct agent *a,
                                   const struct option_list *allowed) {
    char host[CALL_TARGET_MAX];
    uint16_t port;
    *f = (struct forward_server){.agent = a};
    if (allowed->count == 0)
        return EXIT_FINE;
    for (size_t i = 0; i < allowed->count; i++) {
        if (!call_split(allowed->items[i], host, sizeof host, &port)) {
            report_error(&a->report, "\"%s\" is not HOST:PORT", allowed->items[i]);
            return EXIT_USAGE;
        }
        f->allowed[f->allowed_count++] = allowed->items[i];
    }
    f->calls = calloc(FORWARD_CALLS_MAX, sizeof *f->calls);
    return f->calls == NULL ||
                   udp_flows_init(&f->flows, a->loop, on_flow_open, on_moved, f) != BK_OK
               ? EXIT_OTHER
               : EXIT_FINE;
}

static void end_call(struct served_call *c) {
    bridge_fini(&c->bridge);
    memset(c, 0, sizeof *c);
}

void forward_server_fini(struct forward_server *f) {
    for (size_t i = 0; f->calls != NULL && i < FORWARD_CALLS_MAX; i++)
        if (f->calls[i].used)
            end_call(&f->calls[i]);
    udp_flows_fini(&f->flows);
    free(f->calls);
    f->calls = NULL;
}

void forward_server_begin(struct forward_server *f, struct session *s) {
    struct report *r = &f->agent->report;
    (void)s;
    agent_start_clock(f->agent);
    report_send(r, report_event(r, "session", net_now(f->agent->loop)));
}

/* Says what we are. */
void forward_server_secured(struct forward_server *f, struct session *s) {
    static const uint8_t hello = HELLO_FORWARD;
    int64_t stream;
    if (quic_stream_open(session_quic(s), &stream) == BK_OK)
        (void)quic_stream_write(session_quic(s), stream, &hello, 1);
    node_touch(f->agent->node);
}

/* The names are compared as they were written: what a name means is decided at the last moment, by
 * the resolver, so the peer cannot smuggle another host in. */
static bool is_allowed(const struct forward_server *f, const char *target) {
    for (size_t i = 0; i < f->allowed_count; i++)
        if (strcasecmp(f->allowed[i], target) == 0)
            return true;
    return false;
}

static void answer(struct served_call *c, enum call_answer word) {
    uint8_t byte = (uint8_t)word;
    struct quic *quic = session_quic(c->session);
    c->answered = true;
    (void)quic_stream_write(quic, c->stream, &byte, 1);
    if (word != CALL_ACCEPTED && quic_stream_finish(quic, c->stream) == BK_OK)
        quic_stream_stop(quic, c->stream, 0);
}

static void on_tcp_open(void *ctx) {
    struct bridge *b = ctx;
    struct served_call *c =
        (struct served_call *)((char *)b - offsetof(struct served_call, bridge));
    answer(c, CALL_ACCEPTED);
    bridge_events.on_open(ctx);
}

static void on_tcp_close(void *ctx, enum bk_err err, const char *reason) {
    struct bridge *b = ctx;
    struct served_call *c =
        (struct served_call *)((char *)b - offsetof(struct served_call, bridge));
    if (!c->answered) {
        b->tcp = NULL;
        b->over = true;
        if (b->quic != NULL)
            answer(c, CALL_UNREACHABLE);
        on_moved(c->owner);
        return;
    }
    bridge_events.on_close(ctx, err, reason);
}

static void connect_tcp(struct forward_server *f, struct served_call *c) {
    struct net_stream_events events = bridge_events;
    char host[CALL_TARGET_MAX];
    uint16_t port;
    struct net_stream *tcp = NULL;
    events.on_open = on_tcp_open;
    events.on_close = on_tcp_close;
    if (!call_split(c->call.target, host, sizeof host, &port) ||
        net_stream_connect(f->agent->loop, host, port, &net_stream_config_default, &events,
                           &c->bridge, &tcp) != BK_OK) {
        answer(c, CALL_UNREACHABLE);
        c->bridge.over = true;
        return;
    }
    bridge_take(&c->bridge, tcp, false);
}

/* The flow goes on by itself, and answers when it has a socket. */
static void connect_udp(struct forward_server *f, struct served_call *c) {
    char host[CALL_TARGET_MAX];
    uint16_t port;
    struct udp_flow *flow =
        udp_flow_take(&f->flows, c->session, c->stream, net_now(f->agent->loop));
    c->bridge.over = true;
    if (flow != NULL && call_split(c->call.target, host, sizeof host, &port))
        udp_flow_open(flow, host, port);
    else
        answer(c, CALL_UNREACHABLE);
}

/* Reads the request; false: it is not complete yet. */
static bool read_call(struct forward_server *f, struct served_call *c) {
    const uint8_t *data;
    size_t len, used;
    struct quic *quic = session_quic(c->session);
    if (!quic_stream_peek(quic, c->stream, &data, &len))
        return false;
    enum bk_err err = call_decode(&c->call, data, len, &used);
    if (err == BK_ERR_SHORT && len > 0)
        return false;
    c->read = true;
    if (err != BK_OK || !is_allowed(f, c->call.target)) {
        answer(c, CALL_FORBIDDEN);
        report_note(&f->agent->report, "refused to open %s",
                    err == BK_OK ? c->call.target : "a broken request");
        c->bridge.over = true;
        return true;
    }
    quic_stream_consume(quic, c->stream, used);
    if (c->call.kind == CALL_UDP)
        connect_udp(f, c);
    else
        connect_tcp(f, c);
    return true;
}

static void move_call(struct forward_server *f, struct served_call *c) {
    if (!c->read && !read_call(f, c))
        return;
    if (c->answered)
        bridge_move(&c->bridge);
    if (c->bridge.over)
        end_call(c);
}

static void take_call(struct forward_server *f, struct session *s, int64_t stream) {
    for (size_t i = 0; i < FORWARD_CALLS_MAX; i++) {
        struct served_call *c = &f->calls[i];
        if (c->used)
            continue;
        *c = (struct served_call){.owner = f, .session = s, .used = true, .stream = stream};
        bridge_init(&c->bridge, session_quic(s), stream, on_moved, f);
        return;
    }
    quic_stream_reset(session_quic(s), stream, 0);
    quic_stream_stop(session_quic(s), stream, 0);
}

static struct served_call *find_call(struct forward_server *f, const struct session *s,
                                     int64_t stream) {
    for (size_t i = 0; i < FORWARD_CALLS_MAX; i++) {
        struct served_call *c = &f->calls[i];
        if (c->used && c->session == s && c->stream == stream)
            return c;
    }
    return NULL;
}

void forward_server_quic(struct forward_server *f, struct session *s, const struct quic_event *e) {
    if (e->type == QUIC_STREAM_OPENED)
        take_call(f, s, e->stream);
    if (e->type == QUIC_DATAGRAM || e->type == QUIC_STREAM_READABLE)
        udp_flows_from_peer(&f->flows, s, net_now(f->agent->loop));
    struct served_call *c = find_call(f, s, e->stream);
    if (c != NULL && e->type == QUIC_STREAM_CLOSED && c->answered)
        bridge_closed(&c->bridge);
    if (e->type != QUIC_STREAM_RESET && e->type != QUIC_STREAM_STOPPED)
        return;
    struct udp_flow *flow = udp_flow_of_stream(&f->flows, s, e->stream);
    if (flow != NULL) {
        udp_flow_hang_up(flow);
        udp_flow_close(flow);
    }
    if (c == NULL)
        return;
    bridge_reset(&c->bridge);
    end_call(c);
}

void forward_server_progress(struct forward_server *f) {
    for (size_t i = 0; i < FORWARD_CALLS_MAX; i++)
        if (f->calls[i].used)
            move_call(f, &f->calls[i]);
    udp_flows_expire(&f->flows, NULL, net_now(f->agent->loop));
}

void forward_server_ended(struct forward_server *f, struct session *s,
                          const struct session_event *e) {
    (void)e;
    for (size_t i = 0; i < FORWARD_CALLS_MAX; i++) {
        struct served_call *c = &f->calls[i];
        if (!c->used || c->session != s)
            continue;
        bridge_lost(&c->bridge);
        end_call(c);
    }
    udp_flows_expire(&f->flows, s, net_now(f->agent->loop));
    report_status(&f->agent->report, "waiting for the peer");
}
