/* SPDX-License-Identifier: MIT
 * Small files with secrets: read whole, written whole or not at all, readable by the owner only. */
#ifndef NET_STATE_FILE_H
#define NET_STATE_FILE_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>

struct state_bytes {
    unsigned char *data;
    size_t len;
};

enum { STATE_FILE_MAX = 1048576 }; /* longer files are BK_ERR_TOO_LONG */

/* `reason` (room for NET_REASON_MAX, may be NULL) gets one sentence naming the file on failure.
 * BK_ERR_NOT_FOUND, BK_ERR_PERMISSION, BK_ERR_IO. Free *out with state_bytes_fini(). */
BK_MUST_USE enum bk_err state_file_read(const char *path, struct state_bytes *out, char *reason);
/* Wipes and frees. */
void state_bytes_fini(struct state_bytes *bytes);
/* Writes the pieces to dir/name with mode 0600, atomically; makes `dir` (0700) and its parents. */
BK_MUST_USE enum bk_err state_file_write(const char *dir, const char *name,
                                         const struct state_bytes *pieces, size_t count,
                                         char *reason);
bool state_file_exists(const char *path);

#endif
