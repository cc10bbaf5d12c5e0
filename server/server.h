/* SPDX-License-Identifier: MIT
 * `bodkin serve`: STUN on UDP and TCP, the relay on HTTPS, health and metrics; nothing else needed.
 *
 * SIGHUP reads the certificate again (a failure keeps the old one), SIGINT and SIGTERM end it
 * within two seconds, telling clients to come back. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/options.h"

/* Runs until a signal ends it; gives BK_OK then. Prints the one line for clients on standard output
 * when it is ready. On failure `reason` (room for SERVER_TEXT_MAX) gets one sentence. */
BK_MUST_USE enum bk_err server_run(const struct server_options *options, char *reason);

#endif
