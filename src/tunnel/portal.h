/* SPDX-License-Identifier: MIT
 * Is there a captive portal (RFC 8952) between us and the home server? A plain HTTP request for the
 * page that every relay answers with 204 and our challenge: whoever answers otherwise stands
 * between. Only the home server is asked, nobody else. RFC 8908 and RFC 8910 let a network name its
 * portal, but to the host's DHCP client, not to us. */
#ifndef TUNNEL_PORTAL_H
#define TUNNEL_PORTAL_H

#include "base/text.h"
#include "tunnel/answer.h"
#include <bodkin/env.h>

enum { PORTAL_URL_MAX = 120, PORTAL_REQUEST_MAX = 512, PORTAL_CHALLENGE_LEN = 32 };

enum portal_verdict {
    PORTAL_UNKNOWN, /* the answer says nothing: an ordinary web server, or none */
    PORTAL_NONE,    /* the home server itself answered */
    PORTAL_THERE    /* somebody else did, and wants a browser */
};

struct portal {
    char url[PORTAL_URL_MAX]; /* to open in a browser */
    /* The rest is internal. */
    char host[254];
    char challenge[PORTAL_CHALLENGE_LEN + 1];
    char location[PORTAL_URL_MAX];
    bool answered; /* our challenge came back */
    struct answer answer;
};

/* Writes the request. `host` is a name or an address as text of at most 253 letters; `request` has
 * room for PORTAL_REQUEST_MAX. Returns its length. */
size_t portal_init(struct portal *p, const char *host, const struct bk_rng *rng, char *request);
/* Takes bytes of the answer. BK_OK: `*verdict` is there. BK_ERR_SHORT: more is needed. Others: it
 * is no HTTP. */
BK_MUST_USE enum bk_err portal_recv(struct portal *p, const uint8_t *data, size_t len,
                                    enum portal_verdict *verdict);

#endif
