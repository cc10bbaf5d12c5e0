/* SPDX-License-Identifier: MIT
 * The servers that `bodkin nat` asks: what people write, and home servers. */
#ifndef CLI_NAT_SERVER_H
#define CLI_NAT_SERVER_H

#include "peer/home_url.h"
#include <bodkin/err.h>
#include <stdint.h>

enum { NAT_SERVER_TEXT_MAX = HOME_HOST_MAX + 10, NAT_SERVER_PORT = 3478 };

struct nat_server {
    char host[HOME_HOST_MAX]; /* a name or an address, without brackets */
    uint16_t port;            /* STUN, UDP and TCP */
    uint16_t tcp_port;        /* where it takes TCP connections: shows that it is there */
};

/* "HOST", "HOST:PORT", "ADDRESS", "[IPV6]:PORT", each also behind "stun:" (RFC 7064). The port is
 * 3478 unless given. BK_ERR_MALFORMED. */
BK_MUST_USE enum bk_err nat_server_parse(const char *text, struct nat_server *out);
/* The STUN server that is part of a home server with a STUN port. */
void nat_server_of_home(const struct home *home, struct nat_server *out);
/* "stun.example:3478". `out` has room for NAT_SERVER_TEXT_MAX. Returns `out`. */
char *nat_server_text(const struct nat_server *s, char *out);

#endif
