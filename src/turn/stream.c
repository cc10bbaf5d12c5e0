/* SPDX-License-Identifier: MIT */
#include "turn/stream.h"

#include "base/assert.h"
#include "wire/channel.h"
#include "wire/stun.h"

#include <string.h>

void turn_stream_init(struct turn_stream *s, void *buf, size_t cap) {
    bk_assert(cap >= STUN_HEADER_LEN);
    memset(s, 0, sizeof *s);
    s->buf = buf;
    s->cap = cap;
}

void turn_stream_push(struct turn_stream *s, const void *data, size_t len) {
    bk_assert(s->in_len == 0);
    s->in = data;
    s->in_len = len;
}

/* Length of the message that starts at `p`, and on the wire. BK_ERR_SHORT: not known yet. */
static enum bk_err measure(const uint8_t *p, size_t have, size_t *len, size_t *padded) {
    bool channel = channel_is_data(p, have);
    if (have > 0 && p[0] > 3 && !channel)
        return BK_ERR_MALFORMED;
    if (have < CHANNEL_HEADER_LEN)
        return BK_ERR_SHORT;
    *len = ((size_t)p[2] << 8 | p[3]) + (channel ? CHANNEL_HEADER_LEN : STUN_HEADER_LEN);
    *padded = (*len + 3) & ~(size_t)3; /* RFC 8656 section 12.5: MUST be padded on streams */
    if (!channel && *len != *padded)
        return BK_ERR_MALFORMED; /* RFC 8489 section 5: a multiple of four */
    return BK_OK;
}

static void eat(struct turn_stream *s, size_t len) {
    if (len > 0) /* adding 0 to a NULL pointer is undefined in C */
        s->in += len;
    s->in_len -= len;
}

static void keep(struct turn_stream *s, size_t upto) {
    size_t want = upto - s->have;
    size_t n = want < s->in_len ? want : s->in_len;
    if (n > 0)
        memcpy(s->buf + s->have, s->in, n);
    s->have += n;
    eat(s, n);
}

static bool step_over(struct turn_stream *s) {
    size_t n = s->skip < s->in_len ? s->skip : s->in_len;
    eat(s, n);
    s->skip -= n;
    return s->skip == 0;
}

/* A message that began in an earlier read. */
static enum bk_err finish_kept(struct turn_stream *s, const uint8_t **data, size_t *len) {
    size_t padded = 0;
    if (s->have < CHANNEL_HEADER_LEN)
        keep(s, CHANNEL_HEADER_LEN);
    enum bk_err err = measure(s->buf, s->have, len, &padded);
    if (err != BK_OK)
        return err;
    if (padded > s->cap) {
        s->skip = padded - s->have;
        s->have = 0;
        s->skipped++;
        return BK_OK;
    }
    keep(s, padded);
    if (s->have < padded)
        return BK_ERR_SHORT;
    s->have = 0;
    *data = s->buf;
    return BK_OK;
}

static enum bk_err take_whole(struct turn_stream *s, const uint8_t **data, size_t *len) {
    size_t padded = 0;
    enum bk_err err = measure(s->in, s->in_len, len, &padded);
    if (err == BK_OK && padded > s->cap) {
        s->skip = padded;
        s->skipped++;
        return BK_OK;
    }
    if (err == BK_OK && padded <= s->in_len) {
        *data = s->in;
        eat(s, padded);
        return BK_OK;
    }
    if (err == BK_ERR_MALFORMED)
        return err;
    keep(s, s->in_len); /* less than a message, so it fits */
    return BK_ERR_SHORT;
}

enum bk_err turn_stream_next(struct turn_stream *s, const uint8_t **data, size_t *len) {
    *data = NULL;
    while (*data == NULL) {
        if (s->trouble != BK_OK)
            return s->trouble;
        if (!step_over(s) || s->in_len == 0)
            return BK_ERR_SHORT;
        bk_assert(s->in != NULL);
        enum bk_err err = s->have > 0 ? finish_kept(s, data, len) : take_whole(s, data, len);
        if (err == BK_ERR_MALFORMED) {
            s->trouble = err;
            s->in_len = 0;
        }
        if (err != BK_OK)
            return err;
    }
    return BK_OK;
}
