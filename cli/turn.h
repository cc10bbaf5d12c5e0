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
 *     turn_link.c       a peer by TCP (RFC 6062)
 *     turn_token.c      access tokens (RFC 7635): made, and brought
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
    struct bk_addr tcp_peer;
    uint64_t reservation; /* that this one takes */
    uint8_t token[BK_TURN_TOKEN_MAX], token_key[64];
    size_t token_len, token_key_len; /* 0: a password */
    uint32_t flows, burst, size, rate, seconds, count, window, hold, pid, lifetime;
    unsigned ways; /* set of enum turn_way */
    bool ipv6, both, dont_fragment, even_port, insecure, keep, latency, mobility, reserve;
    struct turn_result result;
};

int turn_allocate(struct turn_cli *t);
int turn_echo(struct turn_cli *t);
int turn_echo_line(struct turn_cli *t); /* the same over TCP, TLS or DTLS: one client */
int turn_flood(struct turn_cli *t);
int turn_alloc_rate(struct turn_cli *t);
int turn_binding_rate(struct turn_cli *t);

/* Reads what an authorization server gave (RFC 7635 section 4): a JSON object in a file. `kid`
 * has room for TURN_CLI_KID_MAX + 1. false: told on standard error. */
enum { TURN_CLI_KID_MAX = 64 };
bool turn_token_read(struct turn_cli *t, const char *path, char *kid);
/* Makes one, for the server of that name, with the key "KID:KEY" in base64. */
int turn_token_make(const char *server, const char *key, uint32_t lifetime_s);
/* User and password, or token. */
void turn_credentials(const struct turn_cli *t, struct bk_turn_config *c);

/* Serves loads on `at` until SIGINT or SIGTERM, or the end of the process that started it. */
int turn_peer(const struct bk_addr *at);
/* One of our own, as a child, on the address from which the server is reached: t->peer is where. */
bool turn_peer_start(struct turn_cli *t, pid_t *out);
void turn_peer_stop(pid_t pid);

#endif
