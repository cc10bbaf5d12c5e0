/* SPDX-License-Identifier: MIT
 * RFC 9110 and 9112 by http_parser; here is only what a relay asks of them. */
#include "relay/upgrade.h"

#include <string.h>

/* Collects the pieces http_parser hands out. true: `h` holds a whole header, and the piece that
 * starts the next one has not been taken yet. */
static bool header_turns(const struct relay_header *h) {
    return h->in_value;
}

static void header_reset(struct relay_header *h) {
    memset(h, 0, sizeof *h);
}

static void append(char *out, size_t cap, size_t *len, bool *cut, const char *at, size_t n) {
    size_t room = cap - 1 - *len;
    if (n > room) {
        n = room;
        *cut = true;
    }
    memcpy(out + *len, at, n);
    *len += n;
    out[*len] = '\0';
}

static void header_add_name(struct relay_header *h, const char *at, size_t len) {
    append(h->name, sizeof h->name, &h->name_len, &h->cut, at, len);
}

static void header_add_value(struct relay_header *h, const char *at, size_t len) {
    h->in_value = true;
    append(h->value, sizeof h->value, &h->value_len, &h->cut, at, len);
}

static char lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool same_word(const char *a, size_t len, const char *lower_word) {
    if (len != strlen(lower_word))
        return false;
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower_word[i])
            return false;
    return true;
}

static bool header_is(const struct relay_header *h, const char *lower_name) {
    return !h->cut && same_word(h->name, h->name_len, lower_name);
}

static bool value_is(const struct relay_header *h, const char *lower_word) {
    return same_word(h->value, h->value_len, lower_word);
}

/* Is the word in a comma-separated list (RFC 9110 section 5.6.1)? */
static bool value_lists(const struct relay_header *h, const char *lower_word) {
    const char *at = h->value, *end = h->value + h->value_len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma == NULL ? end : comma;
        const char *last = stop;
        while (at < last && (*at == ' ' || *at == '\t'))
            at++;
        while (last > at && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (same_word(at, (size_t)(last - at), lower_word))
            return true;
        at = stop + 1;
    }
    return false;
}

static bool challenge_is_valid(const struct relay_header *h) {
    if (h->value_len == 0 || h->value_len > RELAY_CHALLENGE_MAX)
        return false;
    for (size_t i = 0; i < h->value_len; i++) {
        char c = lower(h->value[i]);
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!word && c != '.' && c != '_' && c != ':' && c != '-')
            return false;
    }
    return true;
}

static void request_header(struct relay_request *r) {
    const struct relay_header *h = &r->head.header;
    if (header_is(h, "upgrade")) {
        r->upgrade_derp = r->upgrade_derp || value_lists(h, "derp");
        r->upgrade_websocket = r->upgrade_websocket || value_lists(h, "websocket");
    } else if (header_is(h, "connection")) {
        r->connection_upgrade = r->connection_upgrade || value_lists(h, "upgrade");
    } else if (header_is(h, "derp-fast-start")) {
        r->fast_start = value_is(h, "1");
    } else if (header_is(h, "sec-websocket-protocol")) {
        r->websocket_derp = r->websocket_derp || value_lists(h, "derp");
    } else if (header_is(h, "x-tailscale-challenge") && challenge_is_valid(h)) {
        memcpy(r->challenge, h->value, h->value_len + 1);
    } else if (header_is(h, "ideal-node") && h->value_len < sizeof r->ideal_node) {
        memcpy(r->ideal_node, h->value, h->value_len + 1);
    } else if (header_is(h, "transfer-encoding")) {
        r->chunked = true;
    }
}

static int on_request_url(struct http_parser *p, const char *at, size_t len) {
    struct relay_request *r = p->data;
    append(r->url, sizeof r->url, &r->url_len, &r->url_cut, at, len);
    return r->url_cut ? 1 : 0;
}

static int on_request_field(struct http_parser *p, const char *at, size_t len) {
    struct relay_request *r = p->data;
    if (header_turns(&r->head.header)) {
        request_header(r);
        header_reset(&r->head.header);
    }
    header_add_name(&r->head.header, at, len);
    return 0;
}

static int on_request_value(struct http_parser *p, const char *at, size_t len) {
    struct relay_request *r = p->data;
    header_add_value(&r->head.header, at, len);
    return 0;
}

static bool copy_part(char out[RELAY_PATH_MAX], const struct relay_request *r,
                      const struct http_parser_url *u, unsigned part) {
    out[0] = '\0';
    if ((u->field_set & 1u << part) == 0)
        return true;
    size_t len = u->field_data[part].len;
    if (len >= RELAY_PATH_MAX)
        return false;
    memcpy(out, r->url + u->field_data[part].off, len);
    out[len] = '\0';
    return true;
}

/* Returning 2 tells http_parser that whatever follows is not its business. */
enum { STOP_AFTER_HEAD = 2 };

