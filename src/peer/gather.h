/* SPDX-License-Identifier: MIT
 * What this machine's network looks like from outside: asks the home's STUN server from every local
 * address, again and again, which keeps the NAT's mappings fresh and notices when they change. Two
 * ports of one server are asked from the same socket: two different answers mean a NAT whose
 * mapping depends on the destination (RFC 4787 section 4.1), which is worth telling the user. */
#ifndef PEER_GATHER_H
#define PEER_GATHER_H

#include "peer/signal.h"
#include "stun/client.h"

enum {
    GATHER_BASES_MAX = 8,   /* local addresses */
    GATHER_SERVERS_MAX = 4, /* STUN server addresses: one or two ports, one or two families */
    GATHER_CLIENTS_MAX = GATHER_BASES_MAX * GATHER_SERVERS_MAX
};

struct gather {
    struct bk_rng rng;
    struct bk_addr bases[GATHER_BASES_MAX];
    size_t base_count;
    struct bk_addr servers[GATHER_SERVERS_MAX];
    size_t server_count;
    struct gather_query {
        struct stun_client client;
        size_t base;
        bool answered, over; /* over: answered, or failed at least once */
    } queries[GATHER_CLIENTS_MAX];
    size_t query_count;
    bool dirty; /* gather_take_change() */
};

void gather_init(struct gather *g, const struct bk_rng *rng);
/* Replaces the local addresses (at most GATHER_BASES_MAX are used) and starts anew. */
void gather_set_bases(struct gather *g, const struct bk_addr *bases, size_t count,
                      struct bk_time now);
/* Replaces the servers (at most GATHER_SERVERS_MAX are used) and starts anew. */
void gather_set_servers(struct gather *g, const struct bk_addr *servers, size_t count,
                        struct bk_time now);
/* Asks everything now. */
void gather_ask_now(struct gather *g, struct bk_time now);

/* BK_ERR_NOT_OURS: not an answer to one of our questions. */
BK_MUST_USE enum bk_err gather_recv(struct gather *g, const struct bk_datagram *in,
                                    struct bk_time now);
void gather_advance(struct gather *g, struct bk_time now);
struct bk_time gather_deadline(const struct gather *g);
bool gather_next_datagram(struct gather *g, struct bk_datagram *out);

/* Number of server-reflexive addresses known, and the one at `index` as an ICE candidate. */
size_t gather_mapped_count(const struct gather *g);
void gather_mapped(const struct gather *g, size_t index, struct bk_ice_candidate *out);
/* true once after an answer, a failure, or a change of an address. */
bool gather_take_change(struct gather *g);
/* Every question has been answered or has failed once. */
bool gather_is_complete(const struct gather *g);
enum signal_udp gather_udp(const struct gather *g);
enum signal_mapping gather_mapping(const struct gather *g);

#endif
