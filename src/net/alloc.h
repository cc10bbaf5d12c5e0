/* SPDX-License-Identifier: MIT
 * The system's memory as a `struct bk_alloc`, for programs: the core's `_new` functions ask for
 * one. Thread-safe. */
#ifndef NET_ALLOC_H
#define NET_ALLOC_H

#include <bodkin/env.h>

/* Static; never NULL. */
const struct bk_alloc *net_alloc(void);
/* For programs that run for long: what is large (64 KiB or more: base/pool.h, base/links.h) goes
 * back to the system when it is put back, and not only when all above it is free. glibc otherwise
 * stops doing so after the first time. Once, at the start. */
void net_alloc_return_large(void);
/* Gives back to the system every page that nothing is in, of all threads. Some milliseconds, during
 * which others may wait for memory. */
void net_alloc_return_all(void);

#endif
