/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/talk.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void talk_init(struct talk *t, struct agent *a) {
    *t = (struct talk){.agent = a};
}

void talk_fini(struct talk *t) {
    if (t->joined)
        pipe_close(&t->pipe);
    t->joined = false;
}

void talk_begin(struct talk *t, struct session *s) {
    t->session = s;
    t->tick_at = net_now(t->agent->loop);
    agent_start_clock(t->agent);
    report_send(&t->agent->report,
                report_event(&t->agent->report, "session", net_now(t->agent->loop)));
    node_touch(t->agent->node);
}

static void on_ready(void *ctx) {
    struct talk *t = ctx;
    talk_progress(t);
    node_touch(t->agent->node);
}

static void join(struct talk *t) {
    t->pipe = (struct pipe){.loop = t->agent->loop,
                            .quic = session_quic(t->session),
                            .stream = t->stream,
                            .in_fd = STDIN_FILENO,
                            .out_fd = STDOUT_FILENO,
                            .on_ready = on_ready,
                            .ctx = t};
    enum bk_err err = pipe_open(&t->pipe);
    if (err != BK_OK) {
        report_error(&t->agent->report, "standard input or output cannot be used: %s",
                     bk_err_text(err));
        agent_finish(t->agent, EXIT_OTHER, QUIC_CODE_FAILED);
        return;
    }
    t->joined = true;
}

/* Listener: opens the stream as soon as QUIC can. */
static void say_hello(struct talk *t) {
    static const uint8_t hello = HELLO_PIPE;
    struct quic *quic = session_quic(t->session);
    if (!t->has_stream && quic_stream_open(quic, &t->stream) != BK_OK)
        return;
    t->has_stream = true;
    t->said_hello = quic_stream_write(quic, t->stream, &hello, 1) == 1;
    if (t->said_hello)
        join(t);
}

static void tell_first_byte(struct talk *t) {
    struct report *r = &t->agent->report;
    t->first_byte_told = true;
    report_send(r, report_event(r, "first-byte", net_now(t->agent->loop)));
}

/* Connector: reads the listener's first byte. */
static void hear_hello(struct talk *t) {
    const uint8_t *data;
    size_t len;
    struct quic *quic = session_quic(t->session);
    if (!t->has_stream || !quic_stream_peek(quic, t->stream, &data, &len) || len == 0)
        return;
    uint8_t hello = data[0];
    tell_first_byte(t);
    quic_stream_consume(quic, t->stream, 1);
    t->said_hello = true;
    if (hello == HELLO_PIPE) {
        join(t);
        return;
    }
    report_error(&t->agent->report,
                 "the peer forwards ports; name one with -L [addr:]port:host:port");
    agent_finish(t->agent, EXIT_FORWARD, QUIC_CODE_DONE);
}

static void fail_pipe(struct talk *t) {
    static const struct {
        const char *text;
        uint64_t code; /* what the peer is told */
    } problems[] = {
        [PIPE_FINE] = {"", QUIC_CODE_DONE},
        [PIPE_READ_FAILED] = {"standard input cannot be read", QUIC_CODE_READ_FAILED},
        [PIPE_WRITE_FAILED] = {"standard output is closed", QUIC_CODE_WRITE_FAILED},
        [PIPE_PEER_STOPPED] = {"the peer stopped reading: its output is closed", QUIC_CODE_DONE},
    };
    report_error(&t->agent->report, "%s", problems[t->pipe.problem].text);
    agent_finish(t->agent, EXIT_OTHER, problems[t->pipe.problem].code);
}

void talk_progress(struct talk *t) {
    if (t->session == NULL || t->agent->finishing)
        return;
    if (!t->said_hello && !session_is_offerer(t->session))
        say_hello(t);
    else if (!t->said_hello)
        hear_hello(t);
    if (!t->joined || t->agent->finishing)
        return;
    bool more = pipe_move(&t->pipe);
    if (!t->first_byte_told && t->pipe.bytes_out > 0)
        tell_first_byte(t);
    if (t->pipe.problem != PIPE_FINE) {
        fail_pipe(t);
        return;
    }
    /* Nobody will type an end of file after all of the peer's data has come. */
    if (t->pipe.out_ended && t->pipe.bytes_out > 0 && !t->pipe.in_ended && isatty(STDIN_FILENO))
        pipe_end_input(&t->pipe);
    if (more)
        node_touch(t->agent->node);
}

