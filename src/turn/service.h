/* SPDX-License-Identifier: MIT
 * A TURN server (RFC 8656) over UDP, sans-IO: allocations, permissions, channels, and the data
 * between. Who owns sockets and time drives it:
 *
 *     turn_service_new(&config, &alloc, &rng, now, &service);
 *     for every datagram, from clients and from peers alike:
 *         turn_service_recv(service, &in, now);         in.local says which side it came in on
 *         while (turn_service_next_action(service, &action))  open or close action.addr
 *         if (turn_service_next_datagram(service, &out))      send it from out.local
 *     at turn_service_deadline(): turn_service_advance(service, now), then the actions
 *
 * One datagram in is at most one datagram out; it is valid until the next call, so drain it (after
 * the actions: an answer may speak of a port that is to be opened). Advancing sends nothing.
 *
 * `in.local` must be the address the datagram was sent to, not the wildcard. One that belongs to an
 * open relay port is the relay side, anything else the client side: listen where you like. `local`
 * and `remote` of a client, together with the protocol, are the 5-tuple. Binding requests are
 * BK_ERR_NOT_OURS: stun/service.h answers these.
 *
 * Nothing is kept for anybody before authentication, and no answer to an unauthenticated request is
 * longer than 2.6 requests, both counted as packets with their headers (28 bytes, IPv6: 48).
 * Lookups and timers are O(1). Tables are as large as what is in them: memory is taken in chunks
 * (up to the limits; there being none is 508) and given back in chunks. */
#ifndef TURN_SERVICE_H
#define TURN_SERVICE_H

#include "stun/throttle.h"
#include "turn/filter.h"
#include "turn/ledger.h"
#include "turn/token.h"
#include "turn/top.h"
#include "turn/users.h"

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>

struct turn_service; /* opaque */

enum { TURN_WORKERS_MAX = 256, TURN_OWN_PORTS = 16 };

/* Copy turn_service_config_default and change fields. Texts and lists are copied, but for users. */
struct turn_service_config {
    const char *realm;      /* 1 to 28 bytes: longer ones would make a 401 an amplifier */
    uint8_t secret[32];     /* of the nonces; random; shared by the workers of one server */
    int64_t nonce_clock_us; /* what is added to struct bk_time to have a clock that all servers of a
                               fleet with this secret agree on; 0: the server is alone */
    int64_t nonce_us;       /* life of a nonce; 1 s..1 h; 1 h, RFC 8656 section 5 */
    bool anonymous;         /* offer USERHASH, RFC 8489 section 14.4 */
    struct turn_users users;
    struct turn_tokens tokens;        /* RFC 7635; copied */
    struct throttle *throttle;        /* of answers to who has proved nothing; shared; NULL: none */
    const struct turn_ledger *ledger; /* what the workers of one server share; NULL: alone */
    uint16_t worker;                  /* this one's number, in tickets and connection numbers; 0 */
    uint16_t workers;                 /* relay ports are dealt out among them in pairs; 1 */
    struct bk_ip relay[2];  /* one IPv4 and one IPv6 address, either may be missing (family NONE):
                               where relay ports are opened */
    struct bk_ip public[2]; /* what clients are told instead, behind a 1:1 NAT; NONE: the same */
    uint16_t port_min, port_max;        /* of relay ports; 49152..65535, RFC 8656 section 7.2 */
    uint16_t own_ports[TURN_OWN_PORTS]; /* of these, none: the server itself is there; 0: no port */
    uint32_t allocations_max;           /* 1..1000000; 1000 */
    uint32_t per_user_max;              /* allocations of one user, else 486; 100 */
    uint32_t permissions_max;           /* of one allocation, else 508; 1..65535; 64 */
    uint32_t channels_max;              /* of one allocation, else 508; 1..4096; 64 */
    uint32_t permissions_all; /* of all allocations together; 0: 4 for each of allocations_max */
    uint32_t channels_all;    /* the same */
    /* Quotas, else 486; 0: none. An address is an IPv4 address or an IPv6 /56. The ledger counts
     * them in all workers together. */
    uint32_t per_address_max;         /* allocations; 1000 */
    uint32_t permissions_per_user;    /* 4096 */
    uint32_t permissions_per_address; /* 16384 */
    uint32_t channels_per_user;       /* 4096 */
    uint32_t channels_per_address;    /* 16384 */
    uint64_t bytes_per_s;             /* of one allocation, both ways together; 125000000 */
    uint64_t user_bytes_per_s;        /* of a user's allocations together; 250000000 */
    bool tcp;                         /* TCP allocations, RFC 6062; else they get 442 */
    uint32_t connections_all;         /* with peers, of all TCP allocations; 1..65536; 4096 */
    bool shared;   /* several allocations share a relay port when none is free: service_share.c */
    bool mobility; /* RFC 8016; else its clients get 405 */
    bool flows;    /* tell of channels that a fast path could carry */
    uint32_t lifetime_s;       /* default; 600, RFC 8656 section 6 */
    uint32_t lifetime_max_s;   /* 3600, RFC 8656 section 7.2 */
    bool dont_fragment;        /* the caller heeds `dont_fragment` of routes; false: 420 */
    struct turn_filter filter; /* peers; by default only global addresses */
};

