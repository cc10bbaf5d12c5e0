/* SPDX-License-Identifier: MIT
 * Where an address is: which node of a segment has it, or leads to it. */
#ifndef LAB_ROUTE_H
#define LAB_ROUTE_H

#include "lab/fabric.h"

/* The key of the route table: zeroed, so that padding is no part of it. */
struct route_key {
    int32_t segment;
    uint8_t family, bytes[16];
};

/* Fills the table of addresses and the chains of boxes that route. BK_ERR_FULL. */
BK_MUST_USE enum bk_err route_add_all(struct fabric *f);
/* The node, or TOPOLOGY_NOWHERE. */
int route_find(const struct fabric *f, int segment, const struct bk_ip *ip);
/* The node's address `old` is `ip` from now on. BK_ERR_EXISTS: its neighbour has that. */
BK_MUST_USE enum bk_err route_move(struct fabric *f, int node, const struct bk_ip *old,
                                   const struct bk_ip *ip);

#endif
