/* SPDX-License-Identifier: MIT
 * Which way the session's packets go: over the relay or over the direct path.
 *
 * Actors: ICE says when a direct pair works and answers probes (round trips on that pair); the
 * session reports every packet it sends or hears on either way. Rules:
 * - The relay is valid from the first instant. A direct path is used as soon as ICE has one.
 * - Liveness is judged on the data path: packets went out on the direct path and nothing came back
 *   for a round trip and a margin, or the peer's packets suddenly arrive over the relay. Then the
 *   path is *in doubt*: packets take the relay at once, silently, and ICE is asked to probe.
 * - An answered probe ends the doubt: a round trip is the only proof that both directions work.
 *   Without one the path is given up, which the user is told, and ICE goes on looking.
 * Only state and time in here: no packets, no I/O. */
#ifndef PEER_PATH_H
#define PEER_PATH_H

#include <bodkin/time.h>
#include <stdbool.h>
#include <stdint.h>

enum path_state {
    PATH_RELAYED,
    PATH_DIRECT,
    PATH_IN_DOUBT, /* still called direct, but packets take the relay until a probe is answered */
    PATH_STATES
};

struct path_config {
    int64_t silence_min_us; /* shortest silence that raises a doubt; default 100 ms */
    int64_t margin_us;      /* added to the round trip before silence means anything; 50 ms */
    int64_t patience_us;    /* what QUIC's measurements may stretch that silence to; 200 ms, so that
                               a dead path is left within half a second */
};

extern const struct path_config path_config_default;

struct path {
    struct path_config config;
    enum path_state state;
    int64_t rtt_us;            /* of the direct path */
    int64_t usual_us;          /* how long answers take at present, see path_measured() */
    struct bk_time heard;      /* last packet on the direct path */
    struct bk_time unanswered; /* first packet sent on it since then, or BK_NEVER */
    struct bk_time doubt_ends; /* in doubt: give the path up then */
    uint64_t doubts;           /* how often it was in doubt */
    bool want_probe;           /* ICE should probe now; path_take_probe() reads and clears it */
};

void path_init(struct path *p, const struct path_config *config);

/* ICE has a working direct pair (again), or answered a probe, with this round-trip time. */
void path_up(struct path *p, int64_t rtt_us, struct bk_time now);
/* ICE has no working pair any more. */
void path_down(struct path *p);
void path_sent_direct(struct path *p, struct bk_time now);
void path_heard_direct(struct path *p, struct bk_time now);
/* What QUIC measures under way: round trips grow and vary with queues and busy machines, and a
 * doubt for nothing costs throughput (packets overtake each other, congestion control sees losses).
 */
void path_measured(struct path *p, int64_t srtt_us, int64_t rttvar_us);
/* A packet of the peer that could have come directly arrived over the relay. */
void path_heard_relay(struct path *p, struct bk_time now);

void path_advance(struct path *p, struct bk_time now);
struct bk_time path_deadline(const struct path *p);

/* Do packets go out on the direct path now? */
bool path_is_direct(const struct path *p);
/* true once after each doubt: ask ICE to probe. */
bool path_take_probe(struct path *p);

#endif
