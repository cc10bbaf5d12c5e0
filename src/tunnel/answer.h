/* SPDX-License-Identifier: MIT
 * The head of an HTTP answer (RFC 9112), by http_parser: its status and the few headers that
 * somebody here asks for. Bounded by ANSWER_HEAD_MAX bytes, interim answers (RFC 9110 section 15.2)
 * included, and without allocation. */
#ifndef TUNNEL_ANSWER_H
#define TUNNEL_ANSWER_H

#include <bodkin/err.h>
#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ANSWER_HEAD_MAX = 8192,
    ANSWER_NAME_MAX = 32,
    ANSWER_VALUE_MAX = 512 /* a longer value counts as not there */
};

struct answer {
    unsigned status; /* once answer_recv() said BK_OK */
    /* The rest is internal. */
    struct http_parser parser;
    char name[ANSWER_NAME_MAX], value[ANSWER_VALUE_MAX];
    size_t name_len, value_len, len;
    bool cut, in_value, complete;
    void (*on_header)(void *ctx, const char *name, const char *value);
    void *ctx;
};

/* `on_header` is told every header that fits, its name in lower case. */
void answer_init(struct answer *a,
                 void (*on_header)(void *ctx, const char *name, const char *value), void *ctx);
/* Takes bytes of the stream; `*used` says how many belong to the head. BK_OK: it is complete.
 * BK_ERR_SHORT: more is needed, everything was used. BK_ERR_TOO_LONG, BK_ERR_MALFORMED: the end. */
BK_MUST_USE enum bk_err answer_recv(struct answer *a, const uint8_t *data, size_t len,
                                    size_t *used);

#endif
