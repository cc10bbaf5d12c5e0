/* SPDX-License-Identifier: MIT
 * Options from an INI file: `name = value`, the words of the command line; sections only group,
 * lines that begin with # or ; are comments. An option that may be repeated adds up. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "server/options.h"

/* Whom to tell about mistakes. `line` 0: the file as a whole. */
struct config_reader {
    void (*wrong)(void *ctx, unsigned line, const char *sentence);
    void *ctx;
};

/* Reads all of it, whatever is wrong; what is right has been set. BK_ERR_MALFORMED: something was
 * wrong, `reader` was told. */
BK_MUST_USE enum bk_err config_parse(const char *text, size_t len, struct server_options *options,
                                     const struct config_reader *reader);
/* The same of a file. BK_ERR_NOT_FOUND: cannot be read. */
BK_MUST_USE enum bk_err config_read(const char *path, struct server_options *options,
                                    const struct config_reader *reader);

#endif
