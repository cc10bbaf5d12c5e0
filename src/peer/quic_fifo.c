/* SPDX-License-Identifier: MIT */
#include <base/assert.h>
#include <peer/quic_fifo.h>
#include <string.h>

void fifo_pool_init(struct fifo_pool *pool, const struct bk_alloc *alloc) {
    *pool = (struct fifo_pool){.alloc = *alloc};
}

void fifo_pool_fini(struct fifo_pool *pool) {
    while (pool->spare != NULL) {
        struct fifo_chunk *chunk = pool->spare;
        pool->spare = chunk->next;
        pool->alloc.put(pool->alloc.ctx, chunk);
    }
    pool->spare_count = 0;
}

static struct fifo_chunk *chunk_take(struct fifo_pool *pool) {
    struct fifo_chunk *chunk = pool->spare;
    if (chunk == NULL)
        return pool->alloc.get(pool->alloc.ctx, sizeof *chunk);
    pool->spare = chunk->next;
    pool->spare_count--;
    chunk->next = NULL;
    chunk->len = 0;
    return chunk;
}

static void chunk_give(struct fifo_pool *pool, struct fifo_chunk *chunk) {
    if (pool->spare_count >= FIFO_SPARE_MAX) {
        pool->alloc.put(pool->alloc.ctx, chunk);
        return;
    }
    chunk->next = pool->spare;
    pool->spare = chunk;
    pool->spare_count++;
}

size_t fifo_push(struct fifo *f, struct fifo_pool *pool, const uint8_t *data, size_t len) {
    size_t done = 0;
    while (done < len) {
        if (f->last == NULL || f->last->len == FIFO_CHUNK_LEN) {
            struct fifo_chunk *chunk = chunk_take(pool);
            if (chunk == NULL)
                break;
            if (f->last == NULL)
                f->first = chunk;
            else
                f->last->next = chunk;
            f->last = chunk;
        }
        size_t n = FIFO_CHUNK_LEN - f->last->len;
        if (n > len - done)
            n = len - done;
        memcpy(f->last->data + f->last->len, data + done, n);
        f->last->len += (uint32_t)n;
        f->len += n;
        done += n;
    }
    return done;
}

const uint8_t *fifo_front(const struct fifo *f, size_t *len) {
    if (f->len == 0) {
        *len = 0;
        return NULL;
    }
    *len = f->first->len - f->start;
    return f->first->data + f->start;
}

void fifo_drop(struct fifo *f, struct fifo_pool *pool, uint64_t len) {
    bk_assert(len <= f->len);
    f->len -= len;
    while (f->first != NULL && (f->len == 0 || len >= f->first->len - f->start)) {
        struct fifo_chunk *chunk = f->first;
        len -= chunk->len - f->start;
        f->start = 0;
        f->first = chunk->next;
        if (f->first == NULL)
            f->last = NULL;
        chunk_give(pool, chunk);
    }
    f->start += (uint32_t)len;
}

void fifo_clear(struct fifo *f, struct fifo_pool *pool) {
    fifo_drop(f, pool, f->len);
}

/* Off the end of a chunk: it may be dropped, and then be another fifo's, before the mark is used
 * again. */
static void step_off(struct fifo_mark *mark) {
    if (mark->chunk != NULL && mark->at == mark->chunk->len && mark->chunk->next != NULL)
        *mark = (struct fifo_mark){mark->chunk->next, 0};
}

void fifo_settle(const struct fifo *f, struct fifo_mark *mark) {
    if (mark->chunk == NULL && f->len > 0)
        *mark = (struct fifo_mark){f->first, f->start};
    step_off(mark);
}

uint8_t *fifo_run(struct fifo_mark *mark, size_t max, size_t *len) {
    step_off(mark);
    if (mark->chunk == NULL || mark->at == mark->chunk->len || max == 0)
        return NULL;
    uint8_t *run = mark->chunk->data + mark->at;
    size_t n = mark->chunk->len - mark->at;
    if (n > max)
        n = max;
    mark->at += (uint32_t)n;
    *len = n;
    return run;
}

void fifo_skip(struct fifo_mark *mark, size_t len) {
    size_t n = 0;
    while (len > 0) {
        const uint8_t *run = fifo_run(mark, len, &n);
        bk_assert(run != NULL);
        len -= n;
    }
    step_off(mark);
}
