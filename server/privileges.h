/* SPDX-License-Identifier: MIT
 * Giving up what a server needs no more once its ports are bound and its keys are read. */
#ifndef SERVER_PRIVILEGES_H
#define SERVER_PRIVILEGES_H

#include <bodkin/err.h>
#include <stdbool.h>

/* What privileges_drop() did. */
enum privileges_outcome {
    PRIVILEGES_NONE,    /* we were not root: nothing to give up */
    PRIVILEGES_DROPPED, /* we are `user` now */
    PRIVILEGES_KEPT     /* default user only: still root, and *why says why */
};

/* When root: becomes `user`, groups and all. `user` NULL means: `nobody`, unless that user could
 * not read `readable` (may hold NULLs), which SIGHUP must read again, or does not exist in this
 * user namespace; then root is kept. In every case nothing started from here can gain privileges.
 * BK_ERR_NOT_FOUND: no such user. BK_ERR_PERMISSION: could not become it. */
BK_MUST_USE enum bk_err privileges_drop(const char *user, const char *const readable[2],
                                        enum privileges_outcome *outcome, const char **why);

#endif
