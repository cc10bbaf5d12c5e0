/* SPDX-License-Identifier: MIT
 * Stream buffers: byte queues made of chunks. Bytes never move once written, because ngtcp2 keeps
 * pointers to sent bytes until they are acknowledged; empty chunks return to a pool that all
 * streams of a connection share. */
#ifndef PEER_QUIC_FIFO_H
#define PEER_QUIC_FIFO_H

#include <bodkin/env.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FIFO_CHUNK_LEN = 16384 - 16,
    FIFO_SPARE_MAX = 64 /* empty chunks kept for reuse: 1 MiB */
};

struct fifo_chunk {
    struct fifo_chunk *next;
    uint32_t len;
    uint8_t data[FIFO_CHUNK_LEN];
};

struct fifo_pool {
    struct bk_alloc alloc;
    struct fifo_chunk *spare;
    uint32_t spare_count;
};

struct fifo {
    struct fifo_chunk *first, *last;
    uint32_t start; /* the first queued byte, in `first` */
    uint64_t len;
};

/* A place in a fifo between its bytes. NULL: at the end of an empty fifo. */
struct fifo_mark {
    struct fifo_chunk *chunk;
    uint32_t at;
};

void fifo_pool_init(struct fifo_pool *pool, const struct bk_alloc *alloc);
void fifo_pool_fini(struct fifo_pool *pool); /* after every fifo that used it is cleared */

/* Copies bytes to the end; returns how many, less than `len` only without memory. */
size_t fifo_push(struct fifo *f, struct fifo_pool *pool, const uint8_t *data, size_t len);
/* The longest contiguous run at the front. */
const uint8_t *fifo_front(const struct fifo *f, size_t *len);
/* Drops `len` <= f->len bytes off the front. */
void fifo_drop(struct fifo *f, struct fifo_pool *pool, uint64_t len);
void fifo_clear(struct fifo *f, struct fifo_pool *pool);

/* After fifo_push: brings a mark that stood at the end off a chunk that may be dropped next, or off
 * the empty fifo. */
void fifo_settle(const struct fifo *f, struct fifo_mark *mark);
/* The contiguous bytes after `mark`, and moves `mark` to their end, or to `max` bytes on.
 * NULL: none. */
uint8_t *fifo_run(struct fifo_mark *mark, size_t max, size_t *len);
/* Moves `mark` by `len` bytes, which must be there. */
void fifo_skip(struct fifo_mark *mark, size_t len);

#endif
