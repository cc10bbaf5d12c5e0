/* SPDX-License-Identifier: MIT
 * Interfaces, addresses and routes of the network namespace the caller is in, by rtnetlink and
 * ioctl: the `ip` program is not on every machine. */
#ifndef LAB_NETLINK_H
#define LAB_NETLINK_H

#include "topology/topology.h"
#include <bodkin/err.h>
#include <stdint.h>

struct netlink {
    int route; /* a NETLINK_ROUTE socket */
    int inet;  /* for the SIOC... ioctls */
    uint32_t sequence;
};

/* Errors of all functions: BK_ERR_IO with errno set. */
BK_MUST_USE enum bk_err netlink_open(struct netlink *n);
void netlink_close(struct netlink *n);
BK_MUST_USE enum bk_err netlink_link_up(struct netlink *n, const char *interface);
BK_MUST_USE enum bk_err netlink_link_size(struct netlink *n, const char *interface, uint32_t mtu,
                                          uint32_t queue_packets);
/* Usable at once: IPv6 duplicate detection is off, there is nobody on a TUN device to ask. */
BK_MUST_USE enum bk_err netlink_add_address(struct netlink *n, const char *interface,
                                            const struct topology_prefix *address);
/* A default route for the family of `source`. */
BK_MUST_USE enum bk_err netlink_add_default_route(struct netlink *n, const char *interface,
                                                  const struct bk_ip *source);

#endif
