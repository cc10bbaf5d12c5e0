/* SPDX-License-Identifier: MIT
 * The checker: the part of an ICE agent (RFC 8445) that proves paths. Given local and remote
 * candidates, at any time (RFC 8838), it checks pairs of them with authenticated STUN requests,
 * nominates the best, keeps the proof fresh (RFC 7675), and finds out what a path is worth (round
 * trip, datagram size). Where candidates come from and how they reach the peer is the caller's
 * business; bodkin/ice.h is the whole agent, with gathering, TURN and SDP.
 *
 * One checker serves one or more data streams of one or more components each; they share the pace
 * and our credentials (RFC 8445 section 5.3 allows one pair for all streams of a session; the
 * peer's may differ from stream to stream). Without a word about streams there is one, with one
 * component.
 *
 * It does no I/O. After every call that takes `now`, or after several of them: drain
 * bk_checker_next_datagram(), drain bk_checker_next_event(), read bk_checker_deadline() again, and
 * call bk_checker_advance() by then. A `now` earlier than the last one counts as the last one.
 *
 *     controlling side                                     controlled side
 *     bk_checker_new                                       bk_checker_new
 *       bk_checker_ufrag, _pwd  ───── signalling ─────►      bk_checker_set_remote_credentials
 *       bk_checker_add_local_candidate ─ signalling ──►      bk_checker_add_remote_candidate
 *     (the same the other way round; order and delay do not matter)
 *                     BK_CHECKER_PAIR_VALID: data may flow on that pair
 *                     BK_CHECKER_SELECTED:   data should flow on that pair from now on
 *
 * Sending data: from `pair.local.base` to `pair.remote.addr` of bk_checker_selected() or, earlier,
 * of bk_checker_best_valid(). For a relayed local candidate the base is the relayed address itself;
 * the caller maps it to the allocation, for datagrams both ways.
 *
 * Several components: a base (address and protocol) belongs to the one stream and component that
 * its first candidate named, because a check does not say which it is for; the same base for
 * another component is BK_ERR_EXISTS. Only active TCP candidates, which nobody connects to, may
 * share theirs. Pairs are formed within one component. A restart is one for all streams.
 *
 * TCP (RFC 6544). A message of a connection is a bk_datagram with `protocol` BK_TCP, both ways, one
 * STUN message each, without the frame of RFC 4571. (base, protocol) is what tells bases apart: UDP
 * and TCP may use the same port.
 *   active   base (our IP address, port 9; port 0 counts as 9; any other is kept as given, for who
 *            needs to tell two apart). Its pairs with passive candidates are checked by us. The
 *            first datagram from that base to a remote address asks for the connection: the caller
 *            opens it (from any port), keeps the datagram until it is up and then sends it.
 *            Messages that come in on it have in->local = that base as registered and in->remote =
 *            the address it was opened to, whatever the ports of the connection are.
 *   passive  base = the listening address. Its pairs are not checked by us (section 6.2); a check
 *            that comes in on an accepted connection makes one, with a peer-reflexive active
 *            candidate (section 7.2). in->local = the listener's address, in->remote = the address
 *            the connection comes from; our checks and answers go out on that same connection.
 *   so       base = the bound address, both sides open; otherwise as for an active one.
 * Connections are never opened by an answer: a datagram to a passive pair whose connection is gone
 * is to be dropped. bk_checker_broken() says that a connection could not be opened or ended; a
 * later datagram on an active pair asks for a new one. Closing is the caller's decision: a
 * connection is of no use once its pair is gone (bk_checker_find_pair()).
 *
 * Three departures from RFC 8445, all harmless to peers that follow it: checks may leave faster
 * than one per Ta (`burst`) and in turn by kind of pair, not by priority alone; the controlling
 * side may nominate before its own check was answered (`eager`); and again later (`renominate`).
 * Each nominating check carries a counter (attribute 0xC001 NOMINATION, comprehension-optional,
 * draft-thatcher-ice-renomination) so that reordering cannot make the sides disagree. A peer that
 * sends no counter (also one with RFC 5245 aggressive nomination) is followed to a pair of higher
 * priority at once, and to one of lower priority when the selected pair is dead or was not
 * nominated again lately. */
