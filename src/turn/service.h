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
 * Memory is taken at creation, from the limits. All lookups are O(1), timers O(log n). */
#ifndef TURN_SERVICE_H
#define TURN_SERVICE_H

#include "turn/filter.h"
#include "turn/users.h"

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>

struct turn_service; /* opaque */

/* Copy turn_service_config_default and change fields. Texts and lists are copied, but for users. */
struct turn_service_config {
    const char *realm;  /* 1 to 28 bytes: longer ones would make a 401 an amplifier */
    uint8_t secret[32]; /* of the nonces; random; shared by the workers of one server */
    int64_t nonce_us;   /* life of a nonce; 1 s..1 h; 1 h, RFC 8656 section 5 */
    bool anonymous;     /* offer USERHASH, RFC 8489 section 14.4 */
    struct turn_users users;
    struct bk_ip relay[2];  /* one IPv4 and one IPv6 address, either may be missing (family NONE):
                               where relay ports are opened */
    struct bk_ip public[2]; /* what clients are told instead, behind a 1:1 NAT; NONE: the same */
    uint16_t port_min, port_max; /* of relay ports; 49152..65535, RFC 8656 section 7.2 */
    uint32_t allocations_max;    /* 1..1000000; 1000 */
    uint32_t per_user_max;       /* allocations of one user, else 486; 100 */
    uint32_t permissions_max;    /* of one allocation, else 508; 1..65535; 64 */
    uint32_t channels_max;       /* of one allocation, else 508; 1..4096; 64 */
    uint32_t permissions_all;    /* of all allocations together; 0: 4 for each of allocations_max */
    uint32_t channels_all;       /* the same */
    uint32_t lifetime_s;         /* default; 600, RFC 8656 section 6 */
    uint32_t lifetime_max_s;     /* 3600, RFC 8656 section 7.2 */
    struct turn_filter filter;   /* peers; by default only global addresses */
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

/* Answers, relays or drops. BK_OK: it was TURN (an error answer counts as that too).
 * BK_ERR_NOT_OURS: another protocol, Binding, or data without a permission. BK_ERR_MALFORMED,
 * BK_ERR_SHORT: dropped. */
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

enum turn_action_kind { TURN_OPEN, TURN_CLOSE };

/* Bind a UDP socket to `addr`, or close it. */
struct turn_action {
    enum turn_action_kind kind;
    struct bk_addr addr;
};
bool turn_service_next_action(struct turn_service *service, struct turn_action *out);
/* It could not be opened; say so before fetching the datagram. The port is not used again, the
 * answer is not sent, and the client's retransmission gets another one. */
void turn_service_cannot_open(struct turn_service *service, const struct bk_addr *addr,
                              struct bk_time now);

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
    TURN_COUNT_DROP_OTHER, /* not TURN, or for no allocation */
    TURN_COUNT_DROP_SMALL, /* a request too short to be answered without amplifying */
    TURN_COUNT_EXPIRED,    /* allocations */
    TURN_COUNTS
};

struct turn_service_info {
    uint64_t counts[TURN_COUNTS];
    uint32_t allocations, permissions, channels; /* now */
};
void turn_service_info(const struct turn_service *service, struct turn_service_info *out);
/* A word for logs and metrics: "allocated", "drop_peer" ... */
const char *turn_count_name(enum turn_count count);

#endif
