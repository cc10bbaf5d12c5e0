/* SPDX-License-Identifier: MIT
 * The HTTP/1.1 door of the relay, both sides, on http_parser: how a byte stream becomes a DERP
 * stream, and the small fixed pages a relay answers. No I/O, no allocation; heads are bounded by
 * RELAY_HEAD_MAX bytes, whatever they contain.
 *
 * Server: feed the stream to relay_request_recv() until it says BK_OK, ask relay_request_route(),
 * then either write relay_response_put()'s answer and, for RELAY_ROUTE_DERP, hand the rest of the
 * stream to relay_hub_accept(); or, for RELAY_ROUTE_OTHER, answer yourself (/healthz, /metrics). */
#ifndef RELAY_UPGRADE_H
#define RELAY_UPGRADE_H

#include "base/text.h"
#include <bodkin/err.h>
#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RELAY_HEAD_MAX = 8192, /* request or status line and headers, in bytes */
    RELAY_PATH_MAX = 256,
    RELAY_HEADER_NAME_MAX = 32,
    RELAY_HEADER_VALUE_MAX = 256,
    RELAY_CHALLENGE_MAX = 64
};

/* One header being put together from the parser's pieces. Longer values are cut and marked. */
struct relay_header {
    char name[RELAY_HEADER_NAME_MAX];
    char value[RELAY_HEADER_VALUE_MAX];
    size_t name_len, value_len;
    bool cut, in_value;
};

/* The head of a message on its way through the parser, the same in both directions. */
struct relay_head {
    struct http_parser parser;
    struct relay_header header; /* the one being read */
    size_t len;                 /* what the head has had so far */
    bool complete;
};

struct relay_request {
    /* What was asked; valid once relay_request_recv() said BK_OK. */
    unsigned method;                         /* enum http_method: HTTP_GET, HTTP_HEAD, ... */
    char path[RELAY_PATH_MAX];               /* without the query, NUL-terminated, not unescaped */
    char query[RELAY_PATH_MAX];              /* behind the '?', or empty */
    bool upgrade_derp;                       /* Upgrade: DERP (any case) */
    bool upgrade_websocket;                  /* Upgrade: websocket */
    bool websocket_derp;                     /* Sec-WebSocket-Protocol contains derp */
    bool fast_start;                         /* Derp-Fast-Start: 1 */
    bool keep_alive;                         /* the connection may carry another request */
    uint64_t body_len;                       /* Content-Length; bodies are for the caller to skip */
    char challenge[RELAY_CHALLENGE_MAX + 1]; /* X-Tailscale-Challenge when valid, or empty */
    char ideal_node[RELAY_HEADER_NAME_MAX];  /* Ideal-Node, or empty */
    /* The rest is internal. */
    struct relay_head head;
    char url[RELAY_PATH_MAX * 2];
    size_t url_len;
    bool url_cut, connection_upgrade, chunked;
};

void relay_request_init(struct relay_request *r);
/* Takes bytes of the stream; `*used` says how many belong to the head: the rest (a fast-starting
 * client's first frames, a body) is the caller's to pass on. BK_OK: the head is complete.
 * BK_ERR_SHORT: more is needed, everything was used. BK_ERR_TOO_LONG: over RELAY_HEAD_MAX (answer
 * 431). BK_ERR_MALFORMED: not HTTP (answer 400). After an error only init helps. */
BK_MUST_USE enum bk_err relay_request_recv(struct relay_request *r, const uint8_t *data, size_t len,
                                           size_t *used);

enum relay_route {
    RELAY_ROUTE_DERP,       /* GET /derp with Upgrade: DERP: 101 (or nothing on fast start) */
    RELAY_ROUTE_NO_UPGRADE, /* /derp without an upgrade: 426 */
    RELAY_ROUTE_WEBSOCKET,  /* /derp over WebSocket: 501 for now; the seam for it */
    RELAY_ROUTE_PROBE,      /* /derp/probe, /derp/latency-check: 200 */
    RELAY_ROUTE_BAD_METHOD, /* those with other methods than GET and HEAD: 405 */
    RELAY_ROUTE_204,        /* /generate_204: captive portal check */
    RELAY_ROUTE_ROBOTS,     /* /robots.txt */
    RELAY_ROUTE_OTHER       /* not the relay's: the server's own pages, or 404 */
};

enum relay_route relay_request_route(const struct relay_request *r);

/* Writes the whole answer for `route`, RELAY_ROUTE_OTHER gives 404. Nothing at all for a fast
 * start. `server_key` is 32 bytes. *close: close the stream when it is written. */
void relay_response_put(struct text *out, const struct relay_request *r, enum relay_route route,
                        const uint8_t *server_key, bool *close);
/* Writes a short text/plain answer for `status`, for the server's own pages and for errors:
 * 200, 400, 404, 405, 408, 426, 431, 501, 503. `extra` is NULL or whole header lines with CRLF. */
void relay_status_put(struct text *out, unsigned status, const char *extra, const char *body,
                      bool keep_alive, bool head_only);

/* The client's request for GET /derp; `host` goes into the Host header. */
void relay_request_put(struct text *out, const char *host, bool fast_start);

struct relay_response {
    unsigned status;
    bool upgrade_derp;
    bool key_known; /* Derp-Public-Key was there and well formed */
    uint8_t server_key[32];
    uint32_t version; /* Derp-Version, or 0 */
    /* The rest is internal. */
    struct relay_head head;
};

void relay_response_init(struct relay_response *r);
/* As relay_request_recv(): the bytes behind a 101 are the first frames. */
BK_MUST_USE enum bk_err relay_response_recv(struct relay_response *r, const uint8_t *data,
                                            size_t len, size_t *used);

/* 64 hexadecimal digits to 32 bytes. BK_ERR_MALFORMED: anything else. */
BK_MUST_USE enum bk_err relay_key_parse(const char *hex, size_t len, uint8_t out[32]);

#endif
