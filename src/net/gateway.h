/* SPDX-License-Identifier: MIT
 * The router that packets leave through: whom PCP, NAT-PMP and UPnP are asked of. */
#ifndef NET_GATEWAY_H
#define NET_GATEWAY_H

#include <bodkin/addr.h>

/* The next hop towards `to`, as the kernel's routing decides now; link-local IPv6 gateways have
 * their zone. Sends nothing on the network. BK_ERR_NOT_FOUND: `to` is reached without a router (on
 * this link, on this machine, through a tunnel). BK_ERR_UNREACHABLE: no route.
 * BK_ERR_UNSUPPORTED: this system cannot be asked. BK_ERR_ARGUMENT: not an IP address. */
BK_MUST_USE enum bk_err net_gateway_for(const struct bk_ip *to, struct bk_ip *out);
/* The same by way of the interface with this index, whose default route may be another one's second
 * choice. 0: any. */
BK_MUST_USE enum bk_err net_gateway_via(const struct bk_ip *to, uint32_t interface,
                                        struct bk_ip *out);

#endif
