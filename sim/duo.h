/* SPDX-License-Identifier: MIT
 * The standard scene for sessions: alice connects to bob, each behind a NAT box of its own, with a
 * home server (relay and STUN on two ports) in the core. Real endpoints, relay and STUN code on
 * virtual time. Alice sends a stream of known bytes; bob checks every one of them.
 *
 *     198.51.100.1 server ─ core ─┬─ 203.0.113.1 nat "a" ─ 192.168.1.2 alice
 *                                 └─ 203.0.113.2 nat "b" ─ 192.168.1.2 bob
 */
#ifndef SIM_DUO_H
#define SIM_DUO_H

#include "sim/actor_peer.h"
#include "sim/actor_relay.h"
#include "sim/actor_stun.h"
#include "sim/world.h"

struct duo_config {
    uint64_t seed;
    const char *nat_a, *nat_b; /* presets of nat_preset(); NULL: no box, a public address */
    bool one_nat;              /* bob is behind alice's box, too */
    bool ipv6;                 /* public IPv6 addresses behind stateful firewalls, no IPv4 */
    struct world_link link;    /* of each NAT box (or host without one) to the core */
    int64_t signal_hold_us;    /* alice reads bob's signalling so much later, and starts later */
    uint64_t bytes;            /* what alice sends; 0: the first byte only */
    uint64_t bytes_back;       /* what bob sends */
    bool relay_only;           /* alice stays on the relay */
    bool beacons;              /* both call out on their networks */
    bool private_addresses;    /* neither tells its own addresses to strangers */
    bool subnets;              /* with one_nat: bob is on another network behind it, 192.168.2 */
    bool clat;                 /* alice has IPv4 by a translator of her own, 464XLAT: 192.0.0.2 */
    bool ipv6_too;             /* public IPv6 addresses behind stateful firewalls, and IPv4 */
    const struct nat_config *box_a, *box_b; /* instead of a preset; addresses are chosen here */
    bool surveyed; /* each side knows what its own box does, as a survey would find out, and how far
                      a packet gets through it */
    bool wrong_secret;        /* alice shows a secret bob does not know */
    struct bk_trace trace[2]; /* alice's, bob's */
};
extern const struct duo_config duo_config_default; /* both NATs "home", 20 ms, no loss */

struct duo_side {
    struct sim_peer peer;
    struct duo *duo;
    struct session *session;
    bool listener, has_stream, hello_done, finished, received_end, ended;
    int64_t stream;
    uint64_t sent, received, to_send;
    bool corrupt;
    enum session_end end;
    unsigned path_changes;
    enum why why; /* of the last relayed path */
    /* Points in time; BK_NEVER: has not happened. */
    struct bk_time home, started, secured, exchanged, first_byte, direct, relayed, last_progress;
    int64_t longest_gap_us; /* between bytes received, since gap_from */
};

struct duo {
    struct duo_config config;
    struct world *world;
    struct bk_alloc alloc;
    node_id server, box_a, box_b, host_a, host_b;
    struct sim_stun stun;
    struct sim_relay relay;
    struct duo_side a, b;
    uint8_t secret[TICKET_SECRET_LEN];
};

BK_MUST_USE enum bk_err duo_init(struct duo *d, const struct duo_config *config,
                                 const struct bk_alloc *alloc);
void duo_fini(struct duo *d);
/* Run until so (true), or for at most `us` (false). */
bool duo_run_until_direct(struct duo *d, int64_t us);  /* both sides */
bool duo_run_until_relayed(struct duo *d, int64_t us); /* both sides */
bool duo_run_until_done(struct duo *d, int64_t us);    /* everything sent has arrived */
bool duo_run_until_ended(struct duo *d, int64_t us);   /* both sessions are over */
/* Is the path direct now? */
bool duo_side_is_direct(const struct duo_side *side);

#endif
