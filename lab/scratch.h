/* SPDX-License-Identifier: MIT
 * A directory of its own for each host of a lab, next to the control socket: hosts share the
 * machine's files, but two machines do not share a configuration, a key or a state. */
#ifndef LAB_SCRATCH_H
#define LAB_SCRATCH_H

#include <bodkin/err.h>
#include <stddef.h>

enum { SCRATCH_PATH_MAX = 256 };

/* The host's directory in the lab with this control socket. `out` has room for SCRATCH_PATH_MAX.
 * BK_ERR_TOO_LONG. */
BK_MUST_USE enum bk_err scratch_path(const char *control_path, const char *host, char *out);
/* Makes it, if it is not there. BK_ERR_IO: errno says why; BK_ERR_TOO_LONG. */
BK_MUST_USE enum bk_err scratch_make(const char *control_path, const char *host);
/* Points the environment there: BODKIN_LAB_DIR, XDG_CONFIG_HOME, XDG_STATE_HOME; and tells whoever
 * looks which lab and which host this is: BODKIN_LAB, BODKIN_LAB_HOST. */
BK_MUST_USE enum bk_err scratch_environment(const char *control_path, const char *host);
/* Removes the directories of all hosts of the lab, with what is in them. */
void scratch_remove(const char *control_path);

#endif
