/* SPDX-License-Identifier: MIT
 * Which proxy leads to the home server: --proxy, else the environment as curl reads it
 * (https_proxy, HTTPS_PROXY, all_proxy, ALL_PROXY; http_proxy for a home without TLS; unless
 * no_proxy or NO_PROXY names the home, or it is this machine), else `proxy = URL` in the config
 * file. "none" is no proxy.
 */
#ifndef CLI_PROXY_H
#define CLI_PROXY_H

#include "cli/settings.h"
#include "tunnel/proxy.h"

struct proxy_choice {
    struct proxy proxy; /* kind PROXY_NONE: there is none */
    bool only;          /* it was asked for: never go past it */
};

/* `option` may be NULL. EXIT_FINE, EXIT_USAGE (a URL is wrong) or EXIT_KEY (the config is), told in
 * one sentence that never shows the login. */
enum exit_code proxy_choose(struct report *r, const char *option, const struct home *home,
                            struct proxy_choice *out);

#endif
