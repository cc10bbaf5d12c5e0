/* SPDX-License-Identifier: MIT
 *
 *     scheme ":" host [ ":" port ] [ "?transport=" transport ]
 *
 * RFC 7064 section 3.1, RFC 7065 section 3.1. The query departs from RFC 7064, which has none:
 * "stun:host?transport=tcp" is how STUN over TCP gets a name here. */
#include "sdp/uri.h"

#include "sdp/words.h"

#include <string.h>

enum { URI_MAX = 512, STUN_PORT = 3478, STUNS_PORT = 5349 };

static bool is_scheme(const struct view *scheme, struct server_uri *uri) {
    static const struct {
        const char *name;
        bool turn, secure;
    } all[] = {{"stun", false, false},
               {"stuns", false, true},
               {"turn", true, false},
               {"turns", true, true}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (view_is(*scheme, all[i].name)) {
            uri->turn = all[i].turn;
            uri->secure = all[i].secure;
            uri->protocol = uri->secure ? BK_TCP : BK_UDP;
            uri->port = uri->secure ? STUNS_PORT : STUN_PORT;
            return true;
        }
    }
    return false;
}

/* Cuts `v` at the first `mark`: what is before it is returned, what is behind it stays. */
static struct view cut(struct view *v, char mark, bool *found) {
    const char *at = v->len > 0 ? memchr(v->at, mark, v->len) : NULL;
    struct view head = *v;
    *found = at != NULL;
    if (at != NULL) {
        head.len = (size_t)(at - v->at);
        *v = view_of(at + 1, v->len - head.len - 1);
    }
    return head;
}

static enum bk_err read_query(struct view query, struct server_uri *uri) {
    static const char key[] = "transport=";
    struct view name = view_of(query.at, sizeof key - 1);
    if (query.len < name.len || !view_is(name, key))
        return BK_ERR_MALFORMED;
    struct view value = view_of(query.at + name.len, query.len - name.len);
    if (view_is(value, "udp"))
        uri->protocol = BK_UDP;
    else if (view_is(value, "tcp"))
        uri->protocol = BK_TCP;
    else
        return value.len == 0 ? BK_ERR_MALFORMED : BK_ERR_UNSUPPORTED;
    return BK_OK;
}

/* Takes the host off the front of *rest: "[IPv6]" or what stands before the port. */
static bool take_host(struct view *rest, struct view *host, bool *port_follows) {
    bool closed;
    if (rest->len == 0 || rest->at[0] != '[') {
        *host = cut(rest, ':', port_follows);
        return true;
    }
    struct view inside = view_of(rest->at + 1, rest->len - 1);
    *host = cut(&inside, ']', &closed);
    *port_follows = closed && inside.len > 0 && inside.at[0] == ':';
    if (*port_follows)
        *rest = view_of(inside.at + 1, inside.len - 1);
    return closed && (inside.len == 0 || *port_follows);
}

static enum bk_err read_host(struct view host, bool brackets, struct server_uri *uri) {
    if (host.len > URI_HOST_MAX)
        return BK_ERR_TOO_LONG;
    bool is_ip = view_ip(host, &uri->ip) && memchr(host.at, '%', host.len) == NULL;
    if (brackets ? !is_ip || memchr(host.at, ':', host.len) == NULL : !is_ip && !view_is_name(host))
        return BK_ERR_MALFORMED;
    view_copy(host, uri->host);
    return BK_OK;
}

static enum bk_err read_place(struct view rest, struct server_uri *uri) {
    struct view host;
    bool port_follows, brackets = rest.len > 0 && rest.at[0] == '[';
    uint32_t port = uri->port;
    if (!take_host(&rest, &host, &port_follows))
        return BK_ERR_MALFORMED;
    /* RFC 3986 section 3.2.3: a port may be empty, and is the default then. */
    if (port_follows && rest.len > 0 && (!view_number(rest, UINT16_MAX, &port) || port == 0))
        return BK_ERR_MALFORMED;
    uri->port = (uint16_t)port;
    return read_host(host, brackets, uri);
}

enum bk_err uri_read(const char *text, struct server_uri *out) {
    struct server_uri uri = {.turn = false};
    size_t len = strlen(text);
    bool found, query;
    if (len > URI_MAX)
        return BK_ERR_TOO_LONG;
    struct view rest = view_of(text, len);
    struct view scheme = cut(&rest, ':', &found);
    if (!found)
        return BK_ERR_MALFORMED;
    if (!is_scheme(&scheme, &uri))
        return BK_ERR_UNSUPPORTED;
    struct view place = cut(&rest, '?', &query);
    enum bk_err err = read_place(place, &uri);
    if (err == BK_OK && query)
        err = read_query(rest, &uri);
    if (err == BK_OK)
        *out = uri;
    return err;
}
