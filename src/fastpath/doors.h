/* SPDX-License-Identifier: MIT
 * The interfaces of this machine that a program could be attached to, and what each can do. */
#ifndef FASTPATH_DOORS_H
#define FASTPATH_DOORS_H

#include "fastpath/fastpath.h"

struct door {
    char name[16];
    uint32_t index;
    uint8_t mac[6];
    bool ethernet;
    bool sends_xdp;  /* its driver takes packets from XDP, others' and its own */
    bool sends_back; /* and its own by the short way, XDP_TX: a virtual link, when the other end has
                        no XDP program, keeps such packets until another one comes (Linux 6.18) */
};

/* Those that are up and have one of the addresses (none or a wildcard: all but loopback). How many
 * of `out` were filled; with 0, see errno. */
size_t doors_list(const struct bk_ip *serve, size_t serve_count, struct door *out, size_t max);

#endif
