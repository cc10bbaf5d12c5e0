/* SPDX-License-Identifier: MIT
 * What `bodkin serve` can be told. One table feeds the command line, the configuration file and
 * --help; a new option is a field and a row. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "server/log.h"
#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SERVER_LISTEN_MAX = 16, SERVER_TEXT_MAX = 1024, SERVER_WORKERS_MAX = 64 };

struct server_text {
    char text[SERVER_TEXT_MAX]; /* empty: not set */
};

struct server_listen {
    struct bk_ip ips[SERVER_LISTEN_MAX];
    struct bk_ip outside[SERVER_LISTEN_MAX]; /* SERVER_OUTSIDE: family NONE where none was given */
    size_t count;                            /* 0: every address */
};

struct server_options {
    struct server_listen listen, stun_address;
    int64_t https_port;      /* -1: not set, which means 443, or 8443 where 443 is not allowed */
    int64_t stun_port;       /* 0: any free one */
    int64_t plain_http_port; /* -1: off */
    int64_t workers;         /* 0: one per core */
    int64_t connections_max;
    int64_t per_address_max;
    struct server_text cert, key, name, state_dir, user;
    enum log_level log_level;
    bool log_json;
};

extern const struct server_options server_options_default;

enum server_option_type {
    SERVER_FLAG,
    SERVER_NUMBER,
    SERVER_TEXT,
    SERVER_LISTEN,
    SERVER_OUTSIDE,
    SERVER_LEVEL
};

struct server_option {
    const char *name; /* "plain-http": the same word on the command line and in the file */
    enum server_option_type type;
    size_t offset;     /* in struct server_options */
    int64_t min, max;  /* SERVER_NUMBER */
    const char *value; /* what the help calls the value, NULL: a flag */
    const char *help;
};

/* Ends with a NULL name. */
extern const struct server_option server_option_table[];

/* The row of that name, or NULL. */
const struct server_option *server_option_find(const char *name);
/* Sets one option from its text; flags take "yes", "true", "no", "false" and NULL (yes). On
 * BK_ERR_MALFORMED `reason` (room for SERVER_TEXT_MAX) gets one sentence. */
BK_MUST_USE enum bk_err server_option_set(struct server_options *o, const struct server_option *row,
                                          const char *value, char *reason);
/* Checks what no single option can show. BK_ERR_MALFORMED with a sentence. */
BK_MUST_USE enum bk_err server_options_check(const struct server_options *o, char *reason);
/* The lines of --help: one per option, at most 80 columns. Returns `out`. */
char *server_options_help(char *out, size_t cap);

#endif