#ifndef BODKIN_CHECKER_H
#define BODKIN_CHECKER_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/ice_types.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bk_checker; /* opaque */

enum {
    BK_CHECKER_MTU_SIZES = 8,  /* entries of bk_checker_config.mtu_sizes */
    BK_CHECKER_RETRY_STEPS = 8 /* entries of bk_checker_config.retry_us */
};

/* ---- Configuration ------------------------------------------------------------------------ */

/* Copy bk_checker_config_default and change fields; `size` tells versions apart. */
struct bk_checker_config {
    size_t size; /* sizeof(struct bk_checker_config) */
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

    uint32_t probe_rto_us; /* least gap between tries of bk_checker_probe(), else 1.5 round trips;
                              50 ms */
    uint32_t probe_tries;  /* 1..10; 3 */
    uint32_t retry_us[BK_CHECKER_RETRY_STEPS]; /* pauses before checks of a dead pair; the last
                                              non-zero one repeats; 1, 2, 5, 15, 60 s */
    uint32_t retry_tries;                      /* transmissions of such a check; 1..10; 2 */

    uint16_t mtu_sizes[BK_CHECKER_MTU_SIZES]; /* UDP payloads bk_checker_test_mtu() tries, rising
                                             multiples of 4; 0 ends; 1200, 1232, 1352, 1392, 1432,
                                             1452, 1472 */

    uint32_t locals_max;  /* local candidates; 1..1024; 32 */
    uint32_t remotes_max; /* remote candidates, signalled and discovered; 1..4096; 64 */
    uint32_t prflx_max;   /* of which discovered; 16 */
    uint32_t pairs_max;   /* candidate pairs; 1..4096; 100; RFC 8445 section 6.1.2.5 */
    uint32_t early_max;   /* checks kept that came before the remote credentials; 16 */
    uint32_t events_max;  /* undelivered events; 8..; 64 */

    uint16_t streams;     /* data streams; 1..256; 1 */
    uint16_t components;  /* of each stream; 1..256; 1; streams x components: 1024 at most */
    bool lite;            /* only answers checks, RFC 8445 section 2.5; host candidates only; the
                             role is controlled unless the peer is lite, too */
    uint32_t patience_us; /* BK_ICE_FAILED is not said before this long after the remote credentials
                             came, RFC 8863 section 4 (which says 39.5 s); 0..; 0 */
    uint32_t tcp_wait_us; /* a check over TCP is sent once and waits this long; 1 s..; 39.5 s;
                             RFC 8489 section 6.2.2 (Ti) */
    uint32_t doubt_us;    /* a selected pair that was not heard of for this long is asked, fast; see
                             bk_checker_heard(); 0: off; 0 or 50000..; 0 */
    uint32_t silent_us;   /* by then BK_CHECKER_SILENT is to be told; where there was no data for a
                             while the question may wait until then is near; 0..; 0: it does not */

    /* Local credentials (RFC 8445 section 5.3); NULL: made from `rng`. Copied. */
    const char *ufrag, *pwd;

    const struct bk_rng
        *rng;              /* needed; *kept* until bk_checker_free(); cryptographic outside tests */
    struct bk_trace trace; /* one line per decision; passwords never appear */
};

extern BK_API const struct bk_checker_config bk_checker_config_default;

/* Names the first field out of range, or NULL when the configuration is fine. */
BK_API const char *bk_checker_config_check(const struct bk_checker_config *config);

/* ---- Events ------------------------------------------------------------------------------- */

