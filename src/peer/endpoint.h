/* SPDX-License-Identifier: MIT
 * This machine as a peer: one identity, its UDP sockets, its home relay, and all its sessions. It
 * does no I/O: node/node.h joins it to a real network, sim/ to a simulated one.
 *
 * After every call that takes `now`, and after using a session's QUIC: drain
 * endpoint_next_datagram(), endpoint_next_relay() while the relay takes more, and
 * endpoint_next_event(); then read endpoint_deadline() again and call endpoint_advance() by then.
 *
 * Every packet on the relay starts with a byte that says what it is: DERP_SIGNAL_BYTE a sealed
 * signalling message (signal.h), 'Q' a train of QUIC packets: u16 segment size (0: one packet),
 * packets. */
#ifndef PEER_ENDPOINT_H
#define PEER_ENDPOINT_H

#include "peer/beacon.h"
#include "peer/session.h"
#include "peer/sockets.h"

#include <bodkin/addr.h>

struct endpoint;

enum {
    ENDPOINT_SESSIONS_MAX = 1024,
    ENDPOINT_RELAY_MAX = 65536,
    ENDPOINT_MAPPED_MAX = 4,
    ENDPOINT_SOCKETS_MAX = SOCKETS_MAX
};

struct endpoint_mapped {
    struct bk_addr base, external;
    struct bk_addr router; /* tells foundations apart, RFC 8445 section 5.1.1.3 */
};

struct endpoint_config {
    const struct identity *identity; /* copied */
    struct bk_rng rng;               /* kept */
    struct bk_alloc alloc;           /* kept */
    struct bk_trace trace;
    uint32_t sessions_max;  /* 1..ENDPOINT_SESSIONS_MAX; default 64 */
    bool relay_only;        /* no direct paths; default false */
    bool private_addresses; /* this machine's own addresses are told to peers on the same link only;
                               default false */
    bool no_beacons;        /* peers on the same link are not looked for; default false */
};
extern const struct endpoint_config endpoint_config_default;

enum endpoint_event_type {
    ENDPOINT_INCOMING, /* `session` was started by a peer that may; events of its own follow */
    ENDPOINT_SESSION,  /* `event` of `session` */
    ENDPOINT_REFUSED   /* somebody who may not come in tried: `peer`, `refusal`; already answered */
};

struct endpoint_event {
    enum endpoint_event_type type;
    struct session *session;
    struct session_event event;
    struct peer_key peer;
    enum signal_refusal refusal;
};

/* A packet for the relay. Views, valid until the next call on the endpoint. */
struct endpoint_relay_packet {
    const uint8_t *to; /* relay key */
    const uint8_t *data;
    size_t len;
};

/* What was dropped, by reason. */
struct endpoint_counts {
    uint64_t relay_unknown;    /* neither signalling nor QUIC */
    uint64_t signal_refused;   /* signalling that could not be opened or read */
    uint64_t signal_stray;     /* signalling for a session we do not have */
    uint64_t quic_stray;       /* QUIC packets for no session, or from the wrong peer */
    uint64_t stun_stray;       /* STUN for nobody */
    uint64_t datagram_unknown; /* neither STUN nor QUIC */
    uint64_t offers_refused;
};

/* BK_ERR_ARGUMENT, BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err endpoint_new(const struct endpoint_config *config, struct endpoint **out);
void endpoint_free(struct endpoint *ep); /* sessions too */

/* --- surroundings --- */

/* The addresses (with the UDP socket's port) this machine can send from; call again when they
 * change. */
void endpoint_set_bases(struct endpoint *ep, const struct bk_addr *bases, size_t count,
                        struct bk_time now);
/* The home's STUN addresses. */
void endpoint_set_stun(struct endpoint *ep, const struct bk_addr *servers, size_t count,
                       struct bk_time now);
/* The prefix of the network's NAT64, for a machine without IPv4; length 0: there is none. */
void endpoint_set_nat64(struct endpoint *ep, const struct nat64_prefix *prefix, struct bk_time now);
/* The addresses that a router gave us, each with the base it leads to (portmap.h): candidates like
 * server-reflexive ones. At most ENDPOINT_MAPPED_MAX are used. */
void endpoint_set_mapped(struct endpoint *ep, const struct endpoint_mapped *list, size_t count,
                         struct bk_time now);
