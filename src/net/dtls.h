/* SPDX-License-Identifier: MIT
 * DTLS clients (RFC 6347): a datagram socket whose messages are sealed. One socket for one server.
 *
 * Life: net_dtls_connect(); on_open when the handshake is over and the server verified; on_message;
 * at last on_close, after which the object is gone. net_dtls_close() ends it earlier, and no
 * callback follows. Callbacks may call everything, closing included. */
#ifndef NET_DTLS_H
#define NET_DTLS_H

#include "net/loop.h"
#include "net/tls.h"
#include <bodkin/addr.h>

struct net_dtls;

struct net_dtls_events {
    void (*on_open)(void *ctx);
    void (*on_message)(void *ctx, const uint8_t *data, size_t len); /* one record: a view */
    /* The last call. BK_ERR_TIMEOUT: no answer, or none that ends the handshake. BK_ERR_AUTH: the
     * certificate is wrong. BK_ERR_CLOSED: ended by the server. BK_ERR_IO. `reason` is one sentence
     * without a full stop; a view. */
    void (*on_close)(void *ctx, enum bk_err err, const char *reason);
};

struct net_dtls_config {
    struct net_tls *tls;     /* a client's context; a reference is taken */
    const char *server_name; /* for SNI and verification; NULL: none */
    struct bk_addr from;     /* our address; port 0 picks one; family NONE: the system's choice */
    int64_t open_timeout_us; /* default 10 s */
};
extern const struct net_dtls_config net_dtls_config_default;

/* Never calls back from inside. Errors as net_udp_open(); BK_ERR_ARGUMENT: a name is needed. */
BK_MUST_USE enum bk_err net_dtls_connect(struct net_loop *loop, const struct bk_addr *to,
                                         const struct net_dtls_config *config,
                                         const struct net_dtls_events *events, void *ctx,
                                         struct net_dtls **out);
/* One message, one record, one datagram. BK_ERR_STATE: not open. BK_ERR_TOO_LONG: no datagram holds
 * it. BK_ERR_FULL: dropped, the network is slower than we are. */
BK_MUST_USE enum bk_err net_dtls_send(struct net_dtls *d, const void *data, size_t len);
/* Says goodbye and is gone. NULL is fine. */
void net_dtls_close(struct net_dtls *d);
/* Our end; the wildcard address where the choice was left to the system. */
struct bk_addr net_dtls_local(const struct net_dtls *d);

#endif
