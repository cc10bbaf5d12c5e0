/* SPDX-License-Identifier: MIT
 * Addresses of STUN and TURN servers: the "stun", "stuns", "turn" and "turns" URIs of RFC 7064 and
 * RFC 7065. Pure functions. */
#ifndef SDP_URI_H
#define SDP_URI_H

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>

enum { URI_HOST_MAX = 255 };

struct server_uri {
    bool turn;                   /* else STUN only */
    bool secure;                 /* stuns, turns: TLS over TCP, DTLS over UDP */
    enum bk_protocol protocol;   /* what ?transport= says; UDP unless secure */
    uint16_t port;               /* 3478, secure 5349, unless given */
    struct bk_ip ip;             /* the host when it is an address; family NONE: `host` is a name */
    char host[URI_HOST_MAX + 1]; /* as written, without brackets; NUL-terminated */
};

/* BK_ERR_MALFORMED. BK_ERR_UNSUPPORTED: another scheme or transport. BK_ERR_TOO_LONG. */
BK_MUST_USE enum bk_err uri_read(const char *text, struct server_uri *out);

#endif
