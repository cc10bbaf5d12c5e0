/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: gethostname */
#include "server/home_line.h"

#include "base/text.h"
#include "net/interfaces.h"
#include "net/tls.h"
#include <string.h>
#include <unistd.h>

enum { HTTPS_PORT = 443, STUN_PORT = 3478 };

char *home_line_put(const struct home_line *line, char *out) {
    struct text t = text_in(out, HOME_LINE_MAX);
    bool brackets = strchr(line->host, ':') != NULL; /* RFC 3986 section 3.2.2 */
    char pin[NET_PIN_TEXT_MAX];
    text_str(&t, brackets ? "home: https://[" : "home: https://");
    text_str(&t, line->host);
    text_str(&t, brackets ? "]" : "");
    if (line->port != HTTPS_PORT) {
        text_char(&t, ':');
        text_u64(&t, line->port);
    }
    if (line->stun_port != STUN_PORT) {
        text_str(&t, "?stun=");
        text_u64(&t, line->stun_port);
    }
    if (line->pin != NULL) {
        text_char(&t, '#');
        text_str(&t, net_pin_format(line->pin, pin));
    }
    return out;
}

static void put_ip(const struct bk_ip *ip, char *out, size_t cap) {
    char address[BK_ADDR_TEXT_MAX];
    struct text t = text_in(out, cap);
    text_str(&t, bk_ip_format(ip, address));
}

void home_line_host(const struct bk_ip *listen, size_t count, char *out, size_t cap) {
    struct net_interface found[NET_INTERFACES_MAX];
    const struct bk_ip *best = NULL;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!bk_ip_is_any(&listen[i])) {
            put_ip(&listen[i], out, cap);
            return;
        }
    }
    if (net_interfaces(found, NET_INTERFACES_MAX, &n) != BK_OK)
        n = 0;
    for (size_t i = 0; i < n; i++) {
        enum bk_scope scope = bk_ip_scope(&found[i].ip);
        /* A link-local address needs a zone, which means nothing to others. */
        if (scope != BK_SCOPE_LINK && (best == NULL || scope > bk_ip_scope(best)))
            best = &found[i].ip;
    }
    if (best != NULL)
        put_ip(best, out, cap);
    else if (gethostname(out, cap) != 0)
        out[0] = '\0';
    out[cap - 1] = '\0';
}
