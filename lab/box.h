/* SPDX-License-Identifier: MIT
 * A NAT box in the fabric: the model of nat/ with its packets as bytes, fragments, late answers and
 * an application gateway. */
#ifndef LAB_BOX_H
#define LAB_BOX_H

#include "lab/fabric.h"

/* Makes box->nat for a NAT node. BK_ERR_NO_MEMORY, BK_ERR_ARGUMENT. */
BK_MUST_USE enum bk_err box_init(struct fabric *f, struct fabric_box *box);
void box_fini(struct fabric_box *box);
/* The box at `segment` decides; `from` is the side the packet came from. */
void box_through(struct fabric *f, struct transit *t, int segment, enum nat_side from,
                 struct bk_time now);
/* Its timers: run what is due. What they make the box say is in the fabric's answers. */
void box_advance(struct fabric *f, int node, struct bk_time now);

#endif
