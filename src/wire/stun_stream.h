/* SPDX-License-Identifier: MIT
 * STUN over TCP and TLS, RFC 8489 section 6.2.2: cuts a byte stream, however split, into messages.
 * The buffer is the caller's and is the limit: a message that does not fit ends the stream.
 *
 *     while (len > 0) {
 *         size_t taken = stun_stream_push(&s, data, len);
 *         data += taken, len -= taken;
 *         while ((err = stun_stream_next(&s, &frame)) == BK_OK) ...use frame...
 *         if (err != BK_ERR_SHORT) close the connection;
 *     }
 */
#ifndef WIRE_STUN_STREAM_H
#define WIRE_STUN_STREAM_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stun_frame_kind {
    STUN_FRAME_MESSAGE, /* a STUN message: give it to stun_parse() */
    STUN_FRAME_CHANNEL  /* TURN ChannelData, RFC 8656 section 12.5; padding cut off */
};

struct stun_frame {
    enum stun_frame_kind kind;
    const uint8_t *data; /* header included; valid until the next call on the stream */
    size_t len;
};

struct stun_stream {
    uint8_t *buf;
    size_t cap, head, tail; /* not yet given out: buf[head..tail) */
    bool channels;          /* TURN: ChannelData is welcome */
    enum bk_err trouble;    /* sticks: nothing after it can be trusted */
};

/* *Keeps* `buf`, of at least STUN_HEADER_LEN bytes, for the stream's life. */
void stun_stream_init(struct stun_stream *s, void *buf, size_t cap, bool channels);

/* Takes as many bytes as there is room for and returns their number; 0 only when `len` is 0, when a
 * complete frame waits to be taken by stun_stream_next(), or after trouble. */
size_t stun_stream_push(struct stun_stream *s, const void *data, size_t len);

/* The next complete frame. BK_ERR_SHORT: push more. BK_ERR_NOT_OURS: the stream carries something
 * else. BK_ERR_TOO_LONG: a frame larger than the buffer. The last two are for good: close. */
BK_MUST_USE enum bk_err stun_stream_next(struct stun_stream *s, struct stun_frame *out);

/* The same without a buffer: the first frame of `data`. `channel_max`: the highest number that is
 * ChannelData (CHANNEL_MAX, or for servers CHANNEL_OLD_MAX); 0: none is. *whole: how many bytes it
 * takes, padding included; with BK_ERR_SHORT, how many are needed before more can be said.
 * BK_ERR_SHORT, BK_ERR_NOT_OURS. */
BK_MUST_USE enum bk_err stun_stream_cut(const uint8_t *data, size_t len, uint16_t channel_max,
                                        struct stun_frame *out, size_t *whole);

#endif
