/* SPDX-License-Identifier: MIT
 * Whose is this datagram? Any number of agents share the driver's UDP sockets:
 *
 * - A Binding request names its agent: the part of USERNAME before the colon is the agent's ufrag
 *   (RFC 8445 section 7.2.2). An agent's former ones are kept, because checks under them go on
 *   until the peer knows of the restart (section 9).
 * - A response is told by its transaction id, which was noted when the request left: thousands of
 *   agents may ask the same STUN server from the same port.
 * - Everything else (data, TURN's channels and indications) is told by its two addresses, which
 *   were learned from what the agents sent. Where several agents have the same two, the one that
 *   sent there last gets it: their data cannot be told apart by anybody, so agents whose peers also
 *   share a port want ports of their own (bk_run_config.own_ports).
 *
 * Nothing is learned from what comes in, so nobody on the network can fill or turn these tables.
 * Agents are numbers here; the caller keeps what they stand for, and offers the datagram to
 * bk_ice_recv() of each, which has the last word. */
#ifndef RUN_DEMUX_H
#define RUN_DEMUX_H

#include "run/multimap.h"

#include <bodkin/addr.h>

enum {
    DEMUX_NAMES = 4,     /* ufrags of one agent that are listened to: the last three restarts */
    DEMUX_ROUTES = 1024, /* address pairs of one agent; the least useful one makes room */
    DEMUX_OFFERS = 8, /* agents a datagram is offered to at most: ufrags may be equal by chance */
    DEMUX_NOBODY = -1
};

struct demux_route {
    struct bk_addr local, remote;
    uint64_t hash;
    uint32_t owner; /* who sent there last */
    uint32_t users; /* how many agents have it; 0: free, and `owner` is the next free one */
    bool owned;     /* false: the owner left, and none of the others has sent since */
    bool heard;     /* something came in: keep it */
};

struct demux_agent {
    uint64_t names[DEMUX_NAMES]; /* hashes; names[0] is the present one */
    uint32_t name_count;
    uint32_t route_count, route_cap;
    uint32_t *routes; /* oldest first */
};

struct demux_txn {
    uint64_t hash;
    uint32_t agent;
    bool used;
};

struct demux {
    struct bk_alloc alloc;
    uint64_t seed[2];
    struct multimap names, txns, route_map;
    struct demux_agent *agents; /* by number */
    uint32_t agent_cap, joined;
    struct demux_route *routes;
    uint32_t route_cap, route_free; /* route_free: first free one, route_cap: none */
    struct demux_txn *ring;         /* the last requests that left */
    uint32_t ring_len, ring_next;
};

void demux_init(struct demux *d, const struct bk_rng *rng, const struct bk_alloc *alloc);
void demux_fini(struct demux *d);

/* Agent number `agent` is there: small numbers, used again after demux_leave(). BK_ERR_NO_MEMORY.
 */
BK_MUST_USE enum bk_err demux_join(struct demux *d, uint32_t agent);
/* Forgets all about it. */
void demux_leave(struct demux *d, uint32_t agent);
/* What it is called from now on. Cheap when that is not new. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err demux_name(struct demux *d, uint32_t agent, const char *ufrag, size_t len);
/* Learns from a datagram that the agent sends. When memory is short it learns nothing: an answer
 * gets lost, and is asked for again. */
void demux_sent(struct demux *d, uint32_t agent, const struct bk_datagram *out);

/* Whom to offer a datagram to, in this order; returns how many. */
size_t demux_find(struct demux *d, const struct bk_datagram *in, uint32_t out[DEMUX_OFFERS]);
/* Whom to offer the first message of a connection to. */
size_t demux_find_named(const struct demux *d, const char *ufrag, size_t len,
                        uint32_t out[DEMUX_OFFERS]);

#endif
