/* SPDX-License-Identifier: MIT
 * The system's resolver, for programs that close their files: what it needs is loaded before, and
 * what it reads later stays open to it. */
#ifndef NET_NAMES_H
#define NET_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* Looks a name up, which loads what the C library does that with. Blocks, for seconds where nobody
 * answers; starts no thread. false: nothing was found. */
bool net_names_prepare(const char *host);
/* Files and folders that a lookup, and the check of a certificate against the system's CAs, may
 * read: path number `i`; NULL: there are no more. */
const char *net_names_path(size_t i);

#endif
