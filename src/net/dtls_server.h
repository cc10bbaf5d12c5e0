/* SPDX-License-Identifier: MIT
 * A DTLS 1.2 server (RFC 6347) on sockets of the owner's: datagrams go in, datagrams and messages
 * come out. Sessions are told apart by both addresses.
 *
 * Nothing is kept for anybody who has not shown that it hears what is sent to it: the first answer
 * is a cookie, made of the client's address and a key, and shorter than what it answers. Handshakes
 * are bounded in number and time; a session lives until its deadline, which the owner moves.
 *
 * Callbacks may call everything, closing the session included. */
#ifndef NET_DTLS_SERVER_H
#define NET_DTLS_SERVER_H

#include "net/loop.h"
#include "net/stream.h"
#include "net/tls.h"
#include <bodkin/addr.h>

struct net_dtls_server;
struct net_dtls_session;

enum net_dtls_end {
    NET_DTLS_CLOSED,  /* by the client */
    NET_DTLS_IDLE,    /* its deadline has come */
    NET_DTLS_BROKEN,  /* an alert, or a record that cannot be */
    NET_DTLS_REPLACED /* the client began anew from the same address */
};

struct net_dtls_server_events {
    /* A datagram for the network. `door` is what came along with the session's datagrams. */
    void (*send)(void *ctx, void *door, const struct bk_datagram *out);
    void (*on_open)(void *ctx, struct net_dtls_session *s);
    void (*on_message)(void *ctx, struct net_dtls_session *s, const uint8_t *data, size_t len);
    /* The last call; only for sessions that were open, and not after net_dtls_session_close(). */
    void (*on_close)(void *ctx, struct net_dtls_session *s, enum net_dtls_end why);
    void *ctx;
};

struct net_dtls_server_config {
    struct net_tls *tls;     /* a server's; a reference is taken */
    uint32_t sessions_max;   /* default 10000 */
    uint32_t handshakes_max; /* of these; default 500 */
    int64_t handshake_us;    /* default 10 s */
    int64_t idle_us;         /* the first deadline of an open session; default 30 s */
};
extern const struct net_dtls_server_config net_dtls_server_config_default;

struct net_dtls_server_counters {
    uint64_t cookies;      /* sent */
    uint64_t dropped;      /* records of no session, and what is too short to be a hello */
    uint64_t full;         /* handshakes refused: too many of them, or of sessions */
    uint64_t failed, late; /* handshakes */
    uint64_t opened;
    uint32_t sessions, handshakes; /* now; a handshake is a session, too */
};

BK_MUST_USE enum bk_err net_dtls_server_new(struct net_loop *loop,
                                            const struct net_dtls_server_config *config,
                                            const struct net_dtls_server_events *events,
                                            struct net_dtls_server **out);
/* Says goodbye to all; no callback but `send`. NULL is fine. */
void net_dtls_server_free(struct net_dtls_server *d);
/* Later sessions show this certificate; a reference is taken. */
void net_dtls_server_set_tls(struct net_dtls_server *d, struct net_tls *tls);
/* A datagram whose first byte is 20 to 63 (RFC 7983 section 7). `door`: where answers leave. */
void net_dtls_server_recv(struct net_dtls_server *d, void *door, const struct bk_datagram *in);
const struct net_dtls_server_counters *net_dtls_server_counters(const struct net_dtls_server *d);

/* One message, one record, one datagram; the pieces go one after the other. BK_ERR_STATE: not open.
 * BK_ERR_TOO_LONG: no record holds it. BK_ERR_IO. */
BK_MUST_USE enum bk_err net_dtls_session_send(struct net_dtls_session *s,
                                              const struct net_piece *pieces, size_t count);
/* Says goodbye and is gone. */
void net_dtls_session_close(struct net_dtls_session *s);
/* The session ends then (NET_DTLS_IDLE), unless this is called again. Cheap. */
void net_dtls_session_keep(struct net_dtls_session *s, struct bk_time until);
struct bk_addr net_dtls_session_local(const struct net_dtls_session *s);
struct bk_addr net_dtls_session_remote(const struct net_dtls_session *s);
/* A pointer of the owner's; NULL at first. */
void net_dtls_session_set_owner(struct net_dtls_session *s, void *owner);
void *net_dtls_session_owner(const struct net_dtls_session *s);
/* Was this protocol chosen by ALPN? */
bool net_dtls_session_is_alpn(const struct net_dtls_session *s, const char *name);

#endif
