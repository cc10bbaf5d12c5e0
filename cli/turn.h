/* SPDX-License-Identifier: MIT
 * The parts of `bodkin turn`, a TURN client that measures servers. Who does what:
 *
 *     turn.c            the command line
 *     turn_allocate.c   one allocation, over UDP, TCP, TLS or DTLS: what do I get? Echoes over the
 *                       latter three
 *     turn_flows.c      many allocations with a channel to one peer, each on its own UDP socket
 *     turn_flood.c      loads them: bursts, rates, both ways; echo measures round trips
 *     turn_peer.c       the other end of the loads, which may be another machine
 *     turn_rate.c       allocations and Binding answers per second
 *     turn_socket.c     UDP in batches
 *     turn_usage.c      what a server's process uses
 *     turn_histogram.c  percentiles
 *     turn_result.c     what was measured, for people or as one JSON object
 *
 * It does not use net/udp.h: the load must be far cheaper than any server, so it sleeps by the
 * clock, not by readiness (nobody then pays for waking it), and one thread owns thousands of
 * sockets that send the same train. */
#ifndef CLI_TURN_H
#define CLI_TURN_H

#include "cli/options.h"
#include "cli/turn_result.h"
#include "sdp/uri.h"

#include <bodkin/turn.h>
#include <sys/types.h>

enum turn_way { TURN_UP = 1, TURN_DOWN = 2 };

struct turn_cli {
    struct server_uri uri;
    struct bk_addr server; /* of `uri`, resolved */
    struct bk_addr peer;   /* family NONE: one of our own */
    struct bk_addr from[OPTION_LIST_MAX];
    size_t from_count;
    const char *user, *password, *ca_file;
    uint32_t flows, burst, size, rate, seconds, count, window, hold, pid, lifetime;
    unsigned ways; /* set of enum turn_way */
    bool ipv6, both, dont_fragment, even_port, insecure, keep, latency;
    struct turn_result result;
};

int turn_allocate(struct turn_cli *t);
int turn_echo(struct turn_cli *t);
int turn_echo_line(struct turn_cli *t); /* the same over TCP, TLS or DTLS: one client */
int turn_flood(struct turn_cli *t);
int turn_alloc_rate(struct turn_cli *t);
int turn_binding_rate(struct turn_cli *t);

/* Serves loads on `at` until SIGINT or SIGTERM, or the end of the process that started it. */
int turn_peer(const struct bk_addr *at);
/* One of our own, as a child, on the address from which the server is reached: t->peer is where. */
bool turn_peer_start(struct turn_cli *t, pid_t *out);
void turn_peer_stop(pid_t pid);

#endif
