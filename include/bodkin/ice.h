/* SPDX-License-Identifier: MIT
 * An ICE agent (RFC 8445) for your own signalling: it gathers candidates (host, server-reflexive,
 * relayed), writes and reads SDP lines (RFC 8839), finds a path through whatever is in between, and
 * keeps it. This header is all most programs need; bodkin/run.h gives the agent sockets and a loop.
 *
 *     one side                                     the other side
 *     bk_ice_new, bk_run_add                       bk_ice_new, bk_run_add
 *     bk_ice_gather                                bk_ice_gather
 *     bk_ice_describe ──────── your signalling ──► bk_ice_set_remote
 *     bk_ice_set_remote ◄───────────────────────── bk_ice_describe
 *     BK_ICE_ON_CANDIDATE ──────── trickle ──────► bk_ice_add_remote_candidate   (both ways)
 *     BK_ICE_ON_CONNECTED: bk_ice_send; data comes by BK_ICE_ON_DATA             (both sides)
 *
 * It does no I/O itself. People with a loop of their own drive it with the five verbs below and the
 * requests of bodkin/ice_io.h; examples/ has both. The conventions of bodkin/err.h hold: a struct
 * begins with its `size`, so that it can grow; texts are borrowed for the call; a failed call
 * changes nothing. Everything may be called while handling an event, bk_ice_free() included. */
#ifndef BODKIN_ICE_H
#define BODKIN_ICE_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/ice_types.h>
#include <bodkin/time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bk_ice; /* opaque */

/* ---- Configuration ------------------------------------------------------------------------ */

/* RFC 8445 section 2.5 and 8. Say who is who: usually the side that sends the offer controls. */
enum bk_ice_role { BK_ICE_CONTROLLING, BK_ICE_CONTROLLED };

/* Which candidates the peer gets to see, and which paths are tried. */
enum bk_ice_policy {
    BK_ICE_ALL,         /* everything */
    BK_ICE_PUBLIC,      /* no host candidates of private networks: hides the inside's addresses */
    BK_ICE_RELAYED_ONLY /* relayed candidates alone; nothing is ever sent to the peer directly */
};

/* RFC 8838: when candidates are signalled. */
enum bk_ice_trickle {
    BK_ICE_TRICKLE,      /* as they come; describe at once */
    BK_ICE_HALF_TRICKLE, /* our first description is complete, the peer's candidates may trickle */
    BK_ICE_NO_TRICKLE    /* describe after BK_ICE_ON_GATHERED */
};

enum { BK_ICE_SERVERS_MAX = 8, BK_ICE_STREAMS_MAX = 16, BK_ICE_COMPONENTS_MAX = 8 };

/* `uri` is one of RFC 7064's or RFC 7065's: "stun:host", "stun:host:port", "stuns:host" (TLS; this
 * and "stun:host?transport=tcp" are asked for TCP candidates, and not at all without config.tcp);
 * "turn:host" (UDP), "turn:host?transport=tcp"; "turns:host" (TLS), "turns:host?transport=udp"
 * (DTLS). IPv6 addresses stand in brackets. */
struct bk_ice_server {
    const char *uri;
    const char *user, *password; /* TURN's long-term credential, RFC 8489 section 9.2 */
};

/* Copy bk_ice_config_default and change fields. */
struct bk_ice_config {
    size_t size; /* sizeof(struct bk_ice_config) */
    enum bk_ice_role role;
    bool lite;       /* RFC 8445 section 2.5: only answers checks; for hosts on public addresses */
    bool tcp;        /* TCP candidates as well, RFC 6544 */
    bool mdns;       /* host addresses are signalled as names that mDNS resolves on the same link */
    bool ipv4, ipv6; /* families; both on */
    bool relay_ipv6; /* ask TURN servers for an IPv6 relay, too, RFC 8656 section 18.6; off */
    bool keep_warm;  /* spare paths are kept for a fast failover; on */
    enum bk_ice_policy policy;
    enum bk_ice_trickle trickle;
    uint16_t streams;    /* 1..BK_ICE_STREAMS_MAX; 1 */
    uint16_t components; /* of each stream; 1..BK_ICE_COMPONENTS_MAX; 1 */
    struct bk_ice_server servers[BK_ICE_SERVERS_MAX]; /* the texts are copied */
    size_t server_count;

