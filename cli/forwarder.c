/* SPDX-License-Identifier: MIT
 * The connector's side of forwarded ports: see forward.h. */
#define _GNU_SOURCE
#include "cli/forward.h"
#include "cli/forward_rule.h"
#include "cli/talk.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- calls --- */

static void on_moved(void *ctx) {
    struct forwarder *f = ctx;
    node_touch(f->agent->node);
}

static struct forward_call *free_call(struct forwarder *f) {
    for (size_t i = 0; i < FORWARD_CALLS_MAX; i++)
        if (!f->calls[i].used)
            return &f->calls[i];
    return NULL;
}

static void end_call(struct forward_call *c) {
    if (c->opened)
        bridge_fini(&c->bridge);
    net_stream_close(c->waiting);
    memset(c, 0, sizeof *c);
}

static bool send_call(struct quic *quic, const struct call *call, int64_t *stream) {
    uint8_t buf[CALL_LEN_MAX];
    if (quic_stream_open(quic, stream) != BK_OK)
        return false;
    size_t len = call_encode(call, buf);
    return quic_stream_write(quic, *stream, buf, len) == len;
}

/* Opens the stream once QUIC allows; TCP is not read before the peer has agreed. */
static void open_call(struct forwarder *f, struct forward_call *c) {
    if (!f->secured)
        return;
    struct quic *quic = session_quic(f->session);
    if (!send_call(quic, &c->rule->call, &c->stream))
        return;
    bridge_init(&c->bridge, quic, c->stream, on_moved, f);
    c->opened = true;
}

static void on_early_bytes(void *ctx, const uint8_t *data, size_t len) {
    (void)ctx, (void)data, (void)len; /* never: the stream is paused */
}

static void on_early_close(void *ctx, enum bk_err err, const char *reason) {
    struct forward_call *c = ctx;
    (void)err, (void)reason;
    c->waiting = NULL;
    if (c->opened) {
        quic_stream_reset(session_quic(c->owner->session), c->stream, 0);
        quic_stream_stop(session_quic(c->owner->session), c->stream, 0);
    }
    end_call(c);
}

static void on_accept(void *ctx, struct net_stream *stream) {
    static const struct net_stream_events early = {.on_bytes = on_early_bytes,
                                                   .on_close = on_early_close};
    struct forward_rule *rule = ctx;
    struct forwarder *f = rule->owner;
    struct forward_call *c = f->agent->finishing ? NULL : free_call(f);
    if (c == NULL) {
        net_stream_close(stream);
        return;
    }
    *c = (struct forward_call){.owner = f, .used = true, .rule = rule, .waiting = stream};
    net_stream_adopt(stream, &early, c);
    net_stream_pause(stream);
    open_call(f, c);
    node_touch(f->agent->node);
}

static void refuse_call(struct forwarder *f, struct forward_call *c, uint8_t answer) {
    report_error(&f->agent->report,
                 answer == CALL_FORBIDDEN
                     ? "the peer does not allow %s; there: bodkin listen --allow-forward %s"
                     : "the peer cannot reach %s",
                 c->rule->call.target, c->rule->call.target);
    quic_stream_reset(session_quic(f->session), c->stream, 0);
    quic_stream_stop(session_quic(f->session), c->stream, 0);
    end_call(c);
}

/* The first byte of the answer decides. */
static void hear_answer(struct forwarder *f, struct forward_call *c) {
    const uint8_t *data;
    size_t len;
    struct quic *quic = session_quic(f->session);
    if (!quic_stream_peek(quic, c->stream, &data, &len))
        return;
    uint8_t answer = len > 0 ? data[0] : CALL_UNREACHABLE;
    if (answer != CALL_ACCEPTED) {
        refuse_call(f, c, answer);
        return;
    }
    quic_stream_consume(quic, c->stream, 1);
    c->answered = true;
    net_stream_adopt(c->waiting, &bridge_events, &c->bridge);
    bridge_take(&c->bridge, c->waiting, true);
    c->waiting = NULL;
    net_stream_resume(c->bridge.tcp);
}

static void move_call(struct forwarder *f, struct forward_call *c) {
    if (!c->opened)
        open_call(f, c);
    if (c->opened && !c->answered)
        hear_answer(f, c);
    if (!c->used || !c->answered)
        return;
    bridge_move(&c->bridge);
    if (c->bridge.over)
        end_call(c);
}

/* --- UDP --- */

/* Asks for the flow's target, if that has not been done; false: not now. */
static bool open_flow(struct forwarder *f, const struct forward_rule *rule, struct udp_flow *flow) {
    if (flow->session != NULL)
        return true;
    if (!f->secured || !send_call(session_quic(f->session), &rule->call, &flow->stream))
        return false;
    flow->session = f->session;
    return true;
}

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    struct forward_rule *rule = ctx;
    struct forwarder *f = rule->owner;
    for (size_t i = 0; i < n && f->session != NULL; i++) {
        struct udp_flow *flow = udp_flow_of_client(&f->flows, rule->udp, &in[i], now);
        if (flow != NULL && !flow->refused && open_flow(f, rule, flow))
            udp_flow_to_peer(flow, in[i].data, in[i].len, now);
        else
            f->flows.dropped++;
    }
    on_moved(f);
}

