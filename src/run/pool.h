/* SPDX-License-Identifier: MIT
 * Memory for agents. Ten thousand that connect at the same time need twice of what they keep, and
 * give it back seconds later in small pieces, between those that stay: the C library's heap then
 * cannot let go of a page. Here blocks of one size share a slab, and what is needed for a while is
 * of other sizes than what is kept, so whole slabs become empty, and go back to the system. */
#ifndef RUN_POOL_H
#define RUN_POOL_H

#include <bodkin/env.h>
#include <stddef.h>

/* All threads may use it. Zeroed memory, as bk_alloc says. */
const struct bk_alloc *pool_alloc(void);
/* Bytes held from the system, for tests. */
size_t pool_held(void);

#endif
