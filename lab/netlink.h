/* SPDX-License-Identifier: MIT
 * Interfaces, addresses and routes of the network namespace the caller is in, by rtnetlink: the
 * `ip` program is not on every machine. */
#ifndef LAB_NETLINK_H
#define LAB_NETLINK_H

#include "topology/topology.h"
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NETLINK_BATCH = 2048 }; /* room for what a host with TOPOLOGY_ADDRESSES_MAX needs */

struct netlink {
    int route; /* a NETLINK_ROUTE socket */
    uint32_t sequence;
    bool overflow;
    size_t len, last; /* of the batch, and where its last request begins */
    _Alignas(8) uint8_t batch[NETLINK_BATCH];
};

/* BK_ERR_IO with errno set. */
BK_MUST_USE enum bk_err netlink_open(struct netlink *n);
void netlink_close(struct netlink *n);
/* The number of the interface; 0: there is none. */
uint32_t netlink_index(const struct netlink *n, const char *interface);

/* Requests for the batch. Flags of an interface are set when all else is as it should be. */
void netlink_link_up(struct netlink *n, uint32_t interface);
void netlink_link_size(struct netlink *n, uint32_t interface, uint32_t mtu, uint32_t queue_packets);
/* Usable at once: IPv6 duplicate detection is off, there is nobody on a TUN device to ask. */
void netlink_add_address(struct netlink *n, uint32_t interface,
                         const struct topology_prefix *address);
/* A default route for the family of `source`. */
void netlink_add_default_route(struct netlink *n, uint32_t interface, const struct bk_ip *source);
/* No link-local address. May come to nothing, where there is no IPv6; to be committed alone. */
void netlink_no_link_local(struct netlink *n, uint32_t interface);
/* Sends the batch and waits until the kernel has done it all: one system call each, where every
 * request with an answer of its own would be two. BK_ERR_IO with errno of the first refusal. */
BK_MUST_USE enum bk_err netlink_commit(struct netlink *n);

#endif
