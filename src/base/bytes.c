/* SPDX-License-Identifier: MIT */
#include "base/bytes.h"

#include "base/assert.h"
#include "base/wipe.h"

#include <string.h>

enum bk_err byteq_init(struct byteq *q, size_t cap, const struct bk_alloc *alloc) {
    uint8_t *data = alloc->get(alloc->ctx, cap);
    if (data == NULL)
        return BK_ERR_NO_MEMORY;
    *q = (struct byteq){.data = data, .cap = cap, .alloc = *alloc};
    return BK_OK;
}

void byteq_fini(struct byteq *q) {
    if (q->data != NULL) {
        wipe(q->data, q->cap);
        q->alloc.put(q->alloc.ctx, q->data);
    }
    memset(q, 0, sizeof *q);
}

/* Moves the queued bytes to the front when the room behind them is too small. Amortised O(1): bytes
 * move only after at least as many have been dropped, or when the queue is nearly full. */
static void make_room(struct byteq *q, size_t len) {
    if (q->cap - q->tail >= len)
        return;
    memmove(q->data, q->data + q->head, byteq_len(q));
    q->tail -= q->head;
    q->head = 0;
}

enum bk_err byteq_push(struct byteq *q, const void *bytes, size_t len) {
    if (len > byteq_room(q))
        return BK_ERR_FULL;
    if (len == 0)
        return BK_OK;
    make_room(q, len);
    memcpy(q->data + q->tail, bytes, len);
    q->tail += len;
    return BK_OK;
}

size_t byteq_push_some(struct byteq *q, const void *bytes, size_t len) {
    if (len > byteq_room(q))
        len = byteq_room(q);
    enum bk_err err = byteq_push(q, bytes, len);
    bk_assert(err == BK_OK);
    return len;
}

void byteq_drop(struct byteq *q, size_t len) {
    bk_assert(len <= byteq_len(q));
    q->head += len;
    if (q->head == q->tail)
        q->head = q->tail = 0;
}