static int on_request_head(struct http_parser *p) {
    struct relay_request *r = p->data;
    struct http_parser_url u;
    if (header_turns(&r->head.header))
        request_header(r);
    header_reset(&r->head.header);
    r->method = p->method;
    r->body_len = p->content_length == UINT64_MAX ? 0 : p->content_length;
    /* A chunked body is not read here: after the answer the connection is closed. */
    r->keep_alive = http_should_keep_alive(p) != 0 && !r->chunked;
    if (!r->connection_upgrade) /* RFC 9110 section 7.8: Upgrade counts only if Connection names it
                                 */
        r->upgrade_derp = r->upgrade_websocket = false;
    http_parser_url_init(&u);
    if (http_parser_parse_url(r->url, r->url_len, p->method == HTTP_CONNECT, &u) != 0)
        return 1;
    if (!copy_part(r->path, r, &u, UF_PATH) || !copy_part(r->query, r, &u, UF_QUERY))
        return 1;
    r->head.complete = true;
    return STOP_AFTER_HEAD;
}

void relay_request_init(struct relay_request *r) {
    memset(r, 0, sizeof *r);
    http_parser_init(&r->head.parser, HTTP_REQUEST);
}

/* Both directions: feeds at most what the head may still have. */
static enum bk_err head_recv(struct relay_head *h, const struct http_parser_settings *on,
                             const uint8_t *data, size_t len, size_t *used) {
    size_t room = RELAY_HEAD_MAX - h->len;
    size_t offer = len < room ? len : room;
    /* An empty run means the end of the stream to http_parser; it is not that here. */
    size_t n = offer == 0 ? 0 : http_parser_execute(&h->parser, on, (const char *)data, offer);
    h->len += n;
    if (h->complete) {
        *used = n;
        return BK_OK;
    }
    if (HTTP_PARSER_ERRNO(&h->parser) != HPE_OK || n != offer)
        return BK_ERR_MALFORMED;
    if (h->len == RELAY_HEAD_MAX)
        return BK_ERR_TOO_LONG;
    *used = n;
    return BK_ERR_SHORT;
}

enum bk_err relay_request_recv(struct relay_request *r, const uint8_t *data, size_t len,
                               size_t *used) {
    static const struct http_parser_settings on = {
        .on_url = on_request_url,
        .on_header_field = on_request_field,
        .on_header_value = on_request_value,
        .on_headers_complete = on_request_head,
    };
    if (r->head.complete)
        return BK_ERR_MALFORMED;
    r->head.parser.data = r;
    enum bk_err err = head_recv(&r->head, &on, data, len, used);
    return err == BK_ERR_MALFORMED && r->url_cut ? BK_ERR_TOO_LONG : err;
}

static enum relay_route derp_route(const struct relay_request *r) {
    if (r->upgrade_websocket && r->websocket_derp)
        return RELAY_ROUTE_WEBSOCKET;
    if (r->method == HTTP_GET && r->upgrade_derp)
        return RELAY_ROUTE_DERP;
    return RELAY_ROUTE_NO_UPGRADE;
}

enum relay_route relay_request_route(const struct relay_request *r) {
    bool reads = r->method == HTTP_GET || r->method == HTTP_HEAD;
    if (strcmp(r->path, "/derp") == 0)
        return derp_route(r);
    if (strcmp(r->path, "/derp/probe") == 0 || strcmp(r->path, "/derp/latency-check") == 0)
        return reads ? RELAY_ROUTE_PROBE : RELAY_ROUTE_BAD_METHOD;
    if (strcmp(r->path, "/generate_204") == 0)
        return RELAY_ROUTE_204;
    if (strcmp(r->path, "/robots.txt") == 0)
        return reads ? RELAY_ROUTE_ROBOTS : RELAY_ROUTE_BAD_METHOD;
    return RELAY_ROUTE_OTHER;
}

