/* SPDX-License-Identifier: MIT */
#include "cli/turn_link.h"

#include <stdio.h>
#include <string.h>

static void finish(struct turn_link_line *l, bool ok) {
    if (l->on_end == NULL)
        return;
    void (*on_end)(void *, bool) = l->on_end;
    l->on_end = NULL;
    if (ok) {
        turn_result_number(&l->cli->result, "peer_connect_ms",
                           (double)(l->told_us - l->asked_us) / 1000);
        turn_result_number(&l->cli->result, "peer_join_ms",
                           (double)(l->joined_us - l->told_us) / 1000);
        turn_result_number(&l->cli->result, "peer_round_trip_ms",
                           (double)(net_clock().us - l->joined_us) / 1000);
        turn_result_number(&l->cli->result, "peer_bytes_back", (double)l->came_back);
    }
    on_end(l->ctx, ok);
}

static bool fail(struct turn_link_line *l, const char *what, const char *why) {
    fprintf(stderr, "bodkin turn: %s: %s\n", what, why);
    finish(l, false);
    return false;
}

bool turn_link_ask(struct turn_link_line *l) {
    l->asked_us = net_clock().us;
    enum bk_err err = bk_turn_connect(l->turn, &l->cli->tcp_peer, net_now(l->loop));
    return err == BK_OK || fail(l, "--tcp-peer", bk_err_text(err));
}

static void write_joining(struct turn_link_line *l) {
    struct bk_datagram out;
    while (bk_turn_next_bind(l->turn, l->connection, &out))
        if (net_stream_write(l->stream, out.data, out.len) != BK_OK)
            return; /* on_close will say why */
}

static void start_echo(struct turn_link_line *l) {
    uint8_t data[2048];
    size_t len = l->cli->size < sizeof data ? l->cli->size : sizeof data;
    memset(data, 'b', len);
    l->joined = true;
    l->joined_us = net_clock().us;
    l->sent = len;
    if (net_stream_write(l->stream, data, len) != BK_OK)
        (void)fail(l, "the peer", "cannot be written to");
}

static void on_open(void *ctx) {
    struct turn_link_line *l = ctx;
    enum bk_err err = bk_turn_bind(l->turn, l->connection, net_now(l->loop));
    if (err != BK_OK)
        (void)fail(l, "joining the peer's connection", bk_err_text(err));
    else
        write_joining(l);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct turn_link_line *l = ctx;
    size_t taken = 0;
    if (!l->joined) {
        enum bk_err err =
            bk_turn_bind_recv(l->turn, l->connection, data, len, net_now(l->loop), &taken);
        if (err == BK_ERR_SHORT)
            write_joining(l);
        else if (err != BK_OK)
            (void)fail(l, "joining the peer's connection", bk_err_text(err));
        else
            start_echo(l);
        if (err != BK_OK)
            return;
    }
    l->came_back += len - taken;
    if (l->came_back >= l->sent)
        finish(l, true);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    struct turn_link_line *l = ctx;
    (void)err;
    l->stream = NULL;
    if (l->joined)
        finish(l, true); /* a peer that does not echo */
    else
        (void)fail(l, "the peer's connection", reason);
}

bool turn_link_open(struct turn_link_line *l, const struct bk_turn_event *e,
                    const struct net_stream_config *config) {
    static const struct net_stream_events events = {
        .on_open = on_open, .on_bytes = on_bytes, .on_close = on_close};
    l->told_us = net_clock().us;
    l->connection = e->connection;
    enum bk_err err =
        net_stream_connect_addr(l->loop, &l->cli->server, config, &events, l, &l->stream);
    return err == BK_OK || fail(l, "the peer's connection", bk_err_text(err));
}

void turn_link_close(struct turn_link_line *l) {
    net_stream_close(l->stream);
    l->stream = NULL;
    l->on_end = NULL;
}
