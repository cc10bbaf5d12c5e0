/* SPDX-License-Identifier: MIT
 * The system's memory as a `struct bk_alloc`, for programs: the core's `_new` functions ask for
 * one. Thread-safe. */
#ifndef NET_ALLOC_H
#define NET_ALLOC_H

#include <bodkin/env.h>

/* Static; never NULL. */
const struct bk_alloc *net_alloc(void);

#endif
