/* SPDX-License-Identifier: MIT
 * Sockets that came from another process: what they are, as the kernel says. */
#ifndef NET_HANDED_H
#define NET_HANDED_H

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>

struct net_handed {
    struct bk_addr local;
    bool stream; /* TCP; else UDP */
    bool listens;
};

/* BK_ERR_ARGUMENT: not a bound socket of these. */
BK_MUST_USE enum bk_err net_handed_look(int fd, struct net_handed *out);

#endif