enum bk_checker_event_kind {
    BK_CHECKER_STATE,        /* `state` is new */
    BK_CHECKER_PAIR_VALID,   /* `pair` passed a check; `rtt_us` */
    BK_CHECKER_SELECTED,     /* send on `pair` from now on (0: on none); before: `previous` */
    BK_CHECKER_PAIR_DIED,    /* a valid `pair` is dead: `failure` */
    BK_CHECKER_ROLE,         /* a role conflict was repaired: `controlling` is our role now */
    BK_CHECKER_LOCAL_PRFLX,  /* `addr` is how the peer of `pair` sees us; it was not known */
    BK_CHECKER_REMOTE_PRFLX, /* the peer sent a check from `addr`, which was not signalled */
    BK_CHECKER_PROBE_ALIVE,  /* bk_checker_probe(): `pair` answered after `rtt_us` */
    BK_CHECKER_PROBE_DEAD, /* bk_checker_probe(): `pair` did not answer; PAIR_DIED comes as well */
    BK_CHECKER_MTU,        /* bk_checker_test_mtu(): `pair` carries `mtu` bytes of UDP payload, the
                              largest tested size that was answered; 0: not even the least */
    BK_CHECKER_STREAM,     /* the checklist of `stream` changed: `state` is its new state; only
                              where there are several streams or components */
    BK_CHECKER_SILENT,     /* config.doubt_us: selected `pair` was asked and did not answer. With a
                              spare pair that does, PAIR_DIED and SELECTED follow; else it stays
                              selected until its consent ends */
    BK_CHECKER_BACK        /* a `pair` that was SILENT is heard again */
};

struct bk_checker_event {
    enum bk_checker_event_kind kind;
    enum bk_ice_state state;
    enum bk_ice_failure failure;
    bool controlling;
    uint16_t mtu;
    uint32_t pair, previous; /* pair ids: never 0, never used twice by one agent; 0: no pair */
    int64_t rtt_us;
    struct bk_addr addr;
    uint16_t stream, component; /* of `pair` or `addr`; STREAM: component 0; STATE, ROLE: 0 and 0 */
    uint64_t reserved[3];
};

/* ---- Life --------------------------------------------------------------------------------- */

/* Allocates everything the agent needs (but see bk_checker_settle()). `config` and `alloc` are
 * copied (config->rng is kept). BK_ERR_ARGUMENT: bk_checker_config_check() says which field.
 * BK_ERR_NO_MEMORY. */
BK_API BK_MUST_USE enum bk_err bk_checker_new(const struct bk_checker_config *config,
                                              const struct bk_alloc *alloc,
                                              struct bk_checker **out);
/* Wipes the secrets, then gives the memory back. NULL is fine. */
BK_API void bk_checker_free(struct bk_checker *ice);

/* Our credentials, to be signalled; NUL-terminated, valid until bk_checker_restart() or
 * bk_checker_settle(). */
BK_API const char *bk_checker_ufrag(const struct bk_checker *ice);
BK_API const char *bk_checker_pwd(const struct bk_checker *ice);

/* The peer's credentials. Checks that came earlier take effect now. The same ones again are fine.
 * BK_ERR_ARGUMENT: wrong lengths or characters. BK_ERR_STATE: other ones are set already: the peer
 * restarted, call bk_checker_restart() first. */
BK_API BK_MUST_USE enum bk_err bk_checker_set_remote_credentials(struct bk_checker *ice,
                                                                 const char *ufrag, const char *pwd,
                                                                 struct bk_time now);
/* The same for one stream, of a peer whose streams have different ones (RFC 8839 section 5.4). A
 * stream without any is not checked. BK_ERR_STATE: this stream has others; a restart is one for all
 * streams. BK_ERR_ARGUMENT: also no such stream. */
BK_API BK_MUST_USE enum bk_err
bk_checker_set_remote_credentials_of(struct bk_checker *ice, uint16_t stream, const char *ufrag,
                                     const char *pwd, struct bk_time now);
/* The peer's fragment for this stream; "": not set, or no such stream. Valid until the credentials
 * are set, bk_checker_restart() or bk_checker_settle(). */
BK_API const char *bk_checker_remote_ufrag(const struct bk_checker *ice, uint16_t stream);

/* RFC 8445 section 6.1.1, as the peer's a=ice-lite says. A full agent becomes controlling. With two
 * lite agents the initiator (config.controlling) is, nothing is checked, and the pair of highest
 * priority of each component is selected (section 8.2). */
