/* SPDX-License-Identifier: MIT
 * The user's files: ~/.config/bodkin/key (the identity, 0600) and ~/.config/bodkin/config (INI:
 * `home = https://...`, `proxy = http://...`, `keepalive = SECONDS`, `private = yes`).
 * $XDG_CONFIG_HOME is honoured. Every failure is told on standard error in one sentence. */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "cli/command.h"
#include "cli/report.h"
#include "peer/home_url.h"
#include "peer/identity.h"

/* The home server: `option` (may be NULL), else $BODKIN_HOME, else the config file. EXIT_FINE,
 * EXIT_NO_HOME, EXIT_USAGE (not a home URL) or EXIT_KEY (the config is wrong). */
enum exit_code settings_home(struct report *r, const char *option, struct home *out);

enum { SETTINGS_PROXY_MAX = 600 };
/* `proxy = URL` of the config file, or an empty text; it may hold a login: wipe it. `out` has room
 * for SETTINGS_PROXY_MAX. EXIT_FINE or EXIT_KEY (the config is wrong). */
enum exit_code settings_proxy(struct report *r, char *out);

/* `keepalive = SECONDS` of the config file, or 0. EXIT_FINE or EXIT_KEY (the config is wrong). */
enum exit_code settings_keepalive(struct report *r, uint32_t *out);

/* `private = yes` of the config file. EXIT_FINE or EXIT_KEY (the config is wrong). */
enum exit_code settings_private(struct report *r, bool *out);

struct settings_identity {
    struct identity identity;
    int lock;       /* held while we use the key as our address; -1: none */
    bool temporary; /* another bodkin holds the key: this one is for this run only */
};

/* Reads the key, making it first if there is none. A relay address can be used by one process at a
 * time: when another one holds the key and `borrow` is false, a temporary identity takes its place.
 * EXIT_FINE or EXIT_KEY. */
enum exit_code settings_identity(struct report *r, bool borrow, struct settings_identity *out);
void settings_identity_fini(struct settings_identity *s);

#endif