    uint32_t ta_us;             /* gap between new checks; 5000..; 50000; RFC 8445 section 14.2 */
    uint32_t gather_us;         /* a server that is silent this long is given up; 5 s */
    uint32_t patience_us;       /* FAILED is not said before this, RFC 8863 section 4; 39.5 s */
    uint32_t consent_us;        /* mean gap of consent checks; 5 s; RFC 7675 section 5.1 */
    uint32_t consent_expiry_us; /* 30 s */
    uint32_t disconnected_us;   /* silence before BK_ICE_ON_DISCONNECTED; 2 s. When the peer has
                                   been silent for most of it the path is asked, fast */
    uint32_t locals_max;        /* candidates of ours; 1..1024; 32 */
    uint32_t remotes_max;       /* candidates of the peer's; 1..1024; 64 */
    uint32_t pairs_max;         /* 1..4096; 100; RFC 8445 section 6.1.2.5 */

    const struct bk_rng *rng; /* needed; *kept*; cryptographic outside tests */
    struct bk_trace trace;    /* one line per decision; passwords never appear */
};

BK_API extern const struct bk_ice_config bk_ice_config_default;
/* Names the first field out of range, or NULL when the configuration is fine. */
BK_API const char *bk_ice_config_check(const struct bk_ice_config *config);

/* ---- Life --------------------------------------------------------------------------------- */

/* BK_ERR_ARGUMENT: bk_ice_config_check() says which field. BK_ERR_NO_MEMORY. */
BK_API BK_MUST_USE enum bk_err bk_ice_new(const struct bk_ice_config *config,
                                          const struct bk_alloc *alloc, struct bk_ice **out);
/* Wipes the secrets. Allocations on TURN servers are given back first by bk_ice_close(). NULL is
 * fine. */
BK_API void bk_ice_free(struct bk_ice *ice);
/* Says goodbye: frees allocations, ends connections. What is to be sent leaves through the verbs;
 * BK_ICE_ON_CLOSED comes when nothing is left to do, 2 s later at most. */
BK_API void bk_ice_close(struct bk_ice *ice, struct bk_time now);

/* ---- Signalling --------------------------------------------------------------------------- */

/* Asks the servers. Candidates come as BK_ICE_ON_CANDIDATE, the end as BK_ICE_ON_GATHERED. Bases
 * must have been given before (bk_run_add() does that; else bk_ice_add_base()). */
BK_API void bk_ice_gather(struct bk_ice *ice, struct bk_time now);

enum { BK_ICE_LINE_MAX = 512 }; /* longest line there is, with its NUL */

/* Our side as SDP lines, each with CRLF: ice-options, ice-lite, ice-ufrag, ice-pwd, for each stream
 * of several a=mid, the candidates known by now and a=end-of-candidates. `*len` gets the length
 * without the NUL. BK_ERR_SHORT: `cap` is too small; `*len` says what is needed, without the NUL.
 */
BK_API BK_MUST_USE enum bk_err bk_ice_describe(const struct bk_ice *ice, char *text, size_t cap,
                                               size_t *len);
/* The peer's side: its lines, or a whole SDP around them, of which everything else is skipped. Its
 * streams may have credentials of their own (RFC 8839 section 5.4). New ones in place of others are
 * the peer's restart (RFC 8445 section 9): ours follows by itself, for all streams, and
 * BK_ICE_ON_RESTART asks for a new description. BK_ERR_MALFORMED: a line of ICE's breaks
 * RFC 8839: nothing was taken. BK_ERR_TOO_LONG: more than 64 KiB, or more candidates than
 * remotes_max; what fits was taken. BK_ERR_NOT_FOUND: no credentials in it. */
BK_API BK_MUST_USE enum bk_err bk_ice_set_remote(struct bk_ice *ice, const char *text, size_t len,
                                                 struct bk_time now);
/* One line: "candidate:...", with or without "a=", or "end-of-candidates"; "" is the end as well.
 * Browsers' way to say so. BK_ERR_MALFORMED, BK_ERR_FULL: remotes_max, BK_ERR_EXISTS: known.
 * BK_ERR_UNSUPPORTED: a transport or address type that is not known: RFC 8839 section 5.1 has it
 * ignored. None is a reason to stop. */
BK_API BK_MUST_USE enum bk_err bk_ice_add_remote_candidate(struct bk_ice *ice, uint16_t stream,
                                                           const char *line, struct bk_time now);
/* New credentials, new checks; data goes on over the old path until there is a new one. Describe
 * again. A restart that the peer has not answered yet, or one of the peer's that BK_ICE_ON_RESTART
 * has not told of yet, is not begun anew. Each description must reach the peer, in their order. */
BK_API BK_MUST_USE enum bk_err bk_ice_restart(struct bk_ice *ice, struct bk_time now);

