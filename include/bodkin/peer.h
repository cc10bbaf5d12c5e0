/* SPDX-License-Identifier: MIT
 * Peers known by their public key, and encrypted sessions with them over whatever path is best: at
 * once through the home server, directly as soon as the network allows.
 *
 *     struct bk_peer_config config = bk_peer_config_default;
 *     config.home = "https://home.example#PIN";             // what `bodkin serve` printed
 *     bk_peer_new(&config, &events, my_context, &peer, reason);
 *     bk_peer_ticket(peer, ticket);                          // one side: give this away
 *     bk_peer_connect(peer, ticket, &session);               // the other side, with the same home
 *     for (;;)
 *         bk_peer_turn(peer, 1000);                          // everything happens in here
 *
 * Unlike the core (bodkin/checker.h, bodkin/stun.h) this does its own I/O: a peer has UDP sockets,
 * a connection to its home and a loop. Programs with a loop of their own wait for bk_peer_fd() to
 * be readable, and then call bk_peer_turn(peer, 0).
 *
 * Events are callbacks, made only from inside bk_peer_turn(). They may call everything except
 * bk_peer_turn() and bk_peer_free(). A session's pointer is valid until its on_end has returned.
 * The conventions of bodkin/err.h hold; one thread at a time. */
#ifndef BODKIN_PEER_H
#define BODKIN_PEER_H

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bk_peer;    /* this machine as a peer */
struct bk_session; /* one session with one other peer */

enum {
    BK_SEED_LEN = 32,
    BK_KEY_TEXT_MAX = 64,     /* room for a peer's key as text, with its NUL */
    BK_TICKET_TEXT_MAX = 576, /* room for a ticket, with its NUL */
    BK_REASON_MAX = 200
};

struct bk_peer_config {
    size_t size;            /* sizeof(struct bk_peer_config): tells versions apart */
    const char *home;       /* https://HOST[:PORT][#PIN]; copied. Needed, except by peers that only
                               connect with tickets: NULL then, and the first ticket decides */
    const uint8_t *seed;    /* BK_SEED_LEN secret bytes that are this peer's identity; copied. Keep
                               them safe. NULL: a new identity, for this run only */
    bool relay_only;        /* never go direct: peers do not learn our addresses; default false */
    uint16_t udp_port;      /* default 0: any */
    bool private_addresses; /* tell this machine's own addresses only to peers on the same local
                               network, who are found there; others learn what the home sees of it;
                               default false */
    bool no_beacons;        /* neither look for peers on the local network nor answer them there;
                               default false */
    bool no_portmap;        /* do not ask the router to let our UDP port in (PCP, NAT-PMP, UPnP);
                               default false */
    const char *proxy;      /* on the way to the home: http://[USER:PASSWORD@]HOST:PORT or socks5://
                               ...; copied. Default NULL: none. The environment is not read */
};
extern BK_API const struct bk_peer_config bk_peer_config_default;

enum bk_stream_event {
    BK_STREAM_OPENED,   /* the other side opened this stream */
    BK_STREAM_READABLE, /* bk_stream_peek() has something new, or the end */
    BK_STREAM_WRITABLE, /* a write that was cut short can go on */
    BK_STREAM_RESET,    /* the other side gave up sending: what was not read is gone */
    BK_STREAM_STOPPED,  /* the other side does not want what we write */
    BK_STREAM_CLOSED    /* both directions have ended, ours was received, theirs was read */
};

enum bk_session_end {
    BK_END_CLOSED,         /* one side closed it: `code` and `reason` are that side's */
    BK_END_TICKET_REFUSED, /* the ticket is wrong or was used */
    BK_END_PEER_REFUSED,   /* the peer does not allow our key */
    BK_END_BUSY,           /* the peer has as many sessions as it wants */
    BK_END_NOT_HOME,       /* the peer is not connected to its home server */
    BK_END_NO_ANSWER,      /* it is, but does not answer */
    BK_END_IMPOSTOR,       /* somebody without the peer's key answered */
    BK_END_LOST,           /* silent on every path for too long */
    BK_END_FAILED          /* a protocol error: `reason` */
};

/* Each may be NULL. */
struct bk_peer_events {
    /* The connection to the home works, or does not: then `reason` is one sentence without a full
     * stop, and it is tried again for ever. */
    void (*on_home)(void *ctx, bool up, enum bk_err err, const char *reason);
    /* A peer that may has started a session with us. */
    void (*on_incoming)(void *ctx, struct bk_session *session);
    /* The other side has proved its key: data flows both ways. The side that was called may open
     * streams and write before that, from on_incoming on. */
    void (*on_open)(void *ctx, struct bk_session *session);
    /* The path, or the reason for being relayed, is new: bk_session_path(). */
    void (*on_path)(void *ctx, struct bk_session *session);
    void (*on_stream)(void *ctx, struct bk_session *session, int64_t stream,
                      enum bk_stream_event what);
    void (*on_datagram)(void *ctx, struct bk_session *session); /* bk_datagram_peek() */
    /* The last call about a session. */
    void (*on_end)(void *ctx, struct bk_session *session, enum bk_session_end end, uint64_t code,
                   const char *reason);
};

/* ---- This machine ------------------------------------------------------------------------- */

