/* SPDX-License-Identifier: MIT
 * Ways through two NATs that checks between known addresses do not find: port prediction, fan-in
 * and fan-out, birthday bursts, fresh ports for a second try. One object per session and side; it
 * sends nothing itself. It asks its owner for sockets, STUN questions and ICE checks, and a hit is
 * always a check that arrived: the peer's checker makes a peer-reflexive candidate of it (RFC 8445
 * section 7.3.1.3) and answers with a triggered check, so an ordinary ICE peer can be hit as well.
 *
 * Who does what: the leader (side 0, who offered the session) asks the oracle what to try, from the
 * traits of both NATs, and says so in a note; the follower (side 1) obeys within its own budget.
 * Each side adds to its note what only it can know: the port that a STUN server saw, or the ports
 * that its next mappings should get. Notes travel in the sealed signalling, at least once, the
 * newest replacing the older; a step begins at the follower when the leader's note arrives and at
 * the leader half a round trip of the signalling later, so both begin together.
 *
 *     leader                                        follower
 *     note {step 1, method, forecast} ───────────►
 *                         ◄─────────── note {step 1, forecast}
 *     opens, probes ...   ◄══════ checks ══════►    opens, probes ...
 *     nothing hit: note {step 2, another method}
 *
 * Plain methods (direct, punch, IPv6 ...) need nothing from here: the checker runs them by itself
 * from the first instant, and this object only waits for them, then tries with fresh ports. A
 * failed step is never repeated as it was. When the oracle is left with the relay, it is over.
 *
 * Safety: packets go only to addresses of punch_set_peer(); every budget is the smaller of both
 * sides'; punch_stats.packets never passes config.packets_max in one attempt.
 *
 * What the owner must know:
 * - PUNCH_CLOSE may come before a punch_opened() or punch_mapped() that it answers: then these must
 *   not come any more. The same index may be opened again right after it, as another socket.
 * - punch_bound() comes before punch_opened(). A NAT that preserves ports is hit by that alone, and
 *   PUNCH_OPEN wants neighbouring ports for it.
 * - A STUN question is to be repeated quickly: a prediction ages while it waits. Where it took too
 *   long a fresh socket asks again.
 * - A check that is answered or arrives on any socket is a hit, also in a later step or from a port
 *   that nobody named: tell it by punch_stop() at once. Sockets live until the step is over.
 * - Nothing starts without punch_set_peer(); after it, and after punch_set_traits() or
 *   punch_set_ttl(), call punch_advance(). Traits may be all zero: then plain ports, predictions
 *   and birthdays are tried in turn, which takes seconds.
 * - After punch_is_over() became true it may become false again, when other traits are told.
 *
 * After every call that takes `now`: drain punch_next_action(), look at punch_take_note(), read
 * punch_deadline(). RFC 4787 and 5128 have the words; docs/oracle.md the numbers. */
#ifndef PUNCH_PUNCH_H
#define PUNCH_PUNCH_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/nat_traits.h>
#include <bodkin/oracle.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    PUNCH_SHARED = 0,        /* the session's own socket; always open */
    PUNCH_SOCKETS_MAX = 257, /* indices are below: the shared one and 256 fresh ones */
    PUNCH_PEER_MAX = 4,      /* outside addresses of the peer */
    PUNCH_STEPS_MAX = 8      /* of one attempt */
};

/* What one side tells the other about a step. All zero: nothing yet. */
struct punch_note {
    uint8_t step;        /* 1.. within an attempt */
    uint8_t attempt;     /* counts with the ICE generation */
    uint8_t method;      /* enum bk_oracle_method; the leader's word */
    uint8_t reached;     /* whose mapping is to be hit; the leader's word */
    bool both;           /* both sides guess; the leader's word */
    bool spent;          /* this side has sent all it had for this step */
    uint16_t window;     /* of predicted ports; the leader's word */
    uint16_t sockets[2]; /* per side, at most; the leader's word, the follower may take less */
    uint16_t ports[2];   /* the same for different ports sent to */
    struct bk_addr aim;  /* where this side can be hit: the mapping of the socket it uses, or the
                            first port predicted; port 0: unknown, guess; family 0: not yet said */
    int16_t stride;      /* from one predicted port to the next; 0: aim.port is known, not
                            predicted */
    uint16_t min, max;   /* the ports to guess or to wrap a prediction in; 0: as in the traits */
    uint16_t run, gap;   /* not all of them: `run` from `min` on, and again every `gap` ports, as
                            MAP-E gives them (RFC 7597 section 5.1); 0: all */
};