static void tell_done(struct talk *t) {
    struct report *r = &t->agent->report;
    struct bk_time now = net_now(t->agent->loop);
    struct session_path path;
    struct node_traffic traffic;
    char in[24], out[24];
    session_path(t->session, &path);
    node_traffic(t->agent->node, &traffic);
    double seconds = (double)bk_elapsed_us(r->start, now) / 1e6;
    cJSON *event = report_event(r, "done", now);
    cJSON_AddNumberToObject(event, "bytes", (double)(t->pipe.bytes_in + t->pipe.bytes_out));
    cJSON_AddNumberToObject(event, "sent", (double)t->pipe.bytes_in);
    cJSON_AddNumberToObject(event, "received", (double)t->pipe.bytes_out);
    cJSON_AddNumberToObject(event, "seconds", seconds);
    cJSON_AddNumberToObject(event, "direct_bytes",
                            (double)(traffic.direct_bytes_in + traffic.direct_bytes_out));
    cJSON_AddNumberToObject(event, "relay_bytes",
                            (double)(traffic.relay_bytes_in + traffic.relay_bytes_out));
    cJSON_AddNumberToObject(event, "doubts", (double)path.doubts);
    cJSON_AddStringToObject(event, "path", path.direct ? "direct" : "relayed");
    report_send(r, event);
    report_note(r, "%s sent, %s received in %.1f s, %s", report_bytes(t->pipe.bytes_in, in),
                report_bytes(t->pipe.bytes_out, out), seconds,
                path.direct ? "at last directly" : why_text(path.why));
}

void talk_quic(struct talk *t, const struct quic_event *e) {
    switch (e->type) {
    case QUIC_STREAM_OPENED:
        if (!t->has_stream) {
            t->has_stream = true;
            t->stream = e->stream;
        }
        break;
    case QUIC_STREAM_CLOSED: /* both ends are delivered, and ours was acknowledged */
        if (t->joined && e->stream == t->stream && !t->pipe.in_ended) {
            t->pipe.problem = PIPE_PEER_STOPPED; /* we had not ended: it reads no more */
        } else if (t->joined && e->stream == t->stream && !t->agent->finishing) {
            tell_done(t);
            agent_finish(t->agent, EXIT_FINE, QUIC_CODE_DONE);
        }
        break;
    case QUIC_STREAM_STOPPED:
        if (t->joined && e->stream == t->stream)
            t->pipe.problem = PIPE_PEER_STOPPED;
        break;
    case QUIC_STREAM_RESET: /* the session's end, which follows, says why */
    case QUIC_STREAM_READABLE:
    case QUIC_STREAM_WRITABLE:
    case QUIC_HANDSHAKE_DONE:
    case QUIC_DATAGRAM:
    case QUIC_STREAMS_ALLOWED:
    case QUIC_CLOSED:
        break;
    }
}

void talk_ended(struct talk *t, const struct session_event *e) {
    if (t->agent->finishing) { /* our own goodbye is through */
        talk_fini(t);
        net_timer_set(&t->agent->linger, net_now(t->agent->loop));
        return;
    }
    enum exit_code code = agent_explain_end(t->agent, e);
    if (code == EXIT_FINE && t->joined) { /* the peer has everything, and so have we */
        pipe_drain(&t->pipe);
        tell_done(t);
    } else if (code == EXIT_FINE) {
        code = EXIT_LOST;
    }
    talk_fini(t);
    agent_finish(t->agent, code, QUIC_CODE_DONE);
}

void talk_show(struct talk *t) {
    char tail[80], total[24], rate[24];
    if (t->session == NULL)
        return;
    struct bk_time now = net_now(t->agent->loop);
    uint64_t bytes = t->joined ? t->pipe.bytes_in + t->pipe.bytes_out : 0;
    int64_t us = bk_elapsed_us(t->tick_at, now);
    double per_s = us > 0 ? (double)(bytes - t->tick_bytes) * 1e6 / (double)us : 0;
    t->tick_bytes = bytes;
    t->tick_at = now;
    tail[0] = '\0';
    if (bytes > 0)
        snprintf(tail, sizeof tail, " \342\200\224 %s, %s/s", report_bytes(bytes, total),
                 report_bytes((uint64_t)per_s, rate));
    agent_show_path(t->agent, t->session, tail);
}
