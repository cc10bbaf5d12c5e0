/* SPDX-License-Identifier: MIT
 * A proxy as people write it, and for whom it is not to be used:
 *
 *     [http://][USER:PASSWORD@]HOST[:PORT]           RFC 9110 section 9.3.6, CONNECT
 *     socks5://[USER:PASSWORD@]HOST[:PORT]           RFC 1928; socks5h:// is the same here: the
 *                                                    proxy looks names up
 *
 * HOST is a name, an IPv4 address or an IPv6 address in brackets; user and password may hold
 * percent-encoded bytes (RFC 3986 section 2.1). */
#ifndef TUNNEL_PROXY_H
#define TUNNEL_PROXY_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROXY_HOST_MAX = 254,     /* a DNS name (RFC 1035 section 2.3.4) with its NUL */
    PROXY_WORD_MAX = 128,     /* user, password, with their NUL */
    PROXY_TEXT_MAX = 254 + 24 /* room for proxy_format() */
};

enum proxy_kind { PROXY_NONE, PROXY_HTTP, PROXY_SOCKS5 };

struct proxy {
    enum proxy_kind kind;
    char host[PROXY_HOST_MAX]; /* without brackets */
    uint16_t port;
    bool has_login;
    char user[PROXY_WORD_MAX], password[PROXY_WORD_MAX];
};

/* BK_ERR_UNSUPPORTED: another kind of proxy (https, socks4). BK_ERR_MALFORMED: no host, or letters
 * it cannot have. BK_ERR_ARGUMENT: a port outside 1..65535. BK_ERR_TOO_LONG: host, user or password
 * is. */
BK_MUST_USE enum bk_err proxy_parse(const char *text, size_t len, struct proxy *out);
/* KIND://HOST:PORT, never the login. `out` has room for PROXY_TEXT_MAX. Returns `out`. */
char *proxy_format(const struct proxy *p, char *out);
void proxy_fini(struct proxy *p); /* wipes the login */

/* Does a NO_PROXY list name `host`? Entries stand between commas or white space: `*` is everybody;
 * `example.org` and `.example.org` are that name and all below it; an address is itself; an address
 * with `/BITS` is that network; `:PORT` behind one limits it to that port. */
bool proxy_is_bypassed(const char *list, const char *host, uint16_t port);

#endif
