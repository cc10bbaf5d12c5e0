/* SPDX-License-Identifier: MIT
 * What -L takes: [addr:]port:host:port, addresses of IPv6 in brackets. */
#define _GNU_SOURCE
#include "cli/forward_rule.h"

#include <stdio.h>
#include <string.h>

enum { FRONT_MAX = 80 };

/* Cuts "host:port" off the end; the rest goes to `front`. The colon to cut at is the second one
 * from the end that is not between brackets. */
static bool split_rule(const char *text, char front[FRONT_MAX], const char **target) {
    size_t at = strlen(text);
    int colons = 0;
    bool inside = false;
    while (at > 0 && colons < 2) {
        char c = text[--at];
        if (c == ']' || c == '[')
            inside = c == ']';
        colons += c == ':' && !inside;
    }
    if (colons < 2 || at == 0 || at >= FRONT_MAX)
        return false;
    memcpy(front, text, at);
    front[at] = '\0';
    *target = text + at + 1;
    return true;
}

/* A port alone is for this machine only: nobody else shall come in by accident. */
static bool read_bind(const char *front, struct bk_addr *out) {
    char text[FRONT_MAX + 16];
    if (front[strspn(front, "0123456789")] == '\0')
        snprintf(text, sizeof text, "127.0.0.1:%s", front);
    else if (strncmp(front, "localhost:", 10) == 0)
        snprintf(text, sizeof text, "127.0.0.1:%s", front + 10);
    else
        snprintf(text, sizeof text, front[0] == '*' ? "0.0.0.0%s" : "%s",
                 front[0] == '*' ? front + 1 : front);
    return bk_addr_parse(text, out) == BK_OK && out->port != 0;
}

bool forward_rule_read(const char *text, struct bk_addr *bind, char target[CALL_TARGET_MAX + 1]) {
    char front[FRONT_MAX], host[CALL_TARGET_MAX];
    const char *there;
    struct bk_addr here;
    uint16_t port;
    if (!split_rule(text, front, &there) || !read_bind(front, &here) ||
        strlen(there) > CALL_TARGET_MAX || !call_split(there, host, sizeof host, &port))
        return false;
    *bind = here;
    memcpy(target, there, strlen(there) + 1);
    return true;
}
