/* SPDX-License-Identifier: MIT
 * Where users are asked for: http://HOST[:PORT]/PATH or https://..., the host a name or an address
 * ([..] around IPv6). */
#ifndef SERVER_USERS_URL_H
#define SERVER_USERS_URL_H

#include "net/tls.h"
#include <bodkin/err.h>
#include <stdbool.h>
#include <stdint.h>

enum { USERS_URL_HOST_MAX = 254, USERS_URL_PATH_MAX = 256 };

struct users_url {
    char host[USERS_URL_HOST_MAX], path[USERS_URL_PATH_MAX];
    uint16_t port;
    bool tls;
    bool is_name; /* not an address */
};
/* BK_ERR_MALFORMED: not such a URL. */
BK_MUST_USE enum bk_err users_url_parse(const char *text, struct users_url *out);

/* What one worker is told. */
struct users_target {
    struct users_url url; /* host "": nobody is asked */
    struct net_tls *tls;  /* a reference, where the URL says https */
};
/* Takes a reference of `tls`. NULL: no memory. */
struct users_target *users_target_new(const struct users_url *url, struct net_tls *tls);
/* NULL is fine. */
void users_target_free(struct users_target *t);

#endif
