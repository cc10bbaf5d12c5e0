/* SPDX-License-Identifier: MIT
 * TCP and TLS byte streams, client and server.
 *
 * Life of a stream: created by net_stream_connect() or by a listener; on_open when it carries bytes
 * (TCP connected, TLS finished and verified); on_bytes, on_eof, on_room; and at last on_close,
 * after which the stream is gone. An owner who no longer cares calls net_stream_close() (at once)
 * or net_stream_finish() (after sending what is queued): no callback follows either, and the
 * pointer must be forgotten. Callbacks may call everything, closing included.
 *
 * Backpressure: writes go to a bounded buffer and leave at the end of the turn. A writer that gets
 * BK_ERR_FULL, or has used up net_stream_room(), waits for on_room; a reader that cannot take more
 * pauses. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "net/loop.h"
#include "net/tls.h"
#include <bodkin/addr.h>

struct net_stream;

struct net_stream_events {
    void (*on_open)(void *ctx);                                   /* may be NULL */
    void (*on_bytes)(void *ctx, const uint8_t *data, size_t len); /* a view */
    void (*on_eof)(void *ctx);  /* the other side will send no more; we still can. NULL: the end of
                                   the other side ends the stream */
    void (*on_room)(void *ctx); /* buffered bytes fell to write_low or less; may be NULL */
    /* The last call. BK_OK: both sides finished. BK_ERR_TIMEOUT, BK_ERR_REFUSED (nobody listens),
     * BK_ERR_UNREACHABLE, BK_ERR_NOT_FOUND (no such name), BK_ERR_AUTH (certificate or pin wrong),
     * BK_ERR_CLOSED (ended by the other side), BK_ERR_IO. `reason` is one sentence without a full
     * stop, for users; a view. */
    void (*on_close)(void *ctx, enum bk_err err, const char *reason);
};

struct net_stream_config {
    struct net_tls *tls;     /* NULL: plain TCP. A reference is taken */
    const char *server_name; /* clients: for SNI and verification; NULL: `host` if it is a name */
    size_t write_max;        /* bytes buffered at most; default 256 KiB */
    size_t write_low;        /* on_room at or below this; default 64 KiB */
    int64_t open_timeout_us; /* for names, TCP and TLS together; default 10 s */
    struct bk_addr from;     /* clients: our address and port, which several connections to
                                different servers may share; default: the system's choice */
};
extern const struct net_stream_config net_stream_config_default;

/* Connects to `host`, a name or an address as text, racing its addresses (RFC 8305: families
 * alternate, 250 ms apart). Fails at once only for BK_ERR_NO_MEMORY and BK_ERR_ARGUMENT (port 0, no
 * on_close or on_bytes); everything else is told by on_close. */
BK_MUST_USE enum bk_err net_stream_connect(struct net_loop *loop, const char *host, uint16_t port,
                                           const struct net_stream_config *config,
                                           const struct net_stream_events *events, void *ctx,
                                           struct net_stream **out);
/* The same, to one address. */
BK_MUST_USE enum bk_err net_stream_connect_addr(struct net_loop *loop, const struct bk_addr *to,
                                                const struct net_stream_config *config,
                                                const struct net_stream_events *events, void *ctx,
                                                struct net_stream **out);

/* Queues all of it or nothing. BK_ERR_FULL: the buffer has no room; on_room will tell.
 * BK_ERR_STATE: not open, or shut down. BK_ERR_TOO_LONG: more than write_max. */
BK_MUST_USE enum bk_err net_stream_write(struct net_stream *s, const void *data, size_t len);
/* The same for bytes in several places. */
struct net_piece {
    const void *data;
    size_t len;
};
BK_MUST_USE enum bk_err net_stream_write_pieces(struct net_stream *s,
                                                const struct net_piece *pieces, size_t count);
/* The same as net_stream_write(), but what the kernel takes leaves at once and is not copied: for
 * much at a time. */
BK_MUST_USE enum bk_err net_stream_write_through(struct net_stream *s, const void *data,
                                                 size_t len);
/* on_room will be told when write_low or less is buffered, whether or not it was full before. */
void net_stream_want_room(struct net_stream *s);
/* Other limits from now on; what is buffered stays. */
void net_stream_set_buffer(struct net_stream *s, size_t write_max, size_t write_low);
/* How much net_stream_write() would take now; 0 when not open. */
size_t net_stream_room(const struct net_stream *s);
/* Bytes buffered here and not yet taken by the kernel. */
size_t net_stream_pending(const struct net_stream *s);
/* Sends now, not at the end of the turn. */
void net_stream_flush(struct net_stream *s);
/* Half close: what is buffered still leaves, then the other side sees the end. */
void net_stream_shutdown(struct net_stream *s);
/* Stops and restarts on_bytes and on_eof; TCP then slows the other side down. */
void net_stream_pause(struct net_stream *s);
void net_stream_resume(struct net_stream *s);
/* At once; what is buffered is lost. NULL is fine. */
void net_stream_close(struct net_stream *s);
/* Sends what is buffered, waits for at most `linger_us`, then closes. No callback follows. */
void net_stream_finish(struct net_stream *s, int64_t linger_us);

