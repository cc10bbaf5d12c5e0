/* SPDX-License-Identifier: MIT */
#include "cli/nat_server.h"

#include "base/text.h"
#include <bodkin/addr.h>
#include <string.h>

/* The digits of a port, all of `text`; 0: they are none. */
static uint16_t port_of(const char *text) {
    uint32_t port = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5)
        return 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        port = port * 10 + (uint32_t)(*text - '0');
    }
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* What stands between host and port, or NULL: the last colon behind the brackets, or the only one.
 */
static const char *port_colon(const char *text) {
    const char *bracket = strrchr(text, ']'), *colon = strrchr(text, ':');
    if (bracket != NULL)
        return bracket[1] == ':' ? bracket + 1 : NULL;
    return colon != NULL && strchr(text, ':') == colon ? colon : NULL; /* more: an IPv6 address */
}

enum bk_err nat_server_parse(const char *text, struct nat_server *out) {
    struct nat_server s = {.port = NAT_SERVER_PORT};
    if (strncmp(text, "stun:", 5) == 0)
        text += 5;
    const char *colon = port_colon(text);
    size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);
    if (colon != NULL)
        s.port = port_of(colon + 1);
    if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (s.port == 0 || len == 0 || len >= sizeof s.host || !home_host_is_valid(text, len))
        return BK_ERR_MALFORMED;
    memcpy(s.host, text, len);
    s.tcp_port = s.port;
    *out = s;
    return BK_OK;
}

void nat_server_of_home(const struct home *home, struct nat_server *out) {
    *out = (struct nat_server){.port = home->stun_port, .tcp_port = home->https_port};
    memcpy(out->host, home->host, sizeof out->host);
}

char *nat_server_text(const struct nat_server *s, char *out) {
    struct text t = text_in(out, NAT_SERVER_TEXT_MAX);
    bool v6 = strchr(s->host, ':') != NULL;
    text_str(&t, v6 ? "[" : "");
    text_str(&t, s->host);
    text_str(&t, v6 ? "]:" : ":");
    text_u64(&t, s->port);
    return out;
}