extern const struct turn_service_config turn_service_config_default;
/* Names the first field out of range, or NULL. */
const char *turn_service_config_check(const struct turn_service_config *config);

/* BK_ERR_ARGUMENT: turn_service_config_check() says which field. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err turn_service_new(const struct turn_service_config *config,
                                         const struct bk_alloc *alloc, const struct bk_rng *rng,
                                         struct bk_time now, struct turn_service **out);
/* Wipes. NULL is fine. The caller closes what it opened. */
void turn_service_free(struct turn_service *service);

/* Other limits from now on: the quotas, bandwidths and the filter of `config`, whose lists are
 * copied; the rest of it is not looked at. What was granted stays; a permission that is no longer
 * allowed is not renewed. BK_ERR_ARGUMENT, BK_ERR_NO_MEMORY: nothing changed. */
BK_MUST_USE enum bk_err turn_service_change(struct turn_service *service,
                                            const struct turn_service_config *config);

/* Answers, relays or drops. BK_OK: it was TURN (an error answer counts as that too).
 * BK_ERR_UNREACHABLE: whether there is such a user is not known yet (users.h); keep the datagram
 * and hand it in again when it is. BK_ERR_NOT_OURS: another protocol, Binding, or data without a
 * permission. BK_ERR_MALFORMED, BK_ERR_SHORT: dropped. */
BK_MUST_USE enum bk_err turn_service_recv(struct turn_service *service,
                                          const struct bk_datagram *in, struct bk_time now);
/* An ICMP error: the network said that `peer` cannot be reached from relay port `local`. */
struct turn_icmp {
    struct bk_addr local, peer;
    uint8_t type, code;
    uint32_t mtu; /* of the next hop, where the error is about that */
};
/* RFC 8656 section 11.5. BK_ERR_NOT_OURS: nobody is to be told. */
BK_MUST_USE enum bk_err turn_service_icmp(struct turn_service *service,
                                          const struct turn_icmp *error, struct bk_time now);
void turn_service_advance(struct turn_service *service, struct bk_time now);
struct bk_time turn_service_deadline(const struct turn_service *service);
bool turn_service_next_datagram(struct turn_service *service, struct bk_datagram *out);