/* Starts TLS on a stream that was plain until now: as a server from on_accept (after
 * net_stream_adopt()), or on either side from on_bytes, with the bytes that belong to TLS already.
 * A client has said whom it expects with `server_name` of its configuration. on_open follows, or
 * follows once more. Nothing may be buffered. BK_ERR_STATE: not such a stream. */
BK_MUST_USE enum bk_err net_stream_start_tls(struct net_stream *s, struct net_tls *tls,
                                             const uint8_t *data, size_t len);

/* Moving an open stream to the loop of another thread. net_stream_pack() ends it here without a
 * callback; whoever holds the pack may carry it to the other thread (with a lock or a queue
 * between), and unpack or drop it there. BK_ERR_STATE: not open. BK_ERR_NO_MEMORY. */
struct net_stream_pack;
BK_MUST_USE enum bk_err net_stream_pack(struct net_stream *s, struct net_stream_pack **out);
/* Takes `pack`, also on failure. The stream is open; there is no on_open. */
BK_MUST_USE enum bk_err net_stream_unpack(struct net_loop *loop, struct net_stream_pack *pack,
                                          const struct net_stream_events *events, void *ctx,
                                          struct net_stream **out);
/* Closes the connection. Any thread. NULL is fine. */
void net_stream_pack_drop(struct net_stream_pack *pack);

/* TCP's own keepalives (on by default, after a minute): off for connections whose protocol has
 * better ones, so that nothing is sent when nothing has to be. */
void net_stream_no_keepalive(struct net_stream *s);

/* Both ends' addresses; family NONE before TCP is connected. */
struct bk_addr net_stream_local(const struct net_stream *s);
struct bk_addr net_stream_remote(const struct net_stream *s);
/* Certificate `index` (0: leaf) the other side sent, DER, a view valid as long as the stream is.
 * BK_ERR_NOT_FOUND: no such certificate, or no TLS. */
BK_MUST_USE enum bk_err net_stream_peer_cert(const struct net_stream *s, size_t index,
                                             const uint8_t **der, size_t *len);
/* The relay key in the certificate a DERP server adds for fast start, if that may be used: over TLS
 * 1.3 only. BK_ERR_NOT_FOUND: no such certificate, BK_ERR_UNSUPPORTED: not TLS 1.3. */
BK_MUST_USE enum bk_err net_stream_relay_key(const struct net_stream *s, uint8_t relay_key[32]);
/* Was this protocol chosen by ALPN (RFC 7301)? */
bool net_stream_is_alpn(const struct net_stream *s, const char *name);
/* 0: no TLS; otherwise 12 or 13 for TLS 1.2 and TLS 1.3. */
unsigned net_stream_tls_version(const struct net_stream *s);

struct net_listener;

struct net_listener_config {
    struct net_stream_config stream; /* for accepted streams; `tls` may be changed later */
    bool reuse_port;                 /* share the port with other workers; default false */
    bool v6only;                     /* default false */
    int backlog;                     /* default 1024 */
    int socket; /* one of another process' that listens, which becomes the listener's (taken, also
                   on failure) instead of a new one; 0: none */
};
extern const struct net_listener_config net_listener_config_default;

/* A new connection, before TLS. The callback either adopts it with net_stream_adopt() or closes it;
 * on_open follows when TLS is done (without TLS: right after this callback). */
struct net_listener_events {
    void (*on_accept)(void *ctx, struct net_stream *s);
    void *ctx;
};

/* `bind`: port 0 picks one. Errors as net_udp_open(). */
BK_MUST_USE enum bk_err net_listener_open(struct net_loop *loop, const struct bk_addr *bind,
                                          const struct net_listener_config *config,
                                          const struct net_listener_events *events,
                                          struct net_listener **out);
void net_stream_adopt(struct net_stream *s, const struct net_stream_events *events, void *ctx);
struct bk_addr net_listener_local(const struct net_listener *l);
/* Later connections use `tls` (a reference is taken); present ones keep theirs. */
void net_listener_set_tls(struct net_listener *l, struct net_tls *tls);
/* The socket, to be given to another process. It stays the listener's. */
int net_listener_socket(const struct net_listener *l);
/* Accepted streams live on. NULL is fine. */
void net_listener_close(struct net_listener *l);

#endif
