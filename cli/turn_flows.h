/* SPDX-License-Identifier: MIT
 * Many allocations at a time, each with a UDP socket of its own and a channel to one peer. */
#ifndef CLI_TURN_FLOWS_H
#define CLI_TURN_FLOWS_H

#include "base/rng.h"
#include "cli/turn.h"
#include "cli/turn_socket.h"

enum { TURN_FLOWS_MAX = 65536 };

struct turn_flow {
    struct bk_turn *turn;
    struct bk_addr local;
    int fd;
    uint16_t channel; /* 0: not bound yet */
    bool over;        /* failed, lost or closed */
    uint32_t seen;    /* HELLOs that were answered: 1 with a cookie, 2 confirmed */
    uint32_t cookie;
};

struct turn_flows {
    struct turn_flow *list;
    size_t count, opened, ready, over;
    int epoll;
    struct turn_cli *cli;
    struct bk_addr peer;
    struct rng_seeded seeded; /* transaction ids of a load need no more */
    struct bk_rng rng;
    void *work; /* shared by all */
    int64_t looked_ns;
    struct turn_histogram allocate; /* times from the first request to the answer */
    /* Data from the peer, without its header. */
    void (*on_data)(void *ctx, size_t flow, const struct turn_in *in);
    void *ctx;
    char why[128]; /* of the first that failed */
};

/* Opens cli->flows of them, `window` at a time; each is ready when its channel is bound. false:
 * told on standard error. */
bool turn_flows_open(struct turn_flows *f, struct turn_cli *cli, const struct bk_addr *peer);
/* Takes what came in and runs the timers that are due; never sleeps. */
void turn_flows_turn(struct turn_flows *f);
/* Sends `len` bytes of whole ChannelData messages of `segment` bytes each. */
bool turn_flows_send(const struct turn_flows *f, size_t flow, const void *data, size_t len,
                     size_t segment);
/* Gives the allocations back, if cli->keep is not set, and everything else. */
void turn_flows_close(struct turn_flows *f);

#endif
