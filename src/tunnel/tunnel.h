/* SPDX-License-Identifier: MIT
 * Asking a proxy for a byte stream to somebody else: CONNECT of HTTP (RFC 9110 section 9.3.6) or
 * SOCKS5 (RFC 1928, RFC 1929). No I/O: bytes of the connection to the proxy go in and out until
 * tunnel_recv() says BK_OK; then the connection is the other side's.
 *
 * Use: tunnel_init(), then after it and after each tunnel_recv() write what tunnel_next() gives. */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include "tunnel/answer.h"
#include "tunnel/login.h"
#include "tunnel/proxy.h"
#include <bodkin/env.h>

enum {
    TUNNEL_OUT_MAX = 4096,
    TUNNEL_REASON_MAX = 200,
    TUNNEL_SOCKS_MAX = 262 /* the longest message of a SOCKS5 server: RFC 1928 section 6 */
};

/* What a proxy taught us about its login; kept from one connection to the next. */
struct tunnel_memory {
    struct login login;
};

enum tunnel_state {
    TUNNEL_HTTP,         /* CONNECT is under way */
    TUNNEL_SOCKS_METHOD, /* the proxy chooses how we log in */
    TUNNEL_SOCKS_LOGIN,
    TUNNEL_SOCKS_REPLY,
    TUNNEL_OPEN,
    TUNNEL_FAILED
};

struct tunnel {
    enum tunnel_state state;
    bool again;   /* failed, but the proxy has said how to log in: connect to it once more */
    bool refused; /* the proxy works, and says no to where we want to go */
    char reason[TUNNEL_REASON_MAX]; /* of a failure; one sentence without a full stop */
    /* The rest is internal. */
    const struct proxy *proxy;
    struct tunnel_memory *memory;
    struct bk_rng rng;
    char host[PROXY_HOST_MAX];
    uint16_t port;
    struct answer answer;
    struct login asked; /* this answer's challenges */
    bool logged_in;     /* the request carried a login */
    uint8_t out[TUNNEL_OUT_MAX];
    size_t out_len;
    uint8_t in[TUNNEL_SOCKS_MAX];
    size_t in_len;
};

/* To `host`, a name or an address as text, through `proxy`, both borrowed for the tunnel's life as
 * `memory` is, which starts zeroed. BK_ERR_TOO_LONG: the host is. */
BK_MUST_USE enum bk_err tunnel_init(struct tunnel *t, const struct proxy *proxy,
                                    struct tunnel_memory *memory, const char *host, uint16_t port,
                                    const struct bk_rng *rng);
/* What is to be written to the proxy now; 0: nothing. Valid until the next call. */
size_t tunnel_next(struct tunnel *t, const uint8_t **out);
/* Takes bytes from the proxy. BK_OK: the stream is open, and what is behind the first `*used` bytes
 * is the other side's. BK_ERR_SHORT: more is needed. All else is a failure: BK_ERR_AUTH (the
 * login), BK_ERR_REFUSED, BK_ERR_UNREACHABLE (the proxy cannot get there), BK_ERR_UNSUPPORTED,
 * BK_ERR_MALFORMED and BK_ERR_TOO_LONG (no proxy's answer); `reason` says it, `again` may be set.
 */
BK_MUST_USE enum bk_err tunnel_recv(struct tunnel *t, const uint8_t *data, size_t len,
                                    size_t *used);
void tunnel_fini(struct tunnel *t); /* wipes what was in it */

#endif
