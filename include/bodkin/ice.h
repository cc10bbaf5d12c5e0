/* SPDX-License-Identifier: MIT
 * Interactive Connectivity Establishment: a full RFC 8445 agent for one stream with one component.
 *
 * The agent is given local and remote candidates (at any time, RFC 8838), proves pairs of them with
 * authenticated STUN checks, nominates the best, keeps the proof fresh (RFC 7675), and finds out
 * what a path is worth (round trip, datagram size). It does no I/O. After every call that takes
 * `now`, or after several of them: drain bk_ice_next_datagram(), drain bk_ice_next_event(), read
 * bk_ice_deadline() again, and call bk_ice_advance() by then. A `now` earlier than the last one
 * counts as the last one.
 *
 *     controlling side                                controlled side
 *     bk_ice_new                                      bk_ice_new
 *       bk_ice_ufrag, bk_ice_pwd  ── signalling ──►     bk_ice_set_remote_credentials
 *       bk_ice_add_local_candidate ── signalling ─►     bk_ice_add_remote_candidate
 *     (the same the other way round; order and delay do not matter)
 *                     BK_ICE_EVENT_PAIR_VALID: data may flow on that pair
 *                     BK_ICE_EVENT_SELECTED:   data should flow on that pair from now on
 *
 * Sending data: from `pair.local.base` to `pair.remote.addr` of bk_ice_selected() or, earlier, of
 * bk_ice_best_valid(). For a relayed local candidate the base is the relayed address itself; the
 * caller maps it to the allocation, for datagrams both ways.
 *
 * Three departures from RFC 8445, all harmless to peers that follow it: checks may leave faster
 * than one per Ta (`burst`) and in turn by kind of pair, not by priority alone; the controlling
 * side may nominate before its own check was answered (`eager`); and again later (`renominate`).
 * Each nominating check carries a counter (attribute 0xC001 NOMINATION, comprehension-optional,
 * draft-thatcher-ice-renomination) so that reordering cannot make the sides disagree. A peer that
 * sends no counter (also one with RFC 5245 aggressive nomination) is followed to a pair of higher
 * priority at once, and to one of lower priority when the selected pair is dead or was not
 * nominated again lately. */
#ifndef BODKIN_ICE_H
#define BODKIN_ICE_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bk_ice; /* opaque */

/* ---- Candidates --------------------------------------------------------------------------- */

/* RFC 8445 section 5.1.1. The order is that of SDP's typ table, not of preference. */
enum bk_ice_kind { BK_ICE_HOST, BK_ICE_SRFLX, BK_ICE_PRFLX, BK_ICE_RELAYED };
enum { BK_ICE_KINDS = 4 };

enum {
    BK_ICE_FOUNDATION_MAX = 32, /* characters, RFC 8839 section 5.1 */
    BK_ICE_UFRAG_MIN = 4,       /* RFC 8839 section 5.4: 4..256 and 22..256 characters */
    BK_ICE_PWD_MIN = 22,
    BK_ICE_CRED_MAX = 256,
    BK_ICE_MTU_SIZES = 8,  /* entries of bk_ice_config.mtu_sizes */
    BK_ICE_RETRY_STEPS = 8 /* entries of bk_ice_config.retry_us */
};

struct bk_ice_candidate {
    enum bk_ice_kind kind;
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

/* ---- Configuration ------------------------------------------------------------------------ */

/* Copy bk_ice_config_default and change fields; `size` tells versions apart. */
struct bk_ice_config {
    size_t size; /* sizeof(struct bk_ice_config) */
    bool
        controlling; /* first guess at the role; a conflict is repaired, RFC 8445 section 7.3.1.1 */
    bool eager;      /* nominate with the first triggered check when nothing better is in sight */
    bool renominate; /* nominate again when a better pair appears; false: strict RFC 8445 8.1.1 */
    bool retry;      /* check failed pairs again for ever, at the pace of `retry_us` */

