/* SPDX-License-Identifier: MIT
 * Where nothing portable tells on which interface a datagram came, and from how far. */
#ifndef __linux__
#include "net/neighbours.h"

enum bk_err net_neighbours_new(struct net_loop *loop, const struct net_neighbours_config *config,
                               struct net_neighbours **out) {
    (void)loop;
    (void)config;
    (void)out;
    return BK_ERR_UNSUPPORTED;
}

void net_neighbours_free(struct net_neighbours *n) {
    (void)n;
}

void net_neighbours_set_interfaces(struct net_neighbours *n, const struct net_interface *list,
                                   size_t count) {
    (void)n;
    (void)list;
    (void)count;
}

void net_neighbours_send(struct net_neighbours *n, uint32_t link, const struct bk_addr *to,
                         const uint8_t *data, size_t len) {
    (void)n;
    (void)link;
    (void)to;
    (void)data;
    (void)len;
}

#else
typedef int neighbours_posix_is_empty; /* ISO C wants a declaration in every file */
#endif