static void hear_udp_answer(struct forwarder *f, struct udp_flow *flow) {
    const uint8_t *data;
    size_t len;
    if (!quic_stream_peek(session_quic(f->session), flow->stream, &data, &len))
        return;
    uint8_t answer = len > 0 ? data[0] : CALL_UNREACHABLE;
    if (answer == CALL_ACCEPTED) {
        quic_stream_consume(session_quic(f->session), flow->stream, 1);
        flow->answered = true;
        return;
    }
    report_error(&f->agent->report, answer == CALL_FORBIDDEN
                                        ? "the peer does not allow this UDP forward; there: "
                                          "bodkin listen --allow-forward HOST:PORT"
                                        : "the peer cannot send to the forward's target");
    udp_flow_hang_up(flow);
    flow->session = NULL;
    flow->refused = true; /* told once; the client's next datagrams are dropped for a while */
}

static void udp_event(struct forwarder *f, const struct quic_event *e) {
    struct udp_flow *flow = udp_flow_of_stream(&f->flows, f->session, e->stream);
    if (flow != NULL && e->type == QUIC_STREAM_READABLE && !flow->answered)
        hear_udp_answer(f, flow);
    if (flow != NULL && (e->type == QUIC_STREAM_RESET || e->type == QUIC_STREAM_STOPPED)) {
        udp_flow_hang_up(flow);
        udp_flow_close(flow); /* the client's next datagram opens another one */
    }
    if (e->type == QUIC_DATAGRAM || e->type == QUIC_STREAM_READABLE)
        udp_flows_from_peer(&f->flows, f->session, net_now(f->agent->loop));
}

/* --- life --- */

static enum exit_code open_rule(struct forwarder *f, struct forward_rule *rule, bool udp) {
    enum bk_err err;
    char text[BK_ADDR_TEXT_MAX];
    rule->owner = f;
    if (udp) {
        const struct net_udp_events events = {.on_batch = on_batch, .ctx = rule};
        err =
            net_udp_open(f->agent->loop, &rule->bind, &net_udp_config_default, &events, &rule->udp);
    } else {
        const struct net_listener_events events = {.on_accept = on_accept, .ctx = rule};
        err = net_listener_open(f->agent->loop, &rule->bind, &net_listener_config_default, &events,
                                &rule->listener);
    }
    if (err == BK_OK)
        return EXIT_FINE;
    report_error(&f->agent->report, "cannot listen on %s: %s", bk_addr_format(&rule->bind, text),
                 err == BK_ERR_EXISTS ? "the port is in use" : bk_err_text(err));
    return EXIT_OTHER;
}

enum exit_code forwarder_init(struct forwarder *f, struct agent *a, const struct option_list *list,
                              bool udp) {
    *f = (struct forwarder){.agent = a};
    if (list->count == 0)
        return EXIT_FINE;
    f->calls = calloc(FORWARD_CALLS_MAX, sizeof *f->calls);
    if (f->calls == NULL || udp_flows_init(&f->flows, a->loop, NULL, on_moved, f) != BK_OK)
        return EXIT_OTHER;
    for (size_t i = 0; i < list->count; i++) {
        struct forward_rule *rule = &f->rules[f->rule_count];
        rule->call.kind = udp ? CALL_UDP : CALL_TCP;
        if (!forward_rule_read(list->items[i], &rule->bind, rule->call.target)) {
            report_error(&a->report, "\"%s\" is not [addr:]port:host:port", list->items[i]);
            return EXIT_USAGE;
        }
        enum exit_code code = open_rule(f, rule, udp);
        if (code != EXIT_FINE)
            return code;
        f->rule_count++;
    }
    return EXIT_FINE;
}

void forwarder_fini(struct forwarder *f) {
    for (size_t i = 0; i < f->rule_count; i++) {
        net_listener_close(f->rules[i].listener);
        net_udp_close(f->rules[i].udp);
    }
    for (size_t i = 0; f->calls != NULL && i < FORWARD_CALLS_MAX; i++)
        if (f->calls[i].used)
            end_call(&f->calls[i]);
    udp_flows_fini(&f->flows);
    free(f->calls);
    f->calls = NULL;
    f->rule_count = 0;
}

void forwarder_begin(struct forwarder *f, struct session *s) {
    struct report *r = &f->agent->report;
    f->session = s;
    f->secured = f->hello_heard = false;
    f->hello_stream = -1;
    agent_start_clock(f->agent);
    report_send(r, report_event(r, "session", net_now(f->agent->loop)));
    node_touch(f->agent->node);
}

void forwarder_secured(struct forwarder *f) {
    f->secured = f->was_secured = true;
    f->losses = 0;
    forwarder_progress(f);
}

