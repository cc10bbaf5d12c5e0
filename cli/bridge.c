/* SPDX-License-Identifier: MIT */
#include "cli/bridge.h"

#include <stdlib.h>
#include <string.h>

void bridge_init(struct bridge *b, struct quic *quic, int64_t stream, void (*on_moved)(void *ctx),
                 void *ctx) {
    *b = (struct bridge){.quic = quic, .stream = stream, .on_moved = on_moved, .ctx = ctx};
}

void bridge_fini(struct bridge *b) {
    net_stream_close(b->tcp);
    free(b->held);
    *b = (struct bridge){.over = true};
}

void bridge_take(struct bridge *b, struct net_stream *tcp, bool open) {
    b->tcp = tcp;
    b->tcp_open = open;
}

/* Neither side can go on. */
static void break_off(struct bridge *b) {
    if (b->quic != NULL) {
        quic_stream_reset(b->quic, b->stream, 0);
        quic_stream_stop(b->quic, b->stream, 0);
    }
    net_stream_close(b->tcp);
    b->tcp = NULL;
    b->over = true;
    b->on_moved(b->ctx);
}

/* --- TCP to QUIC --- */

static void send_held(struct bridge *b) {
    size_t left = b->held_len - b->held_at;
    if (left > 0)
        b->held_at += quic_stream_write(b->quic, b->stream, b->held + b->held_at, left);
    if (b->held_at < b->held_len)
        return;
    free(b->held);
    b->held = NULL;
    b->held_len = b->held_at = 0;
    if (b->tcp != NULL && b->tcp_open)
        net_stream_resume(b->tcp);
    if (b->tcp_ended && !b->fin_sent) {
        b->fin_sent = true;
        if (quic_stream_finish(b->quic, b->stream) != BK_OK)
            break_off(b);
    }
}

/* Keeps what QUIC does not take now, and asks TCP for no more until it is gone. */
static bool hold(struct bridge *b, const uint8_t *data, size_t len) {
    if (b->held_len + len > BRIDGE_HELD_MAX)
        return false;
    uint8_t *more = realloc(b->held, b->held_len + len);
    if (more == NULL)
        return false;
    memcpy(more + b->held_len, data, len);
    b->held = more;
    b->held_len += len;
    net_stream_pause(b->tcp);
    return true;
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct bridge *b = ctx;
    size_t taken = 0;
    if (b->quic == NULL)
        return;
    if (b->held_len == 0)
        taken = quic_stream_write(b->quic, b->stream, data, len);
    if (taken < len && !hold(b, data + taken, len - taken))
        break_off(b);
    b->on_moved(b->ctx);
}

static void on_eof(void *ctx) {
    struct bridge *b = ctx;
    b->tcp_ended = true;
    bridge_move(b);
    b->on_moved(b->ctx);
}

/* --- QUIC to TCP --- */

static void move_to_tcp(struct bridge *b) {
    const uint8_t *data;
    size_t len;
    while (b->tcp_open && !b->quic_ended && quic_stream_peek(b->quic, b->stream, &data, &len)) {
        if (len == 0) {
            b->quic_ended = true;
            net_stream_shutdown(b->tcp);
            return;
        }
        size_t room = net_stream_room(b->tcp);
        if (room == 0)
            return; /* on_room brings us back */
        if (len > room)
            len = room;
        if (net_stream_write(b->tcp, data, len) != BK_OK)
            return;
        quic_stream_consume(b->quic, b->stream, len);
    }
}

static void on_room(void *ctx) {
    struct bridge *b = ctx;
    bridge_move(b);
    b->on_moved(b->ctx);
}

static void on_open(void *ctx) {
    struct bridge *b = ctx;
    b->tcp_open = true;
    bridge_move(b);
    b->on_moved(b->ctx);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct bridge *b = ctx;
    (void)reason;
    b->tcp = NULL;
    b->tcp_open = false;
    if (err == BK_OK && b->fin_sent && b->quic_ended)
        b->over = true; /* QUIC delivers the rest by itself */
    else
        break_off(b);
    b->on_moved(b->ctx);
}

const struct net_stream_events bridge_events = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_eof = on_eof,
    .on_room = on_room,
    .on_close = on_close,
};

void bridge_move(struct bridge *b) {
    if (b->over || b->quic == NULL || b->tcp == NULL)
        return;
    send_held(b);
    if (!b->over)
        move_to_tcp(b);
}

void bridge_closed(struct bridge *b) {
    if (b->over)
        return;
    if (!b->fin_sent) { /* the peer reads no more: what TCP still has goes nowhere */
        break_off(b);
        return;
    }
    if (b->quic_ended)
        return;
    b->quic_ended = true;
    if (b->tcp != NULL)
        net_stream_shutdown(b->tcp);
    else
        b->over = true;
}

void bridge_reset(struct bridge *b) {
    if (!b->over)
        break_off(b);
}

void bridge_lost(struct bridge *b) {
    b->quic = NULL;
    if (!b->over)
        break_off(b);
}
