/* SPDX-License-Identifier: MIT
 * Systems without a batch tier. */
#ifndef __linux__
#include "net/plane_private.h"

const struct plane_tier *const plane_batch = NULL;
#else
typedef int plane_posix_is_empty; /* ISO C wants a declaration in every file */
#endif
