/* SPDX-License-Identifier: MIT
 * The home server's address as people write it:
 *
 *     https://HOST[:PORT][/][?stun=PORT][#PIN]
 *
 * HOST is a name, an IPv4 address or an IPv6 address in brackets. PORT defaults to 443 (80 for
 * http), the STUN port to 3478; stun=0 says the server has none. PIN is the base64url text (43
 * letters, no padding) of the 32 bytes that the server's key must hash to; without one, the
 * certificate is verified as for any web site. http:// is the relay without TLS, for tests. */
#ifndef PEER_HOME_URL_H
#define PEER_HOME_URL_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HOME_HOST_MAX = 254,    /* a DNS name (RFC 1035 section 2.3.4) with its NUL */
    HOME_PIN_LEN = 32,      /* SHA-256 of the key */
    HOME_URL_TEXT_MAX = 352 /* room for the longest URL, with its NUL */
};

struct home {
    char host[HOME_HOST_MAX]; /* without brackets */
    uint16_t https_port;
    uint16_t stun_port; /* 0: none */
    bool plain;         /* http: no TLS */
    bool has_pin;
    uint8_t pin[HOME_PIN_LEN];
};

/* White space around is tolerated; a bare HOST[:PORT][#PIN] counts as https.
 * BK_ERR_NOT_OURS: another scheme (ftp:, file:). BK_ERR_MALFORMED: no host, or letters a host
 * cannot have, or an unknown option. BK_ERR_ARGUMENT: a port outside 1..65535 (stun: 0..65535).
 * BK_ERR_AUTH: the pin is not 43 letters of base64url. BK_ERR_TOO_LONG: the host name is. */
BK_MUST_USE enum bk_err home_url_parse(const char *text, size_t len, struct home *out);
/* Writes the shortest URL that home_url_parse reads back as `home`. `out` has room for
 * HOME_URL_TEXT_MAX. Returns `out`. */
char *home_url_format(const struct home *home, char *out);
/* True for what home_url_parse accepts as a host: a DNS name's letters or an IP address. */
bool home_host_is_valid(const char *host, size_t len);
bool home_equal(const struct home *a, const struct home *b);

#endif