    uint32_t ta_us;       /* gap between new checks; 1000..; default 50000; RFC 8445 section 14.2 */
    uint32_t burst;       /* this many checks may leave at once before `ta_us` applies; 1..; 8 */
    uint32_t rto_min_us;  /* least first retransmission timeout; 10000..; 500000; section 14.3 */
    uint32_t check_tries; /* transmissions of one check; 1..10; 7; RFC 8489 section 6.2.1 (Rc) */
    uint32_t check_wait;  /* RTOs to wait after the last one; 1..64; 16; same section (Rm) */

    uint32_t grace_us; /* nomination waits this long, or a quarter of the round trip if that is
                          more, for a better pair whose check has just left; 0..; 20000 */

    uint32_t consent_us;        /* mean gap between consent checks (each 0.8..1.2 of it); 5 s;
                                   RFC 7675 section 5.1 */
    uint32_t consent_expiry_us; /* a selected pair without answer dies after this; 30 s */
    uint32_t warm_us;           /* the same gap for valid pairs that are not selected; 15 s; 0: they
                                   are left alone and never expire */

    uint32_t
        probe_rto_us; /* least gap between tries of bk_ice_probe(), else 1.5 round trips; 50 ms */
    uint32_t probe_tries;                  /* 1..10; 3 */
    uint32_t retry_us[BK_ICE_RETRY_STEPS]; /* pauses before checks of a dead pair; the last non-zero
                                              one repeats; 1, 2, 5, 15, 60 s */
    uint32_t retry_tries;                  /* transmissions of such a check; 1..10; 2 */

    uint16_t
        mtu_sizes[BK_ICE_MTU_SIZES]; /* UDP payloads bk_ice_test_mtu() tries, rising multiples of 4;
                                        0 ends; 1200, 1232, 1352, 1392, 1432, 1452, 1472 */

    uint32_t locals_max;  /* local candidates; 1..1024; 32 */
    uint32_t remotes_max; /* remote candidates, signalled and discovered; 1..4096; 64 */
    uint32_t prflx_max;   /* of which discovered; 16 */
    uint32_t pairs_max;   /* candidate pairs; 1..4096; 100; RFC 8445 section 6.1.2.5 */
    uint32_t early_max;   /* checks kept that came before the remote credentials; 16 */
    uint32_t events_max;  /* undelivered events; 8..; 64 */

    /* Local credentials (RFC 8445 section 5.3); NULL: made from `rng`. Copied. */
    const char *ufrag, *pwd;

    const struct bk_rng *rng; /* needed; *kept* until bk_ice_free(); cryptographic outside tests */
    struct bk_trace trace;    /* one line per decision; passwords never appear */
};

extern BK_API const struct bk_ice_config bk_ice_config_default;

/* Names the first field out of range, or NULL when the configuration is fine. */
BK_API const char *bk_ice_config_check(const struct bk_ice_config *config);

/* ---- Events ------------------------------------------------------------------------------- */

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
    BK_ICE_FAILURE_PROBE,      /* bk_ice_probe() found it dead */
    BK_ICE_FAILURE_REMOVED     /* the local address went away */
};

enum bk_ice_event_kind {
    BK_ICE_EVENT_STATE,        /* `state` is new */
    BK_ICE_EVENT_PAIR_VALID,   /* `pair` passed a check; `rtt_us` */
    BK_ICE_EVENT_SELECTED,     /* send on `pair` from now on (0: on none); before: `previous` */
    BK_ICE_EVENT_PAIR_DIED,    /* a valid `pair` is dead: `failure` */
    BK_ICE_EVENT_ROLE,         /* a role conflict was repaired: `controlling` is our role now */
    BK_ICE_EVENT_LOCAL_PRFLX,  /* `addr` is how the peer of `pair` sees us; it was not known */
    BK_ICE_EVENT_REMOTE_PRFLX, /* the peer sent a check from `addr`, which was not signalled */
    BK_ICE_EVENT_PROBE_ALIVE,  /* bk_ice_probe(): `pair` answered after `rtt_us` */
    BK_ICE_EVENT_PROBE_DEAD,   /* bk_ice_probe(): `pair` did not answer; PAIR_DIED comes as well */
    BK_ICE_EVENT_MTU           /* bk_ice_test_mtu(): `pair` carries `mtu` bytes of UDP payload, the
                                  largest tested size that was answered; 0: not even the least */
};

