/* SPDX-License-Identifier: MIT */
#include "tunnel/answer.h"

#include <string.h>

/* Returning 2 tells http_parser that whatever follows is not its business: a body, or the tunnel's
 * bytes. */
enum { STOP_AFTER_HEAD = 2 };

static void append(char *out, size_t cap, size_t *len, bool *cut, const char *at, size_t n) {
    if (n > cap - 1 - *len) {
        *cut = true;
        return;
    }
    memcpy(out + *len, at, n);
    *len += n;
    out[*len] = '\0';
}

/* Tells the header that is complete now. */
static void header_done(struct answer *a) {
    if (a->in_value && !a->cut && a->on_header != NULL)
        a->on_header(a->ctx, a->name, a->value);
    a->name_len = a->value_len = 0;
    a->name[0] = a->value[0] = '\0';
    a->cut = a->in_value = false;
}

static int on_field(struct http_parser *p, const char *at, size_t len) {
    struct answer *a = p->data;
    if (a->in_value)
        header_done(a);
    size_t from = a->name_len;
    append(a->name, sizeof a->name, &a->name_len, &a->cut, at, len);
    for (size_t i = from; i < a->name_len; i++)
        if (a->name[i] >= 'A' && a->name[i] <= 'Z')
            a->name[i] = (char)(a->name[i] + ('a' - 'A'));
    return 0;
}

static int on_value(struct http_parser *p, const char *at, size_t len) {
    struct answer *a = p->data;
    a->in_value = true;
    append(a->value, sizeof a->value, &a->value_len, &a->cut, at, len);
    return 0;
}

static int on_head(struct http_parser *p) {
    struct answer *a = p->data;
    header_done(a);
    a->status = p->status_code;
    a->complete = true;
    return STOP_AFTER_HEAD;
}

static void begin(struct answer *a) {
    http_parser_init(&a->parser, HTTP_RESPONSE);
    /* RFC 9110 section 9.3.6: Content-Length and Transfer-Encoding of a successful answer to
     * CONNECT are ignored. Nobody here reads a body, so both together do no harm. */
    a->parser.allow_chunked_length = 1;
    a->complete = false;
    a->in_value = false; /* a header that an interim answer left unfinished would be an error */
    header_done(a);
}

void answer_init(struct answer *a,
                 void (*on_header)(void *ctx, const char *name, const char *value), void *ctx) {
    memset(a, 0, sizeof *a);
    a->on_header = on_header;
    a->ctx = ctx;
    begin(a);
}

/* One head, interim or final. */
static enum bk_err recv_head(struct answer *a, const uint8_t *data, size_t len, size_t *used) {
    static const struct http_parser_settings on = {
        .on_header_field = on_field, .on_header_value = on_value, .on_headers_complete = on_head};
    size_t room = ANSWER_HEAD_MAX - a->len;
    size_t offer = len < room ? len : room;
    a->parser.data = a;
    /* An empty run means the end of the stream to http_parser; it is not that here. */
    size_t n = offer == 0 ? 0 : http_parser_execute(&a->parser, &on, (const char *)data, offer);
    a->len += n;
    *used = n;
    if (a->complete)
        return BK_OK;
    if (HTTP_PARSER_ERRNO(&a->parser) != HPE_OK || n != offer)
        return BK_ERR_MALFORMED;
    return a->len == ANSWER_HEAD_MAX ? BK_ERR_TOO_LONG : BK_ERR_SHORT;
}

enum bk_err answer_recv(struct answer *a, const uint8_t *data, size_t len, size_t *used) {
    size_t total = 0;
    enum bk_err err = BK_ERR_MALFORMED;
    if (a->complete)
        return err;
    for (;;) {
        size_t n = 0;
        err = recv_head(a, data + total, len - total, &n);
        total += n;
        if (err != BK_OK || a->status >= 200)
            break;
        begin(a); /* RFC 9110 section 15.2: the final answer is still to come */
    }
    *used = total;
    return err;
}
