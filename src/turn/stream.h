/* SPDX-License-Identifier: MIT
 * Messages out of a byte stream, for TURN over TCP and TLS (RFC 8656 section 12.5). Unlike
 * wire/stun_stream.h it copies only what a read cuts in two, and steps over messages that are too
 * long for its buffer instead of giving the connection up: a peer may send a datagram of any size,
 * and that must not end a relay. */
#ifndef TURN_STREAM_H
#define TURN_STREAM_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct turn_stream {
    uint8_t *buf; /* not owned */
    size_t cap, have;
    size_t skip;       /* bytes of an overlong message still to come */
    const uint8_t *in; /* the caller's bytes, not yet looked at */
    size_t in_len;
    uint64_t skipped; /* messages */
    enum bk_err trouble;
};

/* *Keeps* `buf`; cap: 20 or more, the longest message that can be put together. */
void turn_stream_init(struct turn_stream *s, void *buf, size_t cap);
/* *Keeps* a view of `data` until turn_stream_next() said BK_ERR_SHORT; all before must be gone. */
void turn_stream_push(struct turn_stream *s, const void *data, size_t len);
/* The next whole message, without padding; valid until the next call. BK_ERR_SHORT: that was all.
 * BK_ERR_MALFORMED: no message can start like this; for good. */
BK_MUST_USE enum bk_err turn_stream_next(struct turn_stream *s, const uint8_t **data, size_t *len);

#endif