BK_API void bk_checker_set_remote_lite(struct bk_checker *ice, bool lite, struct bk_time now);
/* Turns config.renominate on or off: on only for peers that announce a=ice-options:renomination. A
 * peer that nominates again is followed either way. */
BK_API void bk_checker_set_renominate(struct bk_checker *ice, bool on, struct bk_time now);
/* Another gap between new checks than config.ta_us: both sides use the higher of their proposals,
 * RFC 8445 section 14.2. Kept within the range of config.ta_us. */
BK_API void bk_checker_set_ta(struct bk_checker *ice, uint32_t ta_us, struct bk_time now);

/* Adds a local candidate; a server-reflexive one whose base is not known as host is taken with its
 * base. `as_signalled`, unless NULL, gets the candidate as it is to be signalled (foundation and
 * priority filled in). BK_ERR_EXISTS: a candidate with this address and base is there; with the
 * same pairs it is redundant, RFC 8445 section 5.1.3; or the base serves another component.
 * BK_ERR_ARGUMENT: not an address one can have, no such stream or component, or not for a lite
 * agent. BK_ERR_FULL: locals_max. */
BK_API BK_MUST_USE enum bk_err
bk_checker_add_local_candidate(struct bk_checker *ice, const struct bk_ice_candidate *candidate,
                               struct bk_time now, struct bk_ice_candidate *as_signalled);
/* Takes back every local candidate with this base: the interface, port or allocation is gone. Its
 * pairs die at once. BK_ERR_NOT_FOUND. */
BK_API BK_MUST_USE enum bk_err
bk_checker_remove_local(struct bk_checker *ice, const struct bk_addr *base, struct bk_time now);

/* The same for one of two bases with the same address. */
BK_API BK_MUST_USE enum bk_err bk_checker_remove_base(struct bk_checker *ice,
                                                      const struct bk_addr *base,
                                                      enum bk_protocol protocol,
                                                      struct bk_time now);
/* 16 bits of local preference for a TCP candidate, RFC 6544 section 4.2: the direction's part,
 * which depends on the kind, and 13 bits of the caller's own (65535 of the UDP scale counts as
 * 8191). */
BK_API uint16_t bk_checker_tcp_preference(enum bk_ice_kind kind, enum bk_ice_transport transport,
                                          uint16_t preference);

/* Adds a candidate the peer signalled, at any time; a peer-reflexive one with the same address
 * becomes it. BK_ERR_EXISTS: known. BK_ERR_ARGUMENT: not an address one can send to, or no such
 * stream or component. BK_ERR_FULL: remotes_max. All three are counted; none is a reason to stop.
 */
BK_API BK_MUST_USE enum bk_err
bk_checker_add_remote_candidate(struct bk_checker *ice, const struct bk_ice_candidate *candidate,
                                struct bk_time now);

/* RFC 8838 sections 8.1 and 9: no more candidates will come from this side. Only then can the agent
 * say BK_ICE_FAILED. Candidates that come all the same are taken. */
BK_API void bk_checker_end_of_local_candidates(struct bk_checker *ice, struct bk_time now);
BK_API void bk_checker_end_of_remote_candidates(struct bk_checker *ice, struct bk_time now);

/* RFC 8445 section 9: new local credentials (NULL, NULL: made up); the remote ones, the remote
 * candidates and the end-of-candidates marks are forgotten. Local candidates stay. Valid pairs stay
 * in use under the old credentials until a pair under the new ones is selected. */
BK_API BK_MUST_USE enum bk_err bk_checker_restart(struct bk_checker *ice, const char *ufrag,
                                                  const char *pwd, struct bk_time now);

/* ---- The five verbs ----------------------------------------------------------------------- */

/* Takes one datagram (in->segment must be 0). BK_ERR_NOT_OURS: not STUN, or STUN for another agent
 * or for no agent: try the next owner. BK_ERR_SHORT: broken STUN, nobody's. Every other error means
 * it was ours and was dropped and counted: BK_ERR_MALFORMED (also broken STUN), BK_ERR_AUTH,
 * BK_ERR_FULL, BK_ERR_NOT_FOUND (in->local is no base of ours). If in->local.ip is the wildcard
 * address, the best base of the same family and port is meant. */
