/* SPDX-License-Identifier: MIT
 * `bodkin serve`: STUN on UDP and TCP, the relay on HTTPS, health and metrics; nothing else needed.
 *
 * SIGHUP reads options and certificate again (a failure keeps the old ones); a certificate is also
 * read when its file has changed. SIGINT and SIGTERM end it within two seconds, telling clients to
 * come back. SIGUSR2 hands everything over to the program that is now where this one was. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/options.h"

/* Where the options came from, for SIGHUP. */
struct server_source {
    /* Reads them once more. On failure `reason` (room for SERVER_TEXT_MAX) gets one sentence. */
    enum bk_err (*read)(void *ctx, struct server_options *out, char *reason);
    void *ctx;
    const char *file;     /* the configuration file, or NULL */
    char *const *command; /* the program and its arguments, NULL at the end, for who takes over from
                             this one (server/upgrade.h); NULL: nobody */
};

/* Runs until a signal ends it; gives BK_OK then. Prints the one line for clients on standard output
 * when it is ready. On failure `reason` (room for SERVER_TEXT_MAX) gets one sentence. */
BK_MUST_USE enum bk_err server_run(const struct server_source *source, char *reason);

#endif
