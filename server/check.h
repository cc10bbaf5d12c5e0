/* SPDX-License-Identifier: MIT
 * `bodkin serve --check`: reads all that a start would read, binds nothing. */
#ifndef SERVER_CHECK_H
#define SERVER_CHECK_H

#include "server/options.h"
#include <stdio.h>

/* Says on `out` what the server would do, and, in lines that begin with "wrong: ", what would keep
 * it from that. true: nothing would. */
bool server_check(const struct server_options *options, FILE *out);

#endif
