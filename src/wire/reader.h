/* SPDX-License-Identifier: MIT
 * Reading bytes in network order. A failure sticks: read everything, then look at `failed` once.
 * After a failure every read gives 0 or NULL and consumes nothing. */
#ifndef WIRE_READER_H
#define WIRE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view of bytes that belong to somebody else. */
struct wire_span {
    const uint8_t *data;
    size_t len;
};

struct wire_reader {
    const uint8_t *data; /* the next byte */
    size_t left;
    bool failed; /* a read went past the end */
};

/* Reads `len` bytes at `data`, which must outlive the reader and every view taken from it. */
static inline struct wire_reader wire_reader(const void *data, size_t len) {
    struct wire_reader r = {(const uint8_t *)data, len, false};
    return r;
}

static inline size_t wire_left(const struct wire_reader *r) {
    return r->left;
}

/* A view of the next `len` bytes. NULL: there are not that many. */
static inline const uint8_t *wire_bytes(struct wire_reader *r, size_t len) {
    if (r->failed || len > r->left) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->data;
    r->left -= len;
    if (len > 0) /* adding 0 to a NULL pointer is undefined in C */
        r->data += len;
    return at;
}

static inline void wire_skip(struct wire_reader *r, size_t len) {
    (void)wire_bytes(r, len);
}

static inline uint8_t wire_u8(struct wire_reader *r) {
    const uint8_t *p = wire_bytes(r, 1);
    return p == NULL ? 0 : p[0];
}

static inline uint16_t wire_u16(struct wire_reader *r) {
    const uint8_t *p = wire_bytes(r, 2);
    return (uint16_t)(p == NULL ? 0 : p[0] << 8 | p[1]);
}

static inline uint32_t wire_u32(struct wire_reader *r) {
    const uint8_t *p = wire_bytes(r, 4);
    return p == NULL ? 0 : (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t wire_u64(struct wire_reader *r) {
    const uint8_t *p = wire_bytes(r, 8);
    uint64_t value = 0;
    for (int i = 0; p != NULL && i < 8; i++)
        value = value << 8 | p[i];
    return value;
}

#endif
