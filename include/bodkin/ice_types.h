/* SPDX-License-Identifier: MIT
 * The words of Interactive Connectivity Establishment that everything here shares: candidates,
 * pairs, states, reasons. RFC 8445; TCP candidates RFC 6544. */
#ifndef BODKIN_ICE_TYPES_H
#define BODKIN_ICE_TYPES_H

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Candidates --------------------------------------------------------------------------- */

/* RFC 8445 section 5.1.1. The order is that of SDP's typ table, not of preference. */
enum bk_ice_kind { BK_ICE_HOST, BK_ICE_SRFLX, BK_ICE_PRFLX, BK_ICE_RELAYED };
enum { BK_ICE_KINDS = 4 };

enum {
    BK_ICE_FOUNDATION_MAX = 32, /* characters, RFC 8839 section 5.1 */
    BK_ICE_UFRAG_MIN = 4,       /* RFC 8839 section 5.4: 4..256 and 22..256 characters */
    BK_ICE_PWD_MIN = 22,
    BK_ICE_CRED_MAX = 256
};

/* RFC 6544 section 4.5: who opens the connection. Only UDP, and the three of TCP. */
enum bk_ice_transport {
    BK_ICE_UDP,
    BK_ICE_TCP_ACTIVE,  /* opens connections; its signalled port is 9 and means nothing */
    BK_ICE_TCP_PASSIVE, /* accepts them */
    BK_ICE_TCP_SO       /* both at once: simultaneous open */
};

struct bk_ice_candidate {
    enum bk_ice_kind kind;
    enum bk_ice_transport transport;
    uint16_t stream;     /* which data stream, from 0 */
    uint16_t component;  /* 1..256, RFC 8445 section 13; 0 counts as 1 */
    struct bk_addr addr; /* what the other side sends to */
    /* Local candidates only: the address our socket has, from which checks leave. For host and
     * relayed ones it equals `addr`; all zero means that. Server-reflexive needs it. */
    struct bk_addr base;
    /* Where it was learned: the STUN or TURN server. Only tells foundations apart, RFC 8445 section
     * 5.1.1.3. All zero for host. */
    struct bk_addr server;
    /* Local: 0 has it computed by RFC 8445 section 5.1.2.1 with `preference`. Remote: as signalled;
     * 0 has it computed as the peer would have. */
    uint32_t priority;
    /* The 16 bits of local preference: dual-stack and multihomed order, RFC 8421. 0: 65535 for
     * IPv6, 65534 for IPv4. */
    uint16_t preference;
    /* NUL-terminated. Local: "" has it made by RFC 8445 section 5.1.1.3. Remote: as signalled. */
    char foundation[BK_ICE_FOUNDATION_MAX + 1];
};

enum bk_ice_state {
    BK_ICE_IDLE,     /* nothing to check yet: credentials or candidates are missing */
    BK_ICE_CHECKING, /* pairs are being checked, none has passed */
    BK_ICE_VALID,    /* at least one pair has passed: data may flow */
    BK_ICE_SELECTED, /* a pair is nominated: data should flow there */
    BK_ICE_FAILED    /* every pair failed. Not final: retries, new candidates and restart go on */
};

/* RFC 8445 section 6.1.2.6. */
enum bk_ice_pair_state {
    BK_ICE_PAIR_FROZEN,
    BK_ICE_PAIR_WAITING,
    BK_ICE_PAIR_IN_PROGRESS,
    BK_ICE_PAIR_SUCCEEDED,
    BK_ICE_PAIR_FAILED
};

/* Why a pair failed the last time. */
enum bk_ice_failure {
    BK_ICE_FAILURE_NONE,
    BK_ICE_FAILURE_TIMEOUT,    /* no answer to any transmission of the check */
    BK_ICE_FAILURE_ASYMMETRIC, /* the answer came from or to another address, section 7.2.5.2.1 */
    BK_ICE_FAILURE_REFUSED,    /* an error response other than 487 */
    BK_ICE_FAILURE_CONSENT,    /* consent expired, RFC 7675 */
    BK_ICE_FAILURE_PROBE,      /* bk_checker_probe() found it dead */
    BK_ICE_FAILURE_REMOVED,    /* the local address went away */
    BK_ICE_FAILURE_BROKEN      /* the TCP connection could not be opened, or ended */
};

/* What is known about one pair. Set `size` to sizeof(struct bk_ice_pair_info) before the call. */
struct bk_ice_pair_info {
    size_t size;
    uint32_t id;
    enum bk_ice_pair_state state;
    enum bk_ice_failure last_failure;
    uint16_t stream, component;
    bool nominated, selected;
    bool old;     /* from before bk_checker_restart() */
    bool silent;  /* it was asked and did not answer (BK_CHECKER_SILENT), and is not dead yet */
    uint16_t mtu; /* what bk_checker_test_mtu() found; 0: not tested */
    uint64_t priority;
    int64_t rtt_us;                        /* smoothed; -1: never measured */
    uint32_t checks_sent, checks_received; /* requests, with retransmissions */
    uint32_t answers_received, deaths;
    struct bk_time answered_at, heard_at; /* last answer to, last request from; BK_NEVER: none */
    struct bk_ice_candidate local; /* `addr` is what the peer sees, once a check has passed */
    struct bk_ice_candidate remote;
    /* Data since this pair became the path of its component; bk_ice_path() and bk_ice_pair_at()
     * alone know it, bk_checker_... leave 0. Lost checks: checks_sent - answers_received. */
    uint64_t bytes_sent, bytes_received, messages_sent, messages_received;
};

/* Words for people: "host", "srflx", ...; "succeeded", ...; "no answer". Never NULL, static. */
BK_API const char *bk_ice_kind_text(enum bk_ice_kind kind);
BK_API const char *bk_ice_state_text(enum bk_ice_state state);
BK_API const char *bk_ice_pair_state_text(enum bk_ice_pair_state state);
BK_API const char *bk_ice_failure_text(enum bk_ice_failure failure);

#ifdef __cplusplus
}
#endif
#endif