static const char *status_text(unsigned status) {
    static const struct {
        unsigned status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {426, "Upgrade Required"},
        {431, "Request Header Fields Too Large"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "Status";
}

static void status_line(struct text *out, unsigned status) {
    text_str(out, "HTTP/1.1 ");
    text_u64(out, status);
    text_str(out, " ");
    text_str(out, status_text(status));
    text_str(out, "\r\n");
}

void relay_status_put(struct text *out, unsigned status, const char *extra, const char *body,
                      bool keep_alive, bool head_only) {
    status_line(out, status);
    if (extra != NULL)
        text_str(out, extra);
    text_str(out, keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n");
    if (status != 204) { /* RFC 9110 section 8.6: no Content-Length in a 204 */
        text_str(out, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
        text_u64(out, strlen(body));
        text_str(out, "\r\n");
    }
    text_str(out, "\r\n");
    if (!head_only && status != 204)
        text_str(out, body);
}

static void put_switching(struct text *out, const uint8_t *server_key) {
    text_str(out, "HTTP/1.1 101 Switching Protocols\r\n"
                  "Upgrade: DERP\r\n"
                  "Connection: Upgrade\r\n"
                  "Derp-Version: 2\r\n"
                  "Derp-Public-Key: ");
    text_hex(out, server_key, 32);
    text_str(out, "\r\n\r\n");
}

static void put_204(struct text *out, const struct relay_request *r, bool keep_alive) {
    char extra[256];
    struct text t = text_in(extra, sizeof extra);
    text_str(&t, "Cache-Control: no-cache, no-store, must-revalidate, no-transform, max-age=0\r\n");
    if (r->challenge[0] != '\0') {
        text_str(&t, "X-Tailscale-Response: response ");
        text_str(&t, r->challenge);
        text_str(&t, "\r\n");
    }
    relay_status_put(out, 204, extra, "", keep_alive, false);
}

void relay_response_put(struct text *out, const struct relay_request *r, enum relay_route route,
                        const uint8_t *server_key, bool *close) {
    bool head = r->method == HTTP_HEAD;
    /* A request body would have to be read before the next request: close instead. */
    bool keep = r->keep_alive && r->body_len == 0 && !r->upgrade_derp && !r->upgrade_websocket;
    *close = !keep;
    switch (route) {
    case RELAY_ROUTE_DERP:
        *close = false;
        if (!r->fast_start)
            put_switching(out, server_key);
        return;
    case RELAY_ROUTE_NO_UPGRADE:
        relay_status_put(out, 426, "Upgrade: DERP\r\n", "DERP requires connection upgrade\n", keep,
                         head);
        return;
    case RELAY_ROUTE_WEBSOCKET:
        relay_status_put(out, 501, NULL, "DERP over WebSocket is not offered here\n", keep, head);
        return;
    case RELAY_ROUTE_PROBE:
        relay_status_put(out, 200, "Access-Control-Allow-Origin: *\r\n", "", keep, head);
        return;
    case RELAY_ROUTE_BAD_METHOD:
        relay_status_put(out, 405, "Allow: GET, HEAD\r\n", "GET or HEAD only\n", keep, head);
        return;
    case RELAY_ROUTE_204:
        put_204(out, r, keep);
        return;
    case RELAY_ROUTE_ROBOTS:
        relay_status_put(out, 200, NULL, "User-agent: *\nDisallow: /\n", keep, head);
        return;
    case RELAY_ROUTE_OTHER:
        relay_status_put(out, 404, NULL, "no such page\n", keep, head);
        return;
    }
}

void relay_request_put(struct text *out, const char *host, bool fast_start) {
    text_str(out, "GET /derp HTTP/1.1\r\nHost: ");
    text_str(out, host);
    text_str(out, "\r\nUser-Agent: bodkin\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n");
    if (fast_start)
        text_str(out, "Derp-Fast-Start: 1\r\n");
    text_str(out, "\r\n");
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum bk_err relay_key_parse(const char *hex, size_t len, uint8_t out[32]) {
    uint8_t key[32];
    if (len != 64)
        return BK_ERR_MALFORMED;
    for (size_t i = 0; i < 32; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return BK_ERR_MALFORMED;
        key[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(out, key, sizeof key);
    return BK_OK;
}

static void response_header(struct relay_response *r) {
    const struct relay_header *h = &r->head.header;
    if (header_is(h, "upgrade"))
        r->upgrade_derp = value_lists(h, "derp");
    else if (header_is(h, "derp-public-key"))
        r->key_known = relay_key_parse(h->value, h->value_len, r->server_key) == BK_OK;
    else if (header_is(h, "derp-version") && h->value_len == 1 && h->value[0] >= '0' &&
             h->value[0] <= '9')
        r->version = (uint32_t)(h->value[0] - '0');
}

static int on_response_field(struct http_parser *p, const char *at, size_t len) {
    struct relay_response *r = p->data;
    if (header_turns(&r->head.header)) {
        response_header(r);
        header_reset(&r->head.header);
    }
    header_add_name(&r->head.header, at, len);
    return 0;
}

static int on_response_value(struct http_parser *p, const char *at, size_t len) {
    struct relay_response *r = p->data;
    header_add_value(&r->head.header, at, len);
    return 0;
}

static int on_response_head(struct http_parser *p) {
    struct relay_response *r = p->data;
    if (header_turns(&r->head.header))
        response_header(r);
    header_reset(&r->head.header);
    r->status = p->status_code;
    r->head.complete = true;
    return STOP_AFTER_HEAD;
}

void relay_response_init(struct relay_response *r) {
    memset(r, 0, sizeof *r);
    http_parser_init(&r->head.parser, HTTP_RESPONSE);
}

enum bk_err relay_response_recv(struct relay_response *r, const uint8_t *data, size_t len,
                                size_t *used) {
    static const struct http_parser_settings on = {
        .on_header_field = on_response_field,
        .on_header_value = on_response_value,
        .on_headers_complete = on_response_head,
    };
    if (r->head.complete)
        return BK_ERR_MALFORMED;
    r->head.parser.data = r;
    return head_recv(&r->head, &on, data, len, used);
}