void endpoint_relay_up(struct endpoint *ep, bool up, struct bk_time now);
/* The local networks this machine is attached to, with the UDP sockets' ports; call again when they
 * change. */
void endpoint_set_links(struct endpoint *ep, const struct beacon_link *links, size_t count,
                        struct bk_time now);
/* What the NAT in front of this machine does, as bodkin/natcheck.h finds out, and the TTL with
 * which a packet passes it and dies soon after (0: not known). Peers are told. */
void endpoint_set_nat(struct endpoint *ep, const struct bk_nat_traits *nat, uint8_t opener_ttl,
                      struct bk_time now);

/* A UDP socket beside the shared ones: IPv4, the wildcard address. Datagrams of
 * endpoint_next_datagram() whose local port is its own leave from it; what it receives goes into
 * endpoint_recv() with that port in in->local. */
struct endpoint_socket {
    bool open;     /* answer with endpoint_opened(); else close it */
    uint16_t id;   /* below ENDPOINT_SOCKETS_MAX; after closing it may mean another one */
    uint16_t port; /* to open: the port that is wanted, if it is free; 0: any */
};
/* Drain it before and after endpoint_next_datagram(): either may wait for the other. */
bool endpoint_next_socket(struct endpoint *ep, struct bk_time now, struct endpoint_socket *out);
/* `port` 0: it could not be opened. */
void endpoint_opened(struct endpoint *ep, uint16_t id, uint16_t port, struct bk_time now);

/* --- packets --- */

void endpoint_relay_recv(struct endpoint *ep, const uint8_t from[PEER_KEY_LEN], const uint8_t *data,
                         size_t len, struct bk_time now);
/* The relay says that a peer disconnected or, `not_here`, that it has not been connected at all. */
void endpoint_peer_gone(struct endpoint *ep, const uint8_t key[PEER_KEY_LEN], bool not_here,
                        struct bk_time now);
void endpoint_recv(struct endpoint *ep, const struct bk_datagram *in, struct bk_time now);
void endpoint_advance(struct endpoint *ep, struct bk_time now);
struct bk_time endpoint_deadline(const struct endpoint *ep);
bool endpoint_next_datagram(struct endpoint *ep, struct bk_time now, struct bk_datagram *out);
/* Call only when the relay takes a packet of ENDPOINT_RELAY_MAX. */
bool endpoint_next_relay(struct endpoint *ep, struct bk_time now,
                         struct endpoint_relay_packet *out);
bool endpoint_next_event(struct endpoint *ep, struct endpoint_event *out);

/* Is there a session whose peer may call on a local network? While there is, listen on BEACON_PORT
 * of every link for what is sent to one and all, and on the sockets that beacons leave from. */
bool endpoint_wants_beacons(const struct endpoint *ep);
/* Such a packet, with the hop limit it came with in in->ttl. */
void endpoint_beacon_recv(struct endpoint *ep, uint32_t link, const struct bk_datagram *in,
                          struct bk_time now);
/* To be sent with the hop limit BEACON_HOPS. */
bool endpoint_next_beacon(struct endpoint *ep, struct bk_time now, struct beacon_packet *out);
/* true once when the home connection should be asked whether it is alive: relay_client_doubt(). */
bool endpoint_take_home_doubt(struct endpoint *ep);

/* --- who may come in --- */

BK_MUST_USE enum bk_err endpoint_add_secret(struct endpoint *ep,
                                            const uint8_t secret[TICKET_SECRET_LEN]);
BK_MUST_USE enum bk_err endpoint_add_peer(struct endpoint *ep, const struct peer_key *peer);

/* --- sessions --- */

/* Starts a session. Its events come through endpoint_next_event(). BK_ERR_FULL: sessions_max.
 * BK_ERR_ARGUMENT: an unusable key, or our own. */
BK_MUST_USE enum bk_err endpoint_connect(struct endpoint *ep, const struct session_offer *offer,
                                         struct bk_time now, struct session **out);
/* Forgets a session; after its SESSION_ENDED, or at any time without a goodbye. */
void endpoint_release(struct endpoint *ep, struct session *s);

/* session_close() on every session. true: there was one. */
bool endpoint_close_all(struct endpoint *ep, uint64_t code, const char *reason, struct bk_time now);

const struct endpoint_counts *endpoint_counts(const struct endpoint *ep);
enum signal_udp endpoint_udp(const struct endpoint *ep);
enum signal_mapping endpoint_mapping(const struct endpoint *ep);

#endif
