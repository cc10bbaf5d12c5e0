/* SPDX-License-Identifier: MIT
 * Logging in to an HTTP proxy: Basic (RFC 7617) and Digest (RFC 7616, with MD5 and SHA-256). A
 * login is only shown to a proxy that asked for one, and Basic only to one that offers nothing
 * better. */
#ifndef TUNNEL_LOGIN_H
#define TUNNEL_LOGIN_H

#include "base/text.h"
#include "tunnel/proxy.h"
#include <bodkin/env.h>

enum login_scheme { LOGIN_NONE, LOGIN_UNKNOWN, LOGIN_BASIC, LOGIN_DIGEST_MD5, LOGIN_DIGEST_SHA256 };

enum { LOGIN_REALM_MAX = 128, LOGIN_NONCE_MAX = 256 };

/* The best challenge seen, and what is needed to answer it. */
struct login {
    enum login_scheme scheme;
    bool session; /* MD5-sess, SHA-256-sess */
    bool qop_auth, stale;
    char realm[LOGIN_REALM_MAX], nonce[LOGIN_NONCE_MAX], opaque[LOGIN_NONCE_MAX];
    uint32_t count; /* requests under this nonce */
};

/* Reads one Proxy-Authenticate header (RFC 9110 section 11.7.1), which may hold several challenges.
 * Keeps the best. */
void login_challenge(struct login *l, const char *value);
/* Appends a Proxy-Authorization line with its CRLF. `target` is the CONNECT request's. Nothing for
 * LOGIN_NONE and LOGIN_UNKNOWN. */
void login_put(struct login *l, const struct proxy *proxy, const char *target,
               const struct bk_rng *rng, struct text *out);

#endif
