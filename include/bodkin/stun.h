/* SPDX-License-Identifier: MIT
 * Which address does the Internet see? A STUN binding client (RFC 8489) for one local UDP socket
 * and one server, once or again and again; in the second case it also keeps the NAT's mapping
 * alive.
 *
 * It does no I/O: you own the socket and the clock.
 *
 *     bk_stun_new(&config, &alloc, &rng, now, &stun);
 *     for (;;) {
 *         while (bk_stun_next_datagram(stun, &out))  ...send out.data to out.remote...
 *         while (bk_stun_next_event(stun, &event))   ...use event.mapped...
 *         ...wait for a datagram or for bk_stun_deadline(stun)...
 *         if (received && bk_stun_recv(stun, &in, now) == BK_ERR_NOT_OURS)  ...it is yours...
 *         bk_stun_advance(stun, now);
 *     }
 *
 * The conventions of bodkin/err.h hold. A `now` earlier than the last one counts as the last one.
 */
#ifndef BODKIN_STUN_H
#define BODKIN_STUN_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bk_stun; /* opaque */

struct bk_stun_config {
    struct bk_addr local;  /* your socket; copied into datagrams and events */
    struct bk_addr server; /* its address, not its name; UDP port 3478 is usual */
    int64_t rto_us;        /* first retransmission, doubled each time; 1 ms to 60 s, default 500 ms
                              (RFC 8489 section 6.2.1); 100 ms is fine on today's paths */
    uint8_t sends_max;     /* requests per round; 1 to 16, default 7 (RFC 8489: Rc) */
    uint8_t last_wait;     /* RTOs waited after the last one; 1 to 255, default 16 (RFC 8489: Rm) */
    int64_t every_us;      /* pause between rounds; 1 s or more; 0, the default: one round only.
                              15 s keeps most NATs open (RFC 8445 section 11) */
};

BK_API extern const struct bk_stun_config bk_stun_config_default;

enum bk_stun_event_kind {
    BK_STUN_MAPPED, /* a round succeeded */
    BK_STUN_FAILED  /* a round failed; with every_us the next one comes all the same */
};

struct bk_stun_event {
    enum bk_stun_event_kind kind;
    struct bk_addr local, server;
    struct bk_addr mapped; /* MAPPED: `local` as the server sees it */
    int64_t rtt_us;        /* MAPPED: from the request to its answer */
    bool rtt_exact;  /* false: the request was sent more than once, rtt_us is an upper bound */
    bool changed;    /* MAPPED: not the address of the round before; true the first time */
    enum bk_err err; /* FAILED: BK_ERR_TIMEOUT, or BK_ERR_REFUSED with `code` */
    uint16_t code;   /* the server's STUN error code */
    struct bk_addr alternate; /* with code 300 (Try Alternate): the server it named, or family NONE;
                                 RFC 8489 section 10. Nothing proves it: ask it only if you trust
                                 the way to the first one */
};

/* Starts the first round. *Keeps* copies of the three structs, and uses what their `ctx` point to
 * until bk_stun_free(). BK_ERR_ARGUMENT: a config field is outside its range. BK_ERR_NO_MEMORY. */
BK_API BK_MUST_USE enum bk_err bk_stun_new(const struct bk_stun_config *config,
                                           const struct bk_alloc *alloc, const struct bk_rng *rng,
                                           struct bk_time now, struct bk_stun **out);
/* NULL is fine. */
BK_API void bk_stun_free(struct bk_stun *stun);

/* Asks now instead of waiting for the next round; after a change of network, say. */
BK_API void bk_stun_ask_now(struct bk_stun *stun, struct bk_time now);

/* A datagram came in. BK_OK: it was the answer; an event waits. BK_ERR_NOT_OURS: it is not for this
 * object. BK_ERR_SHORT, BK_ERR_MALFORMED: from the server, but wrong: drop it. */
BK_API BK_MUST_USE enum bk_err bk_stun_recv(struct bk_stun *stun, const struct bk_datagram *in,
                                            struct bk_time now);
/* Runs what is due. */
BK_API void bk_stun_advance(struct bk_stun *stun, struct bk_time now);
/* Call bk_stun_advance() by then. BK_NEVER: nothing is planned. */
BK_API struct bk_time bk_stun_deadline(const struct bk_stun *stun);
/* false: nothing to send. *out is valid until the next call. */
BK_API bool bk_stun_next_datagram(struct bk_stun *stun, struct bk_datagram *out);
/* false: nothing to tell. */
BK_API bool bk_stun_next_event(struct bk_stun *stun, struct bk_stun_event *out);

#ifdef __cplusplus
}
#endif
#endif
