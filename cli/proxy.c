/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/proxy.h"

#include "base/wipe.h"

#include <stdlib.h>
#include <string.h>

static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* The first of these that is set. HTTP_PROXY in capitals is not read: a web server would set it
 * from a request's Proxy header (CVE-2016-5385). */
static const char *from_environment(const struct home *home, const char **name) {
    static const char *const secure[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    static const char *const plain[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    const char *exceptions = variable("no_proxy");
    if (exceptions == NULL)
        exceptions = variable("NO_PROXY");
    if (proxy_is_bypassed("localhost 127.0.0.0/8 ::1", home->host, home->https_port))
        return NULL; /* what Go's programs do: no proxy leads back to this machine */
    if (exceptions != NULL && proxy_is_bypassed(exceptions, home->host, home->https_port))
        return NULL;
    for (size_t i = 0; i < 4; i++) {
        *name = home->plain ? plain[i] : secure[i];
        const char *value = *name == NULL ? NULL : variable(*name);
        if (value != NULL)
            return value;
    }
    return NULL;
}

static const char *problem(enum bk_err err) {
    if (err == BK_ERR_UNSUPPORTED)
        return "it is of a kind that is not known here; http:// and socks5:// are";
    if (err == BK_ERR_ARGUMENT)
        return "its port is not a number from 1 to 65535";
    if (err == BK_ERR_TOO_LONG)
        return "it is too long";
    return "http://[USER:PASSWORD@]HOST[:PORT] is expected; other characters in USER or PASSWORD "
           "are written as % and two hexadecimal digits";
}

static enum exit_code parse(struct report *r, const char *text, const char *where,
                            enum exit_code wrong, struct proxy_choice *out) {
    if (strcmp(text, "none") == 0)
        return EXIT_FINE;
    enum bk_err err = proxy_parse(text, strlen(text), &out->proxy);
    if (err == BK_OK)
        return EXIT_FINE;
    report_error(r, "the proxy in %s cannot be used: %s (--proxy none: go without)", where,
                 problem(err));
    return wrong;
}

enum exit_code proxy_choose(struct report *r, const char *option, const struct home *home,
                            struct proxy_choice *out) {
    const char *name = NULL;
    char text[SETTINGS_PROXY_MAX];
    memset(out, 0, sizeof *out);
    if (option != NULL) {
        out->only = true;
        return parse(r, option, "--proxy", EXIT_USAGE, out);
    }
    const char *value = from_environment(home, &name);
    if (value != NULL)
        return parse(r, value, name, EXIT_USAGE, out);
    enum exit_code code = settings_proxy(r, text);
    if (code == EXIT_FINE && text[0] != '\0') {
        out->only = true;
        code = parse(r, text, "the config file", EXIT_KEY, out);
    }
    wipe(text, sizeof text);
    return code;
}