/* `events` is copied. `reason` has room for BK_REASON_MAX; it is written on failure.
 * BK_ERR_ARGUMENT: `home` is not a home server's address, or `proxy` no proxy's. BK_ERR_IO and
 * others: no socket. BK_ERR_NO_MEMORY. */
BK_API BK_MUST_USE enum bk_err bk_peer_new(const struct bk_peer_config *config,
                                           const struct bk_peer_events *events, void *ctx,
                                           struct bk_peer **out, char *reason);
/* Sessions end without a goodbye unless bk_session_close() said it and a turn followed. */
BK_API void bk_peer_free(struct bk_peer *peer);

/* Waits for something to happen, at most `timeout_ms` (0: not at all), and handles it. */
BK_API void bk_peer_turn(struct bk_peer *peer, int timeout_ms);
/* A descriptor that is readable when bk_peer_turn() has work, for poll(); never read it. */
BK_API int bk_peer_fd(const struct bk_peer *peer);

/* Our key as text, as peers know us. `out` has room for BK_KEY_TEXT_MAX. Returns `out`. */
BK_API char *bk_peer_key(const struct bk_peer *peer, char *out);
/* Makes a ticket: it admits the first peer that shows it, and from then on only that peer. `out`
 * has room for BK_TICKET_TEXT_MAX. BK_ERR_STATE: no home. BK_ERR_FULL: 64 tickets are out. */
BK_API BK_MUST_USE enum bk_err bk_peer_ticket(struct bk_peer *peer, char *out);
/* Admits the peer with this key (text) without a ticket. BK_ERR_MALFORMED: not a key.
 * BK_ERR_FULL: 256 peers are allowed. */
BK_API BK_MUST_USE enum bk_err bk_peer_allow(struct bk_peer *peer, const char *key);
/* Starts a session with the peer that made the ticket, or that has this key and allows ours.
 * BK_ERR_MALFORMED: neither a ticket nor a key. BK_ERR_STATE: the ticket is for another home than
 * ours, or a key was given and we have no home. BK_ERR_ARGUMENT: that is ourselves.
 * BK_ERR_FULL: 64 sessions. */
BK_API BK_MUST_USE enum bk_err bk_peer_connect(struct bk_peer *peer, const char *ticket_or_key,
                                               struct bk_session **out);

/* ---- Sessions ------------------------------------------------------------------------------- */

struct bk_path {
    bool direct;
    const char *why;              /* if relayed: "still checking", "UDP is blocked on this side" */
    struct bk_addr local, remote; /* if direct: both ends as the other side sees them */
    int64_t rtt_us;               /* 0: not known yet */
};

/* Which way the session's packets go now. */
BK_API void bk_session_path(const struct bk_session *session, struct bk_path *out);
/* The other side's key as text. `out` has room for BK_KEY_TEXT_MAX. Returns `out`. */
BK_API char *bk_session_key(const struct bk_session *session, char *out);
/* Ends the session; what was written and not received yet is lost (wait for BK_STREAM_CLOSED if it
 * matters). `code` is yours, 0 for a normal end; `reason` may be NULL. on_end follows. */
BK_API void bk_session_close(struct bk_peer *peer, struct bk_session *session, uint64_t code,
                             const char *reason);

/* Opens a bidirectional stream. BK_ERR_STATE: too early, or the session has ended. BK_ERR_FULL: 256
 * streams are open. */
BK_API BK_MUST_USE enum bk_err bk_stream_open(struct bk_peer *peer, struct bk_session *session,
                                              int64_t *stream);
/* Takes as many bytes as there is room for and returns how many; BK_STREAM_WRITABLE follows when
 * that was less than `len`. */
BK_API size_t bk_stream_write(struct bk_peer *peer, struct bk_session *session, int64_t stream,
                              const void *data, size_t len);
/* Nothing more will be written; the other side sees the end after the last byte.
 * BK_ERR_NOT_FOUND: no such stream. BK_ERR_STATE: reset or stopped. */
BK_API BK_MUST_USE enum bk_err bk_stream_finish(struct bk_peer *peer, struct bk_session *session,
                                                int64_t stream);
/* The unread bytes, a view valid until the next call about this session. true with *len == 0: the
 * end. false: nothing now. */
BK_API bool bk_stream_peek(const struct bk_session *session, int64_t stream, const uint8_t **data,
                           size_t *len);
/* The first `len` of them are done with: the other side may send as many more. */
BK_API void bk_stream_consume(struct bk_peer *peer, struct bk_session *session, int64_t stream,
                              size_t len);
/* Gives the stream up in both directions. */
BK_API void bk_stream_reset(struct bk_peer *peer, struct bk_session *session, int64_t stream,
                            uint64_t code);

/* Unreliable and unordered, up to about 1150 bytes. BK_ERR_FULL: the queue is. BK_ERR_TOO_LONG.
 * BK_ERR_STATE: not open. */
BK_API BK_MUST_USE enum bk_err bk_datagram_send(struct bk_peer *peer, struct bk_session *session,
                                                const void *data, size_t len);
/* The oldest one received, a view; bk_datagram_drop() makes room for the next. */
BK_API bool bk_datagram_peek(const struct bk_session *session, const uint8_t **data, size_t *len);
/* The one that bk_datagram_peek() shows; nothing when there is none. */
BK_API void bk_datagram_drop(struct bk_session *session);

#ifdef __cplusplus
}
#endif
#endif
