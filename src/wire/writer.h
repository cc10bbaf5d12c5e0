/* SPDX-License-Identifier: MIT
 * Writing bytes in network order into the caller's buffer. Overflow sticks: write everything, then
 * look at `failed` once. After an overflow nothing more is written; the buffer never overruns. */
#ifndef WIRE_WRITER_H
#define WIRE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_writer {
    uint8_t *data; /* the start of the buffer */
    size_t len;    /* written so far */
    size_t cap;
    bool failed; /* something did not fit */
};

static inline struct wire_writer wire_writer(void *buf, size_t cap) {
    struct wire_writer w = {(uint8_t *)buf, 0, cap, false};
    return w;
}

static inline size_t wire_room(const struct wire_writer *w) {
    return w->failed ? 0 : w->cap - w->len;
}

/* Room for `len` bytes, for the caller to fill. NULL: they do not fit. */
static inline uint8_t *wire_reserve(struct wire_writer *w, size_t len) {
    if (w->failed || len > w->cap - w->len) {
        w->failed = true;
        return NULL;
    }
    uint8_t *at = w->data == NULL ? NULL : w->data + w->len;
    w->len += len;
    return at;
}

static inline void wire_put_bytes(struct wire_writer *w, const void *bytes, size_t len) {
    uint8_t *p = wire_reserve(w, len);
    if (p != NULL && len > 0)
        memcpy(p, bytes, len);
}

static inline void wire_put_zeros(struct wire_writer *w, size_t len) {
    uint8_t *p = wire_reserve(w, len);
    if (p != NULL && len > 0)
        memset(p, 0, len);
}

static inline void wire_put_u8(struct wire_writer *w, uint8_t value) {
    wire_put_bytes(w, &value, 1);
}

static inline void wire_put_u16(struct wire_writer *w, uint16_t value) {
    const uint8_t b[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    wire_put_bytes(w, b, sizeof b);
}

static inline void wire_put_u32(struct wire_writer *w, uint32_t value) {
    wire_put_u16(w, (uint16_t)(value >> 16));
    wire_put_u16(w, (uint16_t)value);
}

static inline void wire_put_u64(struct wire_writer *w, uint64_t value) {
    wire_put_u32(w, (uint32_t)(value >> 32));
    wire_put_u32(w, (uint32_t)value);
}

/* Overwrites two bytes written earlier, at offset `at`; a length field, usually. */
static inline void wire_patch_u16(struct wire_writer *w, size_t at, uint16_t value) {
    if (w->failed || at + 2 > w->len) {
        w->failed = true;
        return;
    }
    w->data[at] = (uint8_t)(value >> 8);
    w->data[at + 1] = (uint8_t)value;
}

#endif
