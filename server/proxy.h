/* SPDX-License-Identifier: MIT
 * The PROXY protocol, versions 1 and 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt): what a
 * proxy in front of us says, before anything else, about who its client is. Pure. Whom to believe
 * is the caller's matter: anybody can write such a header. */
#ifndef SERVER_PROXY_H
#define SERVER_PROXY_H

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    PROXY_V1_MAX = 107, /* section 2.1, with CR and LF, without the NUL */
    PROXY_V2_MAX = 536  /* section 2.2: the least that everybody must take; the longest we do */
};

struct proxy_header {
    size_t len;  /* of the header: what follows is the client's */
    bool local;  /* the proxy speaks for itself (a health check), or does not know for whom: the
                    addresses are the connection's own, and those below family NONE */
    bool stream; /* TCP; otherwise UDP */
    struct bk_addr client, server; /* the client, and the address it wanted */
};

/* Of a connection; `data` is what has been read so far. BK_ERR_SHORT: read more (never more than
 * PROXY_V2_MAX bytes). BK_ERR_NOT_OURS: it begins otherwise. BK_ERR_MALFORMED, BK_ERR_TOO_LONG: it
 * claims to be a header. */
BK_MUST_USE enum bk_err proxy_header_parse(struct proxy_header *out, const uint8_t *data,
                                           size_t len);
/* Of a datagram: version 2 only, section 2.2, and whole. */
BK_MUST_USE enum bk_err proxy_header_parse_datagram(struct proxy_header *out, const uint8_t *data,
                                                    size_t len);

#endif
