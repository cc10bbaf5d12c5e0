/* SPDX-License-Identifier: MIT */
#include "wire/stun_stream.h"

#include "base/assert.h"
#include "wire/channel.h"
#include "wire/stun.h"

#include <string.h>

enum { PREFIX_LEN = 4 }; /* both kinds of frame tell their length in bytes 2 and 3 */

void stun_stream_init(struct stun_stream *s, void *buf, size_t cap, bool channels) {
    bk_assert(cap >= STUN_HEADER_LEN);
    memset(s, 0, sizeof *s);
    s->buf = buf;
    s->cap = cap;
    s->channels = channels;
}

/* Moves what is left to the front, but only when the room behind it is not enough: a buffer full of
 * small frames is moved once, not once per frame. */
static void make_room(struct stun_stream *s, size_t wanted) {
    if (s->head == 0 || wanted <= s->cap - s->tail)
        return;
    s->tail -= s->head;
    memmove(s->buf, s->buf + s->head, s->tail);
    s->head = 0;
}

size_t stun_stream_push(struct stun_stream *s, const void *data, size_t len) {
    if (s->trouble != BK_OK)
        return 0;
    make_room(s, len);
    size_t room = s->cap - s->tail;
    size_t taken = len < room ? len : room;
    if (taken > 0)
        memcpy(s->buf + s->tail, data, taken);
    s->tail += taken;
    return taken;
}

static bool is_channel(uint8_t first, uint16_t channel_max) {
    return first >= CHANNEL_MIN >> 8 && first <= channel_max >> 8;
}

/* What can be told from the first bytes; garbage is refused before its body is awaited. */
static enum bk_err check_prefix(const uint8_t *p, size_t len, uint16_t channel_max) {
    bool channel = len > 0 && is_channel(p[0], channel_max);
    if (len > 0 && (p[0] & 0xc0) != 0 && !channel)
        return BK_ERR_NOT_OURS;
    if (len < PREFIX_LEN)
        return BK_ERR_SHORT;
    if (channel)
        return BK_OK;
    if ((p[3] & 3) != 0)
        return BK_ERR_NOT_OURS; /* a message's length is a multiple of four */
    if (len < STUN_HEADER_LEN)
        return BK_ERR_SHORT;
    return stun_is_message(p, len) ? BK_OK : BK_ERR_NOT_OURS;
}

enum bk_err stun_stream_cut(const uint8_t *data, size_t len, uint16_t channel_max,
                            struct stun_frame *out, size_t *whole) {
    *whole = len < PREFIX_LEN ? PREFIX_LEN : STUN_HEADER_LEN;
    enum bk_err err = check_prefix(data, len, channel_max);
    if (err != BK_OK)
        return err;
    bool channel = is_channel(data[0], channel_max);
    size_t frame = ((size_t)data[2] << 8 | data[3]) + (channel ? PREFIX_LEN : STUN_HEADER_LEN);
    *whole = (frame + 3) & ~(size_t)3; /* RFC 8656 section 12.5: on streams, to four bytes */
    if (*whole > len)
        return BK_ERR_SHORT;
    out->kind = channel ? STUN_FRAME_CHANNEL : STUN_FRAME_MESSAGE;
    out->data = data;
    out->len = frame;
    return BK_OK;
}

enum bk_err stun_stream_next(struct stun_stream *s, struct stun_frame *out) {
    size_t whole;
    if (s->trouble != BK_OK)
        return s->trouble;
    enum bk_err err = stun_stream_cut(s->buf + s->head, s->tail - s->head,
                                      s->channels ? CHANNEL_MAX : 0, out, &whole);
    if (err == BK_OK)
        s->head += whole;
    else if (err != BK_ERR_SHORT)
        s->trouble = err;
    else if (whole > s->cap)
        s->trouble = err = BK_ERR_TOO_LONG;
    return err;
}