struct bk_ice_event {
    enum bk_ice_event_kind kind;
    enum bk_ice_state state;
    enum bk_ice_failure failure;
    bool controlling;
    uint16_t mtu;
    uint32_t pair, previous; /* pair ids: never 0, never used twice by one agent; 0: no pair */
    int64_t rtt_us;
    struct bk_addr addr;
    uint64_t reserved[4];
};

/* ---- Life --------------------------------------------------------------------------------- */

/* Allocates everything the agent will ever need. `config` and `alloc` are copied (config->rng is
 * kept). BK_ERR_ARGUMENT: bk_ice_config_check() says which field. BK_ERR_NO_MEMORY. */
BK_API BK_MUST_USE enum bk_err bk_ice_new(const struct bk_ice_config *config,
                                          const struct bk_alloc *alloc, struct bk_ice **out);
/* Wipes the secrets, then gives the memory back. NULL is fine. */
BK_API void bk_ice_free(struct bk_ice *ice);

/* Our credentials, to be signalled; NUL-terminated, valid until bk_ice_restart(). */
BK_API const char *bk_ice_ufrag(const struct bk_ice *ice);
BK_API const char *bk_ice_pwd(const struct bk_ice *ice);

/* The peer's credentials. Checks that came earlier take effect now. The same ones again are fine.
 * BK_ERR_ARGUMENT: wrong lengths or characters. BK_ERR_STATE: other ones are set already: the peer
 * restarted, call bk_ice_restart() first. */
BK_API BK_MUST_USE enum bk_err bk_ice_set_remote_credentials(struct bk_ice *ice, const char *ufrag,
                                                             const char *pwd, struct bk_time now);

/* Adds a local candidate; a server-reflexive one whose base is not known as host is taken with its
 * base. `as_signalled`, unless NULL, gets the candidate as it is to be signalled (foundation and
 * priority filled in). BK_ERR_EXISTS: a candidate with this address and base is there; with the
 * same pairs it is redundant, RFC 8445 section 5.1.3. BK_ERR_ARGUMENT: not an address one can have.
 * BK_ERR_FULL: locals_max. */
BK_API BK_MUST_USE enum bk_err bk_ice_add_local_candidate(struct bk_ice *ice,
                                                          const struct bk_ice_candidate *candidate,
                                                          struct bk_time now,
                                                          struct bk_ice_candidate *as_signalled);
/* Takes back every local candidate with this base: the interface, port or allocation is gone. Its
 * pairs die at once. BK_ERR_NOT_FOUND. */
BK_API BK_MUST_USE enum bk_err bk_ice_remove_local(struct bk_ice *ice, const struct bk_addr *base,
                                                   struct bk_time now);

/* Adds a candidate the peer signalled, at any time; a peer-reflexive one with the same address
 * becomes it. BK_ERR_EXISTS: known. BK_ERR_ARGUMENT: not an address one can send to.
 * BK_ERR_FULL: remotes_max. All three are counted; none is a reason to stop. */
BK_API BK_MUST_USE enum bk_err bk_ice_add_remote_candidate(struct bk_ice *ice,
                                                           const struct bk_ice_candidate *candidate,
                                                           struct bk_time now);

/* RFC 8838 sections 8.1 and 9: no more candidates will come from this side. Only then can the agent
 * say BK_ICE_FAILED. Candidates that come all the same are taken. */
