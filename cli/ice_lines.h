/* SPDX-License-Identifier: MIT
 * Text lines from a descriptor that a loop watches. Their end may be LF or CRLF. */
#ifndef CLI_ICE_LINES_H
#define CLI_ICE_LINES_H

#include "net/loop.h"

#include <stddef.h>

enum { ICE_LINES_MAX = 4096 }; /* longest line, with its end; what is longer ends the reading */

struct ice_lines {
    struct net_watch *watch;
    int fd;
    void (*on_line)(void *ctx, char *line); /* without its end; may call ice_lines_stop() */
    void (*on_end)(void *ctx);              /* end of input, an error, or a line too long */
    void *ctx;
    bool stopped;
    size_t used;
    char buffer[ICE_LINES_MAX];
};

/* The caller has set fd, on_line, on_end and ctx. BK_ERR_ARGUMENT: not an open descriptor. */
BK_MUST_USE enum bk_err ice_lines_open(struct ice_lines *l, struct net_loop *loop);
/* No more lines. What was read beyond the last one is the first `used` bytes of `buffer`. */
void ice_lines_stop(struct ice_lines *l);
/* The same, and forgets. A structure of zeros is fine. */
void ice_lines_close(struct ice_lines *l);

#endif
