/* SPDX-License-Identifier: MIT
 * What `bodkin serve` can be told. One table feeds the command line, the configuration file and
 * --help; a new option is a field here or in options_turn.h and a row in options_table.c. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "server/log.h"
#include "server/options_turn.h"
#include <bodkin/err.h>

enum { SERVER_WORKERS_MAX = 64, SERVER_SECRET_FILES_MAX = 8 };

struct server_options {
    struct server_listen listen, stun_address;
    int64_t https_port;      /* -1: not set, which means 443, or 8443 where 443 is not allowed */
    int64_t stun_port;       /* 0: any free one */
    int64_t plain_http_port; /* -1: off */
    int64_t workers;         /* 0: one per core */
    int64_t connections_max;
    int64_t per_address_max;
    struct server_text cert, key, name, state_dir, user;
    struct server_ranges metrics_from; /* none: this machine and private networks */
    enum log_level log_level;
    bool log_json, no_sandbox, drain_exit;
    int64_t stop_grace_s, upgrade_grace_s; /* for clients that are here: SIGTERM, SIGUSR2 */
    struct turn_options turn;
    struct server_text secret_files[SERVER_SECRET_FILES_MAX]; /* that "@FILE" named; then empty */
};

extern const struct server_options server_options_default;

enum server_option_type {
    SERVER_FLAG,
    SERVER_NUMBER,
    SERVER_RATE, /* a number with k, M or G behind it, or without */
    SERVER_TEXT,
    SERVER_LISTEN,
    SERVER_OUTSIDE,
    SERVER_LEVEL,
    SERVER_CHOICE, /* `value` has the words, "off|auto": the field becomes the number of one */
    SERVER_PORTS,
    SERVER_RANGES,
    SERVER_USERS,
    SERVER_SECRETS,
    SERVER_ADDR
};

/* Which page of the help. */
enum server_option_group { SERVER_GROUP_GENERAL, SERVER_GROUP_MORE, SERVER_GROUP_TURN };

struct server_option {
    const char *name; /* "plain-http": the same word on the command line and in the file */
    enum server_option_type type;
    size_t offset;     /* in struct server_options */
    int64_t min, max;  /* SERVER_NUMBER, SERVER_RATE; SERVER_TEXT: bytes, when max is not 0 */
    const char *value; /* what the help calls the value, NULL: a flag */
    const char *help;
    enum server_option_group group;
    bool live; /* a server that runs takes a new value (SIGHUP) */
};

/* Ends with a NULL name. */
extern const struct server_option server_option_table[];

/* The row of that name, or NULL. */
const struct server_option *server_option_find(const char *name);
/* Sets one option from its text; flags take "yes", "true", "no", "false" and NULL (yes). On
 * BK_ERR_MALFORMED `reason` (room for SERVER_TEXT_MAX) gets one sentence; it never has a secret. */
BK_MUST_USE enum bk_err server_option_set(struct server_options *o, const struct server_option *row,
                                          const char *value, char *reason);
/* Checks what no single option can show. BK_ERR_MALFORMED with a sentence. */
BK_MUST_USE enum bk_err server_options_check(const struct server_options *o, char *reason);
/* Do the two differ in that option? */
bool server_option_differs(const struct server_options *a, const struct server_options *b,
                           const struct server_option *row);

/* Gives `to` the value that the option has in `from`. */
void server_option_copy(struct server_options *to, const struct server_options *from,
                        const struct server_option *row);

enum { SERVER_HELP_MAX = 4096 };
/* The lines of --help: one per option, at most 80 columns. `out` has room for SERVER_HELP_MAX.
 * Returns `out`. */
char *server_options_help(enum server_option_group group, char *out);

#endif