/* ---- Events ------------------------------------------------------------------------------- */

enum bk_ice_event_kind {
    BK_ICE_ON_CANDIDATE,    /* `text`: a candidate line to signal, "candidate:..." ; `stream` */
    BK_ICE_ON_GATHERED,     /* all servers have answered or were given up: end of candidates */
    BK_ICE_ON_CONNECTED,    /* `stream`, `component` can carry data, in both directions, now */
    BK_ICE_ON_SELECTED,     /* a pair was nominated, or another took over; `path` */
    BK_ICE_ON_DISCONNECTED, /* nothing was heard for disconnected_us: `text` says of what; data is
                               still taken */
    BK_ICE_ON_RECONNECTED,  /* it was: the same path, or another */
    BK_ICE_ON_FAILED,  /* no path; `text` says why, in one sentence. Not final: a restart, a new
                          candidate or a new network revive it */
    BK_ICE_ON_RESTART, /* the peer restarted, or must: signal bk_ice_describe() again */
    BK_ICE_ON_CLOSED   /* after bk_ice_close() */
};

struct bk_ice_event {
    enum bk_ice_event_kind kind;
    uint16_t stream, component;
    const char *text;                      /* "" where there is none; valid until the next call */
    struct bk_ice_candidate local, remote; /* CANDIDATE: local; CONNECTED, SELECTED, RECONNECTED */
    int64_t rtt_us;                        /* of that path; -1: not measured */
};

/* ---- Data --------------------------------------------------------------------------------- */

/* Readies one message for the best path: `*out` is a view, to be sent before the next call on the
 * agent. For UDP without a relay it views `data` itself. On a path inside a connection out->len is
 * 0, and the framed message leaves by bk_ice_next_stream_data(). BK_ERR_STATE: not connected.
 * BK_ERR_TOO_LONG: more than the path can frame. BK_ERR_FULL: fetch the stream data first. With
 * bk_run_add() use bk_run_send() instead. */
BK_API BK_MUST_USE enum bk_err bk_ice_send(struct bk_ice *ice, uint16_t stream, uint16_t component,
                                           const void *data, size_t len, struct bk_datagram *out);

/* One message from the peer, unpacked; a view into what was handed in. */
struct bk_ice_data {
    uint16_t stream, component;
    const uint8_t *data; /* NULL: it was not data */
    size_t len;
};

/* ---- The five verbs ----------------------------------------------------------------------- */

/* Takes one datagram, or one message of a framed connection (in->protocol). What is not STUN, and
 * came over a path that passed a check, is the peer's data. BK_ERR_NOT_OURS: not for this agent,
 * try the next one. All other errors: it was dropped, and counted. */
BK_API BK_MUST_USE enum bk_err bk_ice_recv(struct bk_ice *ice, const struct bk_datagram *in,
                                           struct bk_time now, struct bk_ice_data *out);
BK_API void bk_ice_advance(struct bk_ice *ice, struct bk_time now);
BK_API struct bk_time bk_ice_deadline(const struct bk_ice *ice);
BK_API bool bk_ice_next_datagram(struct bk_ice *ice, struct bk_datagram *out);
BK_API bool bk_ice_next_event(struct bk_ice *ice, struct bk_ice_event *out);

/* ---- Asking ------------------------------------------------------------------------------- */

BK_API enum bk_ice_state bk_ice_get_state(const struct bk_ice *ice);
BK_API enum bk_ice_role bk_ice_get_role(const struct bk_ice *ice);
BK_API const char *bk_ice_ufrag(const struct bk_ice *ice); /* until the next restart */
BK_API const char *bk_ice_pwd(const struct bk_ice *ice);
/* The pair that carries data now. BK_ERR_NOT_FOUND: none does. */
BK_API BK_MUST_USE enum bk_err bk_ice_path(const struct bk_ice *ice, uint16_t stream,
                                           uint16_t component, struct bk_ice_pair_info *out);
/* All pairs, index = 0, 1, ... until BK_ERR_NOT_FOUND. */
BK_API BK_MUST_USE enum bk_err bk_ice_pair_at(const struct bk_ice *ice, size_t index,
                                              struct bk_ice_pair_info *out);
/* Why it is as it is, in one sentence: "0 of 14 checks were answered, STUN is silent, TURN over TLS
 * works: UDP is blocked". `out` gets at most `cap` bytes with the NUL. Returns `out`. */
BK_API char *bk_ice_explain(const struct bk_ice *ice, char *out, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
