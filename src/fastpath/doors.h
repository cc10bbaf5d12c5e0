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
    bool sends_xdp;  /* its driver takes packets from XDP, of any interface */
    bool sends_back; /* its driver takes those that came in by it (XDP_TX). Not a virtual link: it
                        keeps them until another comes, where the other end has no XDP program
                        (Linux 6.18) */
};

/* Those that are up and have one of the addresses (none or a wildcard: all but loopback). How many
 * of `out` were filled; with 0, see errno. */
size_t doors_list(const struct bk_ip *serve, size_t serve_count, struct door *out, size_t max);

#endif
