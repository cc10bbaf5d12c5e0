/* SPDX-License-Identifier: MIT
 * One packet on its way through the fabric: its bytes, and what they say. */
#ifndef LAB_TRANSIT_H
#define LAB_TRANSIT_H

#include "lab/fabric.h"

/* A copy that owns its bytes, or NULL: no memory. */
struct transit *transit_copy(struct fabric *f, const struct transit *t);
/* Nothing happens to one that does not own its bytes. */
void transit_free(struct fabric *f, struct transit *t);
/* Fills in what the bytes say. false: not an IP packet. */
bool transit_parse(struct transit *t);
/* Does it own its bytes, and only those? Then it can wait; otherwise a copy must. */
bool transit_can_wait(const struct transit *t);
/* Sends it across the link of `node` next. */
void transit_send(struct transit *t, int node, enum topology_direction direction);
/* Sets `wire_len`: a superpacket of segmentation offload is many packets with the same headers. */
void transit_measure(struct transit *t);

#endif
