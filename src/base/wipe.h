/* SPDX-License-Identifier: MIT
 * Erasing secrets in a way the compiler may not remove, and comparing them in constant time. */
#ifndef BASE_WIPE_H
#define BASE_WIPE_H

#include <stdbool.h>
#include <stddef.h>

void wipe(void *memory, size_t len);
/* Takes the same time wherever the first difference is. */
bool equal_secret(const void *a, const void *b, size_t len);

#endif