BK_API BK_MUST_USE enum bk_err bk_checker_recv(struct bk_checker *ice, const struct bk_datagram *in,
                                               struct bk_time now);
/* Runs every timer that is due; late and spurious calls are harmless. */
BK_API void bk_checker_advance(struct bk_checker *ice, struct bk_time now);
/* Call bk_checker_advance() by then. BK_NEVER: nothing is planned. */
BK_API struct bk_time bk_checker_deadline(const struct bk_checker *ice);
/* out->data is valid until the next call on the agent. out->local is a candidate's base. */
BK_API bool bk_checker_next_datagram(struct bk_checker *ice, struct bk_datagram *out);
/* false: nothing to tell. */
BK_API bool bk_checker_next_event(struct bk_checker *ice, struct bk_checker_event *out);

/* ---- What else the caller sees ------------------------------------------------------------- */

/* Data came in from `remote` on base `local`: the path is alive. It proves no consent (RFC 7675
 * section 5.1); it only puts off the doubt of config.doubt_us or, on another pair than the selected
 * one, which is quiet, brings it on. Cheap; call it for every packet, or for one of many. */
BK_API void bk_checker_heard(struct bk_checker *ice, const struct bk_addr *local,
                             const struct bk_addr *remote, struct bk_time now);
/* The TCP connection of this pair could not be opened, or ended: the pair fails or dies at once. An
 * active one is tried again later (config.retry); one of a passive candidate is gone. */
BK_API void bk_checker_broken(struct bk_checker *ice, const struct bk_addr *local,
                              const struct bk_addr *remote, struct bk_time now);

/* Gives back memory: every table shrinks to what it holds. Call it when a session has become quiet.
 * What needs more room later takes it by itself from the allocator, up to the configured limits; if
 * that fails it is as if the limit were reached, counted in `memory_full`. This is the one place
 * where something allocates after bk_checker_new(): docs/decisions/0014. */
BK_API void bk_checker_settle(struct bk_checker *ice, struct bk_time now);
/* Bytes this checker holds from its allocator now. */
BK_API size_t bk_checker_size(const struct bk_checker *ice);

/* ---- Ways through hard NATs ------------------------------------------------------------------ */

/* Fills *out with a check that belongs to no pair, from `local` to `remote`: a probe of a port that
 * was only predicted or guessed. It is sent once and waits for no answer: if it gets through, the
 * peer knows a new peer-reflexive candidate (RFC 8445 section 7.3.1.3) and its triggered check
 * comes back the same way; add a local candidate with that base before bk_checker_recv() gets it.
 * out->data is valid until the next call. BK_ERR_STATE: the peer's credentials are not known. */
BK_API BK_MUST_USE enum bk_err bk_checker_loose_check(struct bk_checker *ice,
                                                      const struct bk_addr *local,
                                                      const struct bk_addr *remote,
                                                      struct bk_datagram *out);
/* The peer's NAT is spoilt by a packet from outside that comes before one from inside: the first
 * transmission of each check to a global IPv4 address of the peer from which nothing has come yet
 * leaves with this TTL, which is to die on the way, and the second follows `hold_us` later, or as
 * soon as the peer's own check has come in. 0: off. */
BK_API void bk_checker_set_opener(struct bk_checker *ice, uint8_t ttl, uint32_t hold_us);

/* ---- Asking about paths --------------------------------------------------------------------- */

/* Checks the selected and all other valid pairs right now, with fast retransmissions. Every pair
 * ends in BK_CHECKER_PROBE_ALIVE or _DEAD. A probe that is under way is not started again.
 * Returns how many pairs are being probed. */
BK_API size_t bk_checker_probe(struct bk_checker *ice, struct bk_time now);
/* Checks every dead pair now and starts its retry pace afresh: the network may have changed. */
BK_API void bk_checker_retry(struct bk_checker *ice, struct bk_time now);
/* Sends padded checks of config.mtu_sizes on the selected pair; one BK_CHECKER_MTU ends it. It
 * measures our direction only, and only if the socket forbids fragmentation (DF).
 * BK_ERR_STATE: no selected pair, or a test is under way. */
