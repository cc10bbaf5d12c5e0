/* SPDX-License-Identifier: MIT
 * Cuts: what passes certain nodes vanishes without a word. */
#ifndef LAB_CUT_H
#define LAB_CUT_H

#include "lab/fabric.h"

/* Has the packet been at this node? */
bool cut_passed(const struct transit *t, int node);
bool cut_drops(const struct fabric *f, const struct transit *t);
/* BK_ERR_FULL: FABRIC_CUTS_MAX cuts. */
BK_MUST_USE enum bk_err cut_add(struct fabric *f, const struct topology_change *change);
void cut_restore(struct fabric *f, const struct topology_change *change);

#endif
