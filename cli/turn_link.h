/* SPDX-License-Identifier: MIT
 * A peer reached by TCP through the server (RFC 6062): the connection to the server that carries
 * its bytes, and what they say: as many bytes as --size are sent, and counted when they come back.
 */
#ifndef CLI_TURN_LINK_H
#define CLI_TURN_LINK_H

#include "cli/turn.h"
#include "net/stream.h"

struct turn_link_line {
    struct turn_cli *cli;
    struct bk_turn *turn;
    struct net_loop *loop;
    struct net_stream *stream;
    uint32_t connection;
    bool joined;
    uint64_t sent, came_back;
    int64_t asked_us, told_us, joined_us;
    void (*on_end)(void *ctx, bool ok); /* once */
    void *ctx;
};

/* Asks the server for the peer. false: told on standard error. */
bool turn_link_ask(struct turn_link_line *l);
/* BK_TURN_CONNECTION: opens the connection; TLS as `config` says. */
bool turn_link_open(struct turn_link_line *l, const struct bk_turn_event *e,
                    const struct net_stream_config *config);
void turn_link_close(struct turn_link_line *l);

#endif
