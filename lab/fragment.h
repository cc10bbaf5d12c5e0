/* SPDX-License-Identifier: MIT
 * IPv4 fragmentation where a link takes less than a packet has: RFC 791
 * section 3.2. IPv6 routers never fragment. */
#ifndef LAB_FRAGMENT_H
#define LAB_FRAGMENT_H

#include "lab/fabric.h"

/* Is it a fragment? Only its first one has ports. */
bool fragment_is(const struct transit *t);
/* May a router fragment it? Not in IPv6, and not with "don't fragment". */
bool fragment_allowed(const struct transit *t);
/* Sends the packet, which is at a link, across it in pieces that fit; a superpacket is cut into its
 * segments first. `t` stays the caller's. What there is no memory for is lost. */
void fragment_send(struct fabric *f, const struct transit *t);

#endif