enum turn_action_kind {
    TURN_OPEN,     /* bind a socket to `addr`; BK_TCP: listen there (RFC 6062) */
    TURN_CLOSE,    /* close it */
    TURN_CONNECT,  /* RFC 6062 section 5.2: connect from `addr` to `peer`, then say how it went with
                      turn_service_connected() */
    TURN_JOIN,     /* RFC 6062 section 5.4: once the answer has left, the stream `via` and peer
                      connection `connection` are one */
    TURN_CUT,      /* close peer connection `connection`, and the stream it is joined to */
    TURN_FLOW,     /* a channel came to be or lives longer: `flow`, for a fast path */
    TURN_FLOW_END, /* it is gone: stop before the next datagram is fetched */
    TURN_PASS      /* the datagram just handed in belongs to worker `worker`; so do all later ones
                      of this 5-tuple, until turn_service_recv() takes one here */
};

/* A bound channel of a client that came over UDP: both directions can be carried without asking
 * the service, as long as `expires` is not reached. What it carries it reports with
 * turn_service_sent(); then fetch the actions: a user who is over its bandwidth loses its flows. */
struct turn_flow {
    uint32_t id; /* names it until TURN_FLOW_END; TURN_FLOW for a known id changes it */
    uint32_t alloc;
    struct bk_addr client, server; /* of the 5-tuple */
    struct bk_addr relay, peer;
    uint16_t channel;
    struct bk_time expires; /* of channel, permission and allocation, the first */
    uint64_t bytes_per_s;   /* of the allocation, both directions together; 0: no limit */
};

struct turn_action {
    enum turn_action_kind kind;
    uint8_t protocol; /* OPEN, CLOSE: enum bk_protocol */
    uint16_t worker;
    uint32_t connection;
    struct bk_addr addr, peer;
    void *via;
    struct turn_flow flow;
};
bool turn_service_next_action(struct turn_service *service, struct turn_action *out);
/* It could not be opened; say so before fetching the datagram, and go on with the actions: another
 * port is asked for, a few times, and the answer becomes one of that port, or 508. The port is not
 * drawn for a minute. BK_ERR_NO_MEMORY: no port could be opened now (descriptors, memory). The
 * bytes of the request must still be there. */
void turn_service_cannot_open(struct turn_service *service, const struct bk_addr *addr,
                              enum bk_err err, struct bk_time now);
/* It is open, and this is what routes to peers shall carry for it. Not calling this is fine. */
void turn_service_opened(struct turn_service *service, const struct bk_addr *addr, void *socket);

/* The protocol of a client's datagrams that are not plain: both are like BK_UDP, but 5-tuples of
 * their own, and none of a fast path's flows. */
enum turn_protocol {
    TURN_DTLS = BK_TCP + 1,
    TURN_PROXIED /* over UDP, through a proxy: `remote` is what the proxy says */
};

/* ---- Doors, and data without copies --------------------------------------------------------- */

/* The door through which the datagrams that follow come from clients: an allocation remembers the
 * one it was made through (RFC 8016: or moved to), and routes to the client carry it. */
void turn_service_from(struct turn_service *service, void *via);
/* What comes through it cannot be passed to another worker (a DTLS session stays where its keys
 * are): instead of TURN_PASS, a ticket of another worker's is refused, and the client allocates
 * anew. */
void turn_service_stay(struct turn_service *service, bool stays);
/* The door for the datagram that turn_service_next_datagram() has just given, when it goes to a
 * client: the one its allocation remembers (ConnectionAttempt, the answer to Connect, data that a
 * peer sent). NULL: the one it came through, or it goes to a peer. */
void *turn_service_via(const struct turn_service *service);
/* A client's stream or DTLS session has ended, and with it (RFC 8656 section 3.2) its allocation.
 */
void turn_service_left(struct turn_service *service, const struct bk_datagram *client,
                       struct bk_time now);

enum { TURN_HEAD_MAX = 48 }; /* a Data indication up to its data, with an IPv6 peer */

/* Where a datagram goes, and how: `head`, then `len` bytes of it from `skip` on, then `pad` zeros.
 */