BK_API void bk_ice_end_of_local_candidates(struct bk_ice *ice, struct bk_time now);
BK_API void bk_ice_end_of_remote_candidates(struct bk_ice *ice, struct bk_time now);

/* RFC 8445 section 9: new local credentials (NULL, NULL: made up); the remote ones, the remote
 * candidates and the end-of-candidates marks are forgotten. Local candidates stay. Valid pairs stay
 * in use under the old credentials until a pair under the new ones is selected. */
BK_API BK_MUST_USE enum bk_err bk_ice_restart(struct bk_ice *ice, const char *ufrag,
                                              const char *pwd, struct bk_time now);

/* ---- The five verbs ----------------------------------------------------------------------- */

/* Takes one datagram (in->segment must be 0). BK_ERR_NOT_OURS: not STUN, or STUN for another agent
 * or for no agent: try the next owner. BK_ERR_SHORT: broken STUN, nobody's. Every other error means
 * it was ours and was dropped and counted: BK_ERR_MALFORMED (also broken STUN), BK_ERR_AUTH,
 * BK_ERR_FULL, BK_ERR_NOT_FOUND (in->local is no base of ours). If in->local.ip is the wildcard
 * address, the best base of the same family and port is meant. */
BK_API BK_MUST_USE enum bk_err bk_ice_recv(struct bk_ice *ice, const struct bk_datagram *in,
                                           struct bk_time now);
/* Runs every timer that is due; late and spurious calls are harmless. */
BK_API void bk_ice_advance(struct bk_ice *ice, struct bk_time now);
/* Call bk_ice_advance() by then. BK_NEVER: nothing is planned. */
BK_API struct bk_time bk_ice_deadline(const struct bk_ice *ice);
/* out->data is valid until the next call on the agent. out->local is a candidate's base. */
BK_API bool bk_ice_next_datagram(struct bk_ice *ice, struct bk_datagram *out);
/* false: nothing to tell. */
BK_API bool bk_ice_next_event(struct bk_ice *ice, struct bk_ice_event *out);

/* ---- Asking about paths --------------------------------------------------------------------- */

/* Checks the selected and all other valid pairs right now, with fast retransmissions. Every pair
 * ends in BK_ICE_EVENT_PROBE_ALIVE or _DEAD. A probe that is under way is not started again.
 * Returns how many pairs are being probed. */
BK_API size_t bk_ice_probe(struct bk_ice *ice, struct bk_time now);
/* Checks every dead pair now and starts its retry pace afresh: the network may have changed. */
BK_API void bk_ice_retry(struct bk_ice *ice, struct bk_time now);
/* Sends padded checks of config.mtu_sizes on the selected pair; one BK_ICE_EVENT_MTU ends it. It
 * measures our direction only, and only if the socket forbids fragmentation (DF).
 * BK_ERR_STATE: no selected pair, or a test is under way. */
BK_API BK_MUST_USE enum bk_err bk_ice_test_mtu(struct bk_ice *ice, struct bk_time now);

/* What is known about one pair. Set `size` to sizeof(struct bk_ice_pair_info) before the call. */
struct bk_ice_pair_info {
    size_t size;
    uint32_t id;
    enum bk_ice_pair_state state;
    enum bk_ice_failure last_failure;
    bool nominated, selected;
    bool old;     /* from before bk_ice_restart() */
    uint16_t mtu; /* what bk_ice_test_mtu() found; 0: not tested */
    uint64_t priority;
    int64_t rtt_us;                        /* smoothed; -1: never measured */
    uint32_t checks_sent, checks_received; /* requests, with retransmissions */
    uint32_t answers_received, deaths;
    struct bk_time answered_at, heard_at; /* last answer to, last request from; BK_NEVER: none */
    struct bk_ice_candidate local; /* `addr` is what the peer sees, once a check has passed */
    struct bk_ice_candidate remote;
};