struct punch_config {
    bool leader;
    uint16_t sockets_max;  /* fresh ones at once; 0..256; 256 */
    uint16_t probes_max;   /* ports tried in one step; 1..2048; 1024 */
    uint32_t packets_max;  /* checks in one attempt; 2048 */
    uint16_t pace_pps;     /* first second; 200 */
    uint16_t pace_max_pps; /* doubled each second up to this; 200: it is not. Whatever the pace, the
                              first 64 (128 for a block) leave at 1000 a second */
    uint32_t wait_us;      /* for plain checks, before the first step; 400 ms, or 4 round trips if
                              that is more; 0 only in tests */
    struct bk_rng rng;
    struct bk_trace trace;
};
extern const struct punch_config punch_config_default;

enum punch_action_kind {
    PUNCH_OPEN,  /* a UDP socket of `remote.ip`'s family, any port: answer with punch_opened() */
    PUNCH_CLOSE, /* that socket is not needed any more */
    PUNCH_ASK,   /* ask a STUN server from `socket`: answer with punch_mapped() */
    PUNCH_CHECK  /* send an ICE check from `socket` to `remote`, with `ttl` unless 0 */
};

struct punch_action {
    enum punch_action_kind kind;
    uint16_t socket;
    struct bk_addr remote; /* PUNCH_CHECK; PUNCH_OPEN: the family */
    uint8_t ttl;
    uint16_t port; /* PUNCH_OPEN: the local port that is wanted; any other will do, too, as long
                      as punch_bound() tells which; 0: any */
};

/* What came of one step. */
struct punch_step {
    uint8_t method, reached;
    bool hit;
    uint16_t sockets;          /* opened here */
    uint32_t packets;          /* checks asked for here */
    int64_t begun_us, took_us; /* from the start of the attempt */
};

struct punch_stats {
    uint32_t packets; /* in this attempt */
    uint32_t sockets; /* open now */
    uint64_t refused; /* notes that made no sense, or pointed elsewhere */
};

struct punch;

/* Allocates everything. BK_ERR_ARGUMENT: a field is out of range. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err punch_new(const struct punch_config *config, const struct bk_alloc *alloc,
                                  struct punch **out);
void punch_free(struct punch *p);

/* --- what is known; all may come late and change --- */

/* Both NATs, as natcheck and the peer's signalling tell. All zero: nothing is known. */
void punch_set_traits(struct punch *p, const struct bk_nat_traits *mine,
                      const struct bk_nat_traits *theirs, struct bk_time now);
/* Our shared socket as a STUN server sees it. */
void punch_set_mapped(struct punch *p, const struct bk_addr *mapped);
/* The peer's outside addresses with the ports that STUN servers saw: its server-reflexive and
 * peer-reflexive candidates. Nothing is sent to any other IP address. */
void punch_set_peer(struct punch *p, const struct bk_addr *addrs, size_t count);
/* Round trips: between the peers (0: unknown, the signalling's is taken), and over the signalling:
 * from a note to the answer to it, the relay on the way included (0: unknown). */
void punch_set_rtt(struct punch *p, int64_t peer_us, int64_t signal_us);
/* With this TTL a packet passes our own outermost NAT and dies soon after; 0: not known. */
void punch_set_ttl(struct punch *p, uint8_t ttl);

/* --- an attempt --- */

/* Both sides have each other's candidates: checks run. `attempt` is the ICE generation. */
void punch_start(struct punch *p, uint8_t attempt, struct bk_time now);
/* A check got through: closes every socket but `keep` (PUNCH_SHARED: no other), ends the attempt.
 * Also when the session gives up. `hit`: it counts for the step under way. */
void punch_stop(struct punch *p, bool hit, uint16_t keep, struct bk_time now);
bool punch_is_over(const struct punch *p); /* stopped, or nothing left to try */

/* The peer's note. */
void punch_note_recv(struct punch *p, const struct punch_note *note, struct bk_time now);
/* true once when ours is new. */
bool punch_take_note(struct punch *p, struct punch_note *out);

/* Which local port a fresh socket has: before its punch_opened(). A NAT that preserves ports cannot
 * be predicted without. */
void punch_bound(struct punch *p, uint16_t socket, uint16_t port);
void punch_opened(struct punch *p, uint16_t socket, enum bk_err err, struct bk_time now);
/* family 0: no server answered. */
void punch_mapped(struct punch *p, uint16_t socket, const struct bk_addr *mapped,
                  struct bk_time now);

void punch_advance(struct punch *p, struct bk_time now);
struct bk_time punch_deadline(const struct punch *p);
bool punch_next_action(struct punch *p, struct punch_action *out);

/* --- what it did and why --- */

/* What the oracle says about the pair as it is known now. */
const struct bk_oracle_verdict *punch_verdict(const struct punch *p);
/* The steps of this attempt, oldest first. */
size_t punch_steps(const struct punch *p, const struct punch_step **out);
const struct punch_stats *punch_stats(const struct punch *p);

#endif
