/* SPDX-License-Identifier: MIT
 * A fixed-capacity byte queue (first in, first out) in one piece of memory: what is queued is
 * always readable as one run, so codecs can look at it in place. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <stddef.h>
#include <stdint.h>

struct byteq {
    uint8_t *data;
    size_t head, tail, cap; /* the queued bytes are data[head..tail) */
    struct bk_alloc alloc;
};

BK_MUST_USE enum bk_err byteq_init(struct byteq *q, size_t cap, const struct bk_alloc *alloc);
void byteq_fini(struct byteq *q); /* wipes what was in it */
static inline size_t byteq_len(const struct byteq *q) {
    return q->tail - q->head;
}
static inline size_t byteq_room(const struct byteq *q) {
    return q->cap - byteq_len(q);
}
static inline const uint8_t *byteq_front(const struct byteq *q) {
    return q->data + q->head;
}
/* All or nothing. BK_ERR_FULL: not enough room. */
BK_MUST_USE enum bk_err byteq_push(struct byteq *q, const void *bytes, size_t len);
/* As much as fits; returns how much that was. */
size_t byteq_push_some(struct byteq *q, const void *bytes, size_t len);
/* Takes `len` <= byteq_len() bytes off the front. */
void byteq_drop(struct byteq *q, size_t len);

#endif