BK_API BK_MUST_USE enum bk_err bk_checker_test_mtu(struct bk_checker *ice, struct bk_time now);

/* The pair data should use: nominated and alive or, after its death, the best that is left.
 * BK_ERR_NOT_FOUND: none. */
BK_API BK_MUST_USE enum bk_err bk_checker_selected(const struct bk_checker *ice,
                                                   struct bk_ice_pair_info *out);
/* The selected pair or, before there is one, the best pair that has passed a check: RFC 8445
 * section 12.1 allows data there. BK_ERR_NOT_FOUND: none. */
BK_API BK_MUST_USE enum bk_err bk_checker_best_valid(const struct bk_checker *ice,
                                                     struct bk_ice_pair_info *out);
/* The two above are of stream 0, component 1; these are of any. BK_ERR_NOT_FOUND also: no such
 * stream or component. */
BK_API BK_MUST_USE enum bk_err bk_checker_selected_of(const struct bk_checker *ice, uint16_t stream,
                                                      uint16_t component,
                                                      struct bk_ice_pair_info *out);
BK_API BK_MUST_USE enum bk_err bk_checker_best_valid_of(const struct bk_checker *ice,
                                                        uint16_t stream, uint16_t component,
                                                        struct bk_ice_pair_info *out);
/* By id, as events name it. BK_ERR_NOT_FOUND: gone. */
BK_API BK_MUST_USE enum bk_err bk_checker_pair(const struct bk_checker *ice, uint32_t id,
                                               struct bk_ice_pair_info *out);
/* By addresses, as datagrams name it. BK_ERR_NOT_FOUND. */
BK_API BK_MUST_USE enum bk_err bk_checker_find_pair(const struct bk_checker *ice,
                                                    const struct bk_addr *local,
                                                    const struct bk_addr *remote,
                                                    struct bk_ice_pair_info *out);
/* How many pairs there are. */
BK_API size_t bk_checker_pairs(const struct bk_checker *ice);
/* For index = 0, 1, ... below bk_checker_pairs(); the order changes with every call that takes
 * `now`. BK_ERR_NOT_FOUND: index too large. */
BK_API BK_MUST_USE enum bk_err bk_checker_pair_at(const struct bk_checker *ice, size_t index,
                                                  struct bk_ice_pair_info *out);

/* The state of one checklist, RFC 8445 section 6.1.2.1: BK_ICE_SELECTED is its Completed (every
 * component has a nominated pair), BK_ICE_FAILED its Failed (one of them can have none), the others
 * are its Running (BK_ICE_VALID: data may flow on every component). No such stream: IDLE. */
BK_API enum bk_ice_state bk_checker_stream_state(const struct bk_checker *ice, uint16_t stream);
/* The state that the last event told, or will tell: FAILED when every stream failed, otherwise the
 * least of the streams that did not. */
BK_API enum bk_ice_state bk_checker_get_state(const struct bk_checker *ice);
/* Our role now: a role conflict may have turned it (RFC 8445 section 7.3.1.1). */
BK_API bool bk_checker_is_controlling(const struct bk_checker *ice);

/* Counters since bk_checker_new(). */
struct bk_checker_stats {
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
    uint64_t stale_ufrag;    /* a request whose user name mixes generations, on a new path */
    uint64_t answers_full;   /* requests not answered: the queue of answers was full */
    /* Limits that were hit: */
    uint64_t early_full, locals_full, remotes_full, prflx_full, pairs_full, checks_full;
    uint64_t pairs_evicted;      /* pairs pushed out by others of a kind with fewer pairs */
    uint64_t candidates_refused; /* remote ones nobody can send to, or known */
    uint64_t events_lost;
    uint64_t memory_full; /* after bk_checker_settle(): the allocator had no more */
};

/* Valid until bk_checker_free(); later versions only append. Never NULL. */
BK_API const struct bk_checker_stats *bk_checker_stats(const struct bk_checker *ice);

#ifdef __cplusplus
}
#endif
#endif