struct turn_route {
    bool to_client;
    void *via; /* to a client: its door; to a peer: what turn_service_opened() said */
    struct bk_addr local, remote;
    uint32_t alloc, chan; /* for turn_service_sent(); chan TURN_NONE: no channel */
    uint32_t skip, len;
    uint8_t head_len, pad, protocol;
    bool dont_fragment; /* RFC 8656 section 11.2; only where the configuration has it */
    uint8_t head[TURN_HEAD_MAX];
};

/* The way of data (ChannelData, Send indications, datagrams of peers), nothing copied or counted.
 * What holds for one datagram with a channel holds for all of its 5-tuple handed in before the next
 * call to anything else here: from clients those with the same four first bytes, from peers those
 * of the same length. BK_ERR_NOT_OURS: not data; ask turn_service_recv(). BK_ERR_AUTH: no
 * permission or channel: dropped and counted. BK_ERR_FULL: over its bandwidth: dropped and counted.
 * BK_ERR_MALFORMED, BK_ERR_TOO_LONG: dropped and counted. */
BK_MUST_USE enum bk_err turn_service_route(struct turn_service *service,
                                           const struct bk_datagram *in, struct bk_time now,
                                           struct turn_route *out);
/* So much was sent along a route, or (chan of a flow) by a fast path; `bytes` of data. */
struct turn_sent {
    uint32_t alloc, chan;
    bool to_client;
    uint64_t packets, bytes;
};
void turn_service_sent(struct turn_service *service, const struct turn_sent *sent,
                       struct bk_time now);

/* ---- TCP allocations, RFC 6062 ------------------------------------------------------------------
 */

/* The sockets and bytes are the caller's. What happens, in order:
 *
 *     Allocate over a stream      TURN_OPEN with BK_TCP: listen, and say whether it is open
 *     Connect                     TURN_CONNECT: connect from action.addr (beside the socket that
 *                                 listens, with SO_REUSEADDR) to action.peer. No answer yet.
 *       ... up or not, within 30 s: turn_service_connected(), then fetch the answer (it goes to
 *                                 turn_service_via()); not up: the number is gone already
 *     a peer connects             turn_service_accepted(), then fetch ConnectionAttempt
 *     ConnectionBind on stream X  BK_OK; TURN_JOIN with action.via = what turn_service_from() was
 *                                 told for X; then the answer, and after it X carries no more
 *                                 messages but bytes (RFC 6062 section 5.4). Until then
 *                                 peers are not read from.
 *                                 TURN_PASS instead: it belongs to another worker; pass on X.
 *     30 s without ConnectionBind TURN_CUT
 *     the allocation ends         TURN_CUT for each connection, TURN_CLOSE for the port
 *     an end of either stream     turn_service_disconnected(): no TURN_CUT follows; the other
 *                                 stream is the caller's to end (RFC 6062 section 5.5)
 *
 * A connection is known by its number until TURN_CUT, turn_service_disconnected(), or
 * turn_service_connected() with an error. */

/* How TURN_CONNECT ended; then fetch the datagram, which is the answer to Connect. Must be called,
 * after 30 s at the latest (BK_ERR_TIMEOUT or any other error: 447). */
void turn_service_connected(struct turn_service *service, uint32_t connection, enum bk_err err,
                            struct bk_time now);
/* Somebody connected to a listening relay port. BK_OK: keep it, paused, under this number, and
 * fetch the datagram (ConnectionAttempt). BK_ERR_AUTH: no permission, close it. BK_ERR_FULL. */
BK_MUST_USE enum bk_err turn_service_accepted(struct turn_service *service,
                                              const struct bk_addr *local,
                                              const struct bk_addr *peer, struct bk_time now,
                                              uint32_t *connection);
/* A peer connection has ended, joined or not. */
void turn_service_disconnected(struct turn_service *service, uint32_t connection,
                               struct bk_time now);

/* ---- Draining
 * ------------------------------------------------------------------------------------ */

/* From now on new allocations get 300 with this server (RFC 8489 section 10), or, family NONE, 508.
 * NULL: no longer. */