/* The listener says what it is on its first stream. */
static void hear_hello(struct forwarder *f) {
    const uint8_t *data;
    size_t len;
    struct report *r = &f->agent->report;
    if (f->hello_heard || f->hello_stream < 0 ||
        !quic_stream_peek(session_quic(f->session), f->hello_stream, &data, &len) || len == 0)
        return;
    f->hello_heard = true;
    bool forwards = data[0] == HELLO_FORWARD;
    quic_stream_consume(session_quic(f->session), f->hello_stream, len);
    if (forwards) {
        report_send(r, report_event(r, "forwarding", net_now(f->agent->loop)));
        report_note(r, "forwarding; end with Ctrl-C");
        return;
    }
    report_error(r, "the peer does not forward; there: bodkin listen --allow-forward HOST:PORT");
    agent_finish(f->agent, EXIT_FORWARD, QUIC_CODE_MODE);
}

static struct forward_call *find_call(struct forwarder *f, int64_t stream) {
    for (size_t i = 0; i < FORWARD_CALLS_MAX; i++)
        if (f->calls[i].opened && f->calls[i].stream == stream)
            return &f->calls[i];
    return NULL;
}

void forwarder_quic(struct forwarder *f, const struct quic_event *e) {
    if (e->type == QUIC_STREAM_OPENED && f->hello_stream < 0)
        f->hello_stream = e->stream;
    udp_event(f, e);
    struct forward_call *c = find_call(f, e->stream);
    if (c != NULL && e->type == QUIC_STREAM_CLOSED && c->answered)
        bridge_closed(&c->bridge);
    if (c == NULL || (e->type != QUIC_STREAM_RESET && e->type != QUIC_STREAM_STOPPED))
        return;
    bridge_reset(&c->bridge);
    end_call(c);
}

void forwarder_progress(struct forwarder *f) {
    if (f->session == NULL || f->agent->finishing)
        return;
    hear_hello(f);
    for (size_t i = 0; i < FORWARD_CALLS_MAX && !f->agent->finishing; i++)
        if (f->calls[i].used)
            move_call(f, &f->calls[i]);
    udp_flows_expire(&f->flows, NULL, net_now(f->agent->loop));
}

void forwarder_show(struct forwarder *f) {
    char tail[48];
    unsigned calls = 0;
    if (f->session == NULL || !f->secured)
        return;
    for (size_t i = 0; i < FORWARD_CALLS_MAX; i++)
        calls += f->calls[i].answered;
    snprintf(tail, sizeof tail, " \342\200\224 %u connection%s", calls, calls == 1 ? "" : "s");
    agent_show_path(f->agent, f->session, calls > 0 ? tail : NULL);
}

/* Would the same offer be answered otherwise later? */
static bool is_worth_retrying(const struct session_event *e) {
    switch (e->end) {
    case SESSION_END_REFUSED_TICKET:
    case SESSION_END_REFUSED_PEER:
    case SESSION_END_IMPOSTOR:
        return false;
    case SESSION_END_CLOSED:
        return e->code != QUIC_CODE_MODE;
    case SESSION_END_REFUSED_BUSY:
    case SESSION_END_NOT_HOME:
    case SESSION_END_NO_ANSWER:
    case SESSION_END_LOST:
    case SESSION_END_FAILED:
        return true;
    }
    return false;
}

/* Connections that are open end with the session; those that wait for their turn go on waiting. */
static void drop_calls(struct forwarder *f) {
    for (size_t i = 0; i < FORWARD_CALLS_MAX; i++)
        if (f->calls[i].opened) {
            bridge_lost(&f->calls[i].bridge);
            end_call(&f->calls[i]);
        }
    udp_flows_expire(&f->flows, f->session, net_now(f->agent->loop));
    f->session = NULL;
    f->secured = false;
}

int64_t forwarder_ended(struct forwarder *f, const struct session_event *e) {
    static const int64_t pause_s[] = {1, 2, 4, 8, 15};
    enum { PAUSES = sizeof pause_s / sizeof *pause_s };
    struct report *r = &f->agent->report;
    drop_calls(f);
    if (f->agent->finishing) {
        net_timer_set(&f->agent->linger, net_now(f->agent->loop));
        return 0;
    }
    if (!f->was_secured || !is_worth_retrying(e)) {
        enum exit_code code = agent_explain_end(f->agent, e);
        if (code == EXIT_FINE)
            report_error(r, "the peer ended the session");
        agent_finish(f->agent, code == EXIT_FINE ? EXIT_LOST : code, QUIC_CODE_DONE);
        return 0;
    }
    int64_t pause = pause_s[f->losses < PAUSES ? f->losses : PAUSES - 1];
    f->losses++;
    cJSON *event = report_event(r, "lost", net_now(f->agent->loop));
    cJSON_AddNumberToObject(event, "retry_s", (double)pause);
    report_send(r, event);
    report_status(r, "the session is lost; trying again");
    return pause * BK_US_PER_S;
}
