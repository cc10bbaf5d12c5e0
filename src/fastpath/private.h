/* SPDX-License-Identifier: MIT
 * For tests and measurements: the programs, to be run on packets of one's own. */
#ifndef FASTPATH_PRIVATE_H
#define FASTPATH_PRIVATE_H

#include "fastpath/fastpath.h"

/* FASTPATH_XDP or FASTPATH_TC; both are there when it was opened as FASTPATH_AUTO. Borrowed; -1 in
 * builds without. */
int fastpath_program(const struct fastpath *f, enum fastpath_mode mode);

#endif