void turn_service_drain(struct turn_service *service, const struct bk_addr *alternate);
/* The same, and the name that is in its certificate (ALTERNATE-DOMAIN, RFC 8489 section 14.16);
 * NULL: none. Cut after 255 bytes. */
void turn_service_drain_to(struct turn_service *service, const struct bk_addr *alternate,
                           const char *domain);

/* ---- Secrets -------------------------------------------------------------------------------- */

/* Changes the secret that nonces and mobility tickets are made with; what was made with `previous`
 * is good, too (NULL: nothing is). In a fleet (nonce_clock_us): first give everyone the new one as
 * `previous`, then as `current` with the old one behind it, and drop that after an hour. */
void turn_service_set_secret(struct turn_service *service, const uint8_t current[32],
                             const uint8_t previous[32]);

/* Other keys of tokens (RFC 7635) from now on, none included; copied. Who began with a token of a
 * key that is gone cannot go on: change them as the above. BK_ERR_ARGUMENT, BK_ERR_NO_MEMORY:
 * nothing changed. */
BK_MUST_USE enum bk_err turn_service_set_tokens(struct turn_service *service,
                                                const struct turn_tokens *tokens);

/* ---- Handing over -------------------------------------------------------------------------------
 *
 * Allocations as bytes, for a new process that takes over: the old one exports each and stops, the
 * new one, with the same configuration and the same number of workers, imports it at the worker of
 * the same number. The sockets of relay ports go another way (SCM_RIGHTS). TCP allocations stay
 * behind, and so do peer connections, reservations and mobility tickets: the first Refresh
 * brings a new ticket. */

/* Enough for any allocation of this service. */
size_t turn_service_export_max(const struct turn_service *service);
/* What became bytes, so that the caller knows whose sockets go with them. */
struct turn_exported {
    uint32_t alloc;
    size_t len;                /* of the bytes */
    struct bk_datagram client; /* its 5-tuple */
    struct bk_addr relay[2];   /* family NONE: not of this family */
};
/* The next allocation, in `buf`. *cursor: 0 at first. false: there are no more. What is left of
 * times is as of the last turn_service_advance(). */
bool turn_service_export(const struct turn_service *service, uint32_t *cursor, uint8_t *buf,
                         size_t cap, struct turn_exported *out);
/* It lives on in the other process: ends here, without a sign to anybody (fetch the actions: the
 * sockets here are closed). Clients that stay may go on sending to its relay ports. */
void turn_service_exported(struct turn_service *service, const struct turn_exported *what,
                           struct bk_time now);
/* Relay ports that another process of this server has: may clients here send to them? */
void turn_service_elsewhere(struct turn_service *service, const struct bk_addr *relay, bool open);
struct turn_imported {
    struct bk_datagram client; /* its 5-tuple */
    struct bk_addr relay[2];   /* family NONE: not of this family */
};
/* Takes one over: *out says which relay ports it has; no TURN_OPEN follows, say
 * turn_service_opened(). Its door is the one of turn_service_from(). Fetch the actions: what failed
 * half way closes the ports it had got. BK_ERR_MALFORMED: not made by an export, or of another
 * version. BK_ERR_ARGUMENT: it does not fit this configuration. BK_ERR_FULL: no room, over a quota,
 * or what it has is somebody's. BK_ERR_TIMEOUT: it has ended meanwhile. */
BK_MUST_USE enum bk_err turn_service_import(struct turn_service *service, const uint8_t *bytes,
                                            size_t len, struct bk_time now,
                                            struct turn_imported *out);

/* ---- What was refused ----------------------------------------------------------------------- */

