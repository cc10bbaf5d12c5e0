/* SPDX-License-Identifier: MIT
 * What routers say themselves: they answer pings, refuse packets, and count
 * hops. `segment` is the box that speaks, or TOPOLOGY_NOWHERE: the internet. */
#ifndef LAB_ROUTER_H
#define LAB_ROUTER_H

#include "lab/fabric.h"

/* Refuses a packet on behalf of the box at `segment`; `came` is the way the
 * packet went. */
void router_refuse(struct fabric *f, const struct transit *t, enum nat_answer answer, int segment,
                   enum topology_direction came);
/* Does the packet fit the link to `node`, in pieces if need be? If not, its sender has been told.
 */
bool router_fits(struct fabric *f, const struct transit *t, int node, int segment,
                 enum topology_direction came);
/* An answer of the box at `node` that its timers let go. */
void router_late(struct fabric *f, int node, const struct nat_late *late);
/* Takes a hop off the packet. false: it had none left, which its sender has
 * been told. */
bool router_hop(struct fabric *f, struct transit *t, int segment, enum topology_direction came);
/* What is sent to the box's own inside address: it answers pings and refuses the rest. */
void router_addressed(struct fabric *f, const struct transit *t);
/* Is it the box's own inside address? */
bool router_is(const struct fabric *f, int segment, const struct bk_ip *ip);
/* Puts a packet that is to go on by itself where the fabric takes it up next,
 * in order; takes it.
 */
void router_send(struct fabric *f, struct transit *t);

#endif
