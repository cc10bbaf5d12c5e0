/* SPDX-License-Identifier: MIT */
#include "wire/stun_stream.h"

#include "base/assert.h"
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

static bool is_channel(const struct stun_stream *s, uint8_t first) {
    return s->channels && first >= 0x40 && first <= 0x4f; /* RFC 8656 section 12 */
}

/* What can be told from the first bytes; garbage is refused before its body is awaited. */
static enum bk_err check_prefix(const struct stun_stream *s) {
    const uint8_t *p = s->buf + s->head;
    size_t len = s->tail - s->head;
    if (len > 0 && (p[0] & 0xc0) != 0 && !is_channel(s, p[0]))
        return BK_ERR_NOT_OURS;
    if (len < PREFIX_LEN)
        return BK_ERR_SHORT;
    if (is_channel(s, p[0]))
        return BK_OK;
    if ((p[3] & 3) != 0)
        return BK_ERR_NOT_OURS; /* a message's length is a multiple of four */
    if (len < STUN_HEADER_LEN)
        return BK_ERR_SHORT;
    return stun_is_message(p, len) ? BK_OK : BK_ERR_NOT_OURS;
}

enum bk_err stun_stream_next(struct stun_stream *s, struct stun_frame *out) {
    if (s->trouble == BK_OK)
        s->trouble = check_prefix(s);
    if (s->trouble == BK_ERR_SHORT) {
        s->trouble = BK_OK;
        return BK_ERR_SHORT;
    }
    if (s->trouble != BK_OK)
        return s->trouble;
    const uint8_t *p = s->buf + s->head;
    bool channel = is_channel(s, p[0]);
    size_t len = ((size_t)p[2] << 8 | p[3]) + (channel ? PREFIX_LEN : STUN_HEADER_LEN);
    size_t padded = (len + 3) & ~(size_t)3; /* RFC 8656 section 12.5: on streams, to four bytes */
    if (padded > s->cap) {
        s->trouble = BK_ERR_TOO_LONG;
        return s->trouble;
    }
    if (padded > s->tail - s->head)
        return BK_ERR_SHORT;
    out->kind = channel ? STUN_FRAME_CHANNEL : STUN_FRAME_MESSAGE;
    out->data = p;
    out->len = len;
    s->head += padded;
    return BK_OK;
}