enum turn_rule {
    TURN_RULE_CREDENTIALS, /* 401: wrong ones */
    TURN_RULE_OTHER_USER,  /* 441 */
    TURN_RULE_PEER,        /* 403: the filter */
    TURN_RULE_USER_ALLOCATIONS,
    TURN_RULE_USER_PERMISSIONS,
    TURN_RULE_USER_CHANNELS,
    TURN_RULE_USER_BANDWIDTH,
    TURN_RULE_ADDRESS_ALLOCATIONS,
    TURN_RULE_ADDRESS_PERMISSIONS,
    TURN_RULE_ADDRESS_CHANNELS,
    TURN_RULE_ALLOCATION_PERMISSIONS,
    TURN_RULE_ALLOCATION_CHANNELS,
    TURN_RULE_ALLOCATION_BANDWIDTH, /* told once for as long as it lasts */
    TURN_RULE_ALLOCATIONS,          /* 508: allocations_max */
    TURN_RULE_PORTS,                /* 508: no relay port left */
    TURN_RULE_ROOM,                 /* 508: another table is full */
    TURN_RULE_DRAINING,             /* 300, 508 */
    TURN_RULE_DESCRIPTORS,          /* 508: the system opens no more sockets */
    TURN_RULE_SHARED_PORT,          /* 508: another client at this relay port has that peer */
    TURN_RULES
};

enum { TURN_REFUSAL_USER_MAX = 48 };

/* One for each refusal; the oldest are lost when nobody fetches them. */
struct turn_refusal {
    enum turn_rule rule;
    uint16_t code; /* of the answer; 0: there was none (bandwidth) */
    struct bk_addr client;
    struct bk_addr peer;              /* TURN_RULE_PEER; else family NONE */
    uint64_t user;                    /* 0: nobody was proved */
    char name[TURN_REFUSAL_USER_MAX]; /* who was claimed, cut short; "": only a hash was sent */
};
/* false: no more. */
bool turn_service_next_refusal(struct turn_service *service, struct turn_refusal *out);
/* A phrase for logs: "quota of the user: allocations" ... */
const char *turn_rule_name(enum turn_rule rule);

/* What became of the datagrams so far. */
enum turn_count {
    TURN_COUNT_ALLOCATED,
    TURN_COUNT_REFRESHED,
    TURN_COUNT_PERMITTED,
    TURN_COUNT_BOUND,
    TURN_COUNT_CHALLENGED,   /* 401 without credentials */
    TURN_COUNT_UNAUTHORIZED, /* 401 with wrong ones */
    TURN_COUNT_STALE,        /* 438 */
    TURN_COUNT_FORBIDDEN,    /* 403: a peer that is not allowed */
    TURN_COUNT_REFUSED,      /* other error answers */
    TURN_COUNT_TO_PEER,      /* data */
    TURN_COUNT_TO_CLIENT,
    TURN_COUNT_DROP_PEER, /* data of or for a peer without permission or channel */
    TURN_COUNT_DROP_MALFORMED,
    TURN_COUNT_DROP_OTHER,     /* not TURN, or for no allocation */
    TURN_COUNT_DROP_SMALL,     /* a request too short to be answered without amplifying */
    TURN_COUNT_EXPIRED,        /* allocations */
    TURN_COUNT_DROP_BANDWIDTH, /* data over its bandwidth */
    TURN_COUNT_DROP_THROTTLED, /* requests whose network has had too many answers */
    TURN_COUNT_MOVED,          /* allocations, to another address of their client's (RFC 8016) */
    TURN_COUNTS
};

struct turn_service_info {
    uint64_t counts[TURN_COUNTS];
    uint64_t refused[TURN_RULES];
    uint32_t allocations, permissions, channels; /* now */
    uint32_t flows;                              /* now, with a fast path */
    uint64_t bytes[2];                           /* of data so far: to peers, to clients */
};
void turn_service_info(const struct turn_service *service, struct turn_service_info *out);
/* A word for logs and metrics: "allocated", "drop_peer" ... */
const char *turn_count_name(enum turn_count count);

/* Looks at a few thousand more users. true: that were all of them, and *out is who has the most;
 * the next call begins again. Once a second is right. */
bool turn_service_top(struct turn_service *service, struct turn_top *out);

#endif
