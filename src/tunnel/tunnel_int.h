/* SPDX-License-Identifier: MIT
 * Private to tunnel: what its two protocols share. */
#ifndef TUNNEL_TUNNEL_INT_H
#define TUNNEL_TUNNEL_INT_H

#include "tunnel/tunnel.h"

/* Ends the attempt. The reason is "the proxy HOST:PORT" and `what`, and "HOST:PORT" of the
 * destination behind that if `name_target`. */
enum bk_err tunnel_fail(struct tunnel *t, enum bk_err err, const char *what, bool name_target);
/* HOST:PORT, an IPv6 address in brackets: RFC 9112 section 3.2.3, authority-form. */
void tunnel_put_target(struct text *out, const char *host, uint16_t port);

void tunnel_start_http(struct tunnel *t);
void tunnel_start_socks(struct tunnel *t);
enum bk_err tunnel_recv_http(struct tunnel *t, const uint8_t *data, size_t len, size_t *used);
enum bk_err tunnel_recv_socks(struct tunnel *t, const uint8_t *data, size_t len, size_t *used);

#endif