/* The pair data should use: nominated and alive or, after its death, the best that is left.
 * BK_ERR_NOT_FOUND: none. */
BK_API BK_MUST_USE enum bk_err bk_ice_selected(const struct bk_ice *ice,
                                               struct bk_ice_pair_info *out);
/* The selected pair or, before there is one, the best pair that has passed a check: RFC 8445
 * section 12.1 allows data there. BK_ERR_NOT_FOUND: none. */
BK_API BK_MUST_USE enum bk_err bk_ice_best_valid(const struct bk_ice *ice,
                                                 struct bk_ice_pair_info *out);
/* By id, as events name it. BK_ERR_NOT_FOUND: gone. */
BK_API BK_MUST_USE enum bk_err bk_ice_pair(const struct bk_ice *ice, uint32_t id,
                                           struct bk_ice_pair_info *out);
/* By addresses, as datagrams name it. BK_ERR_NOT_FOUND. */
BK_API BK_MUST_USE enum bk_err bk_ice_find_pair(const struct bk_ice *ice,
                                                const struct bk_addr *local,
                                                const struct bk_addr *remote,
                                                struct bk_ice_pair_info *out);
/* How many pairs there are. */
BK_API size_t bk_ice_pairs(const struct bk_ice *ice);
/* For index = 0, 1, ... below bk_ice_pairs(); the order changes with every call that takes `now`.
 * BK_ERR_NOT_FOUND: index too large. */
BK_API BK_MUST_USE enum bk_err bk_ice_pair_at(const struct bk_ice *ice, size_t index,
                                              struct bk_ice_pair_info *out);

/* The state that the last event told, or will tell. */
BK_API enum bk_ice_state bk_ice_get_state(const struct bk_ice *ice);
/* Our role now: a role conflict may have turned it (RFC 8445 section 7.3.1.1). */
BK_API bool bk_ice_is_controlling(const struct bk_ice *ice);

/* Counters since bk_ice_new(). */
struct bk_ice_stats {
    uint64_t requests_sent, retransmissions, responses_sent, errors_sent;
    uint64_t requests_received, responses_received;
    uint64_t triggered;   /* checks sent because a request came in */
    uint64_t nominations; /* sent or taken */
    uint64_t role_switches;
    uint64_t selections; /* times the selected pair changed */
    uint64_t deaths;     /* valid pairs that died */
    /* Datagrams dropped: */
    uint64_t not_ours;       /* also counted when another agent then takes it */
    uint64_t malformed;      /* STUN, addressed to us, but breaking a rule */
    uint64_t bad_integrity;  /* wrong or missing MESSAGE-INTEGRITY, wrong FINGERPRINT */
    uint64_t unknown_local;  /* arrived on an address that is no base */
    uint64_t unknown_answer; /* a response nobody waits for */
    uint64_t stale_ufrag;    /* a request under credentials before the last restart, no pair */
    uint64_t answers_full;   /* requests not answered: the queue of answers was full */
    /* Limits that were hit: */
    uint64_t early_full, locals_full, remotes_full, prflx_full, pairs_full, checks_full;
    uint64_t pairs_evicted;      /* pairs pushed out by others of a kind with fewer pairs */
    uint64_t candidates_refused; /* remote ones nobody can send to, or known */
    uint64_t events_lost;
};

/* Valid until bk_ice_free(); later versions only append. Never NULL. */
BK_API const struct bk_ice_stats *bk_ice_stats(const struct bk_ice *ice);

/* Words for people: "host", "srflx", ...; "succeeded", ...; "no answer". Never NULL, static. */
BK_API const char *bk_ice_kind_text(enum bk_ice_kind kind);
BK_API const char *bk_ice_state_text(enum bk_ice_state state);
BK_API const char *bk_ice_pair_state_text(enum bk_ice_pair_state state);
BK_API const char *bk_ice_failure_text(enum bk_ice_failure failure);

#ifdef __cplusplus
}
#endif
#endif
