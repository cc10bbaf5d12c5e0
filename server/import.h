/* SPDX-License-Identifier: MIT
 * From a coturn configuration (turnserver.conf) to ours. */
#ifndef SERVER_IMPORT_H
#define SERVER_IMPORT_H

#include <bodkin/err.h>
#include <stddef.h>
#include <stdio.h>

/* Writes our configuration to `out`, which config_parse() accepts whatever the input is, and to
 * `notes` one line for each option that could not be converted, with its line number and why. The
 * number of these is *left. BK_ERR_IO: `out` does not take it. */
BK_MUST_USE enum bk_err import_coturn(const char *text, size_t len, FILE *out, FILE *notes,
                                      unsigned *left);

#endif
