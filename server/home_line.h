/* SPDX-License-Identifier: MIT
 * The one line that clients need: `home: https://HOST[:PORT][?stun=PORT][#PIN]`. */
#ifndef SERVER_HOME_LINE_H
#define SERVER_HOME_LINE_H

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stddef.h>
#include <stdint.h>

enum { HOME_LINE_MAX = 1536 };

struct home_line {
    const char *host;   /* a name or an address as text */
    uint16_t port;      /* 443 is left out */
    uint16_t stun_port; /* 3478 is left out */
    const uint8_t *pin; /* NULL: a certificate that clients can verify */
};

/* Without the newline. Returns `out`, which has room for HOME_LINE_MAX. */
char *home_line_put(const struct home_line *line, char *out);
/* What to call this machine: the first of `listen` that is no wildcard, else the first global
 * address of an interface, else the first other one, else the host name. */
void home_line_host(const struct bk_ip *listen, size_t count, char *out, size_t cap);

#endif
