/* SPDX-License-Identifier: MIT */
#include "lab/pcapng.h"

#include "base/assert.h"
#include <string.h>

enum {
    BLOCK_SECTION = 0x0a0d0d0a,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET = 6,
    BYTE_ORDER_MAGIC = 0x1a2b3c4d,
    LINKTYPE_RAW = 101,
    OPTION_END = 0,
    OPTION_COMMENT = 1,
    OPTION_IF_NAME = 2,
    OPTION_IF_DESCRIPTION = 3,
    OPTION_IF_TSRESOL = 9,
    OPTION_EPB_FLAGS = 2,
    OPTION_USER_APPLICATION = 4,
    NANOSECONDS = 9 /* if_tsresol: 10^-9 */

};

static void put16(struct pcapng *p, uint32_t value) {
    p->buffer[p->len++] = (uint8_t)value;
    p->buffer[p->len++] = (uint8_t)(value >> 8);
}

static void put32(struct pcapng *p, uint32_t value) {
    put16(p, value & 0xffff);
    put16(p, value >> 16);
}

static void set32(struct pcapng *p, size_t at, uint32_t value) {
    for (size_t i = 0; i < 4; i++)
        p->buffer[at + i] = (uint8_t)(value >> (8 * i));
}

/* Everything is padded to four bytes. */
static void put_bytes(struct pcapng *p, const void *bytes, size_t len) {
    memcpy(p->buffer + p->len, bytes, len);
    p->len += len;
    while (p->len % 4 != 0)
        p->buffer[p->len++] = 0;
}

static void put_option(struct pcapng *p, uint32_t code, const void *value, size_t len) {
    put16(p, code);
    put16(p, (uint32_t)len);
    put_bytes(p, value, len);
}

static void put_text(struct pcapng *p, uint32_t code, const char *text) {
    size_t len = strlen(text);
    put_option(p, code, text, len < PCAPNG_TEXT_MAX ? len : PCAPNG_TEXT_MAX);
}

/* Returns where the block begins. */
static size_t block_begin(struct pcapng *p, uint32_t type) {
    bk_assert(p->len % 4 == 0);
    size_t at = p->len;
    put32(p, type);
    put32(p, 0); /* its length; block_end() knows it */
    return at;
}

static void block_end(struct pcapng *p, size_t begin) {
    uint32_t len = (uint32_t)(p->len - begin) + 4;
    put32(p, len);
    set32(p, begin + 4, len);
}

static void options_end(struct pcapng *p) {
    put32(p, OPTION_END);
}

void pcapng_init(struct pcapng *p, uint8_t *buffer, size_t cap, pcapng_put *put, void *ctx,
                 const char *application) {
    bk_assert(cap >= PCAPNG_BUFFER_MIN);
    *p = (struct pcapng){.buffer = buffer, .cap = cap, .last = SIZE_MAX, .put = put, .ctx = ctx};
    size_t begin = block_begin(p, BLOCK_SECTION);
    put32(p, BYTE_ORDER_MAGIC);
    put32(p, 1); /* version 1.0 */
    put32(p, UINT32_MAX);
    put32(p, UINT32_MAX); /* the section's length is not known */
    put_text(p, OPTION_USER_APPLICATION, application);
    options_end(p);
    block_end(p, begin);
}

enum bk_err pcapng_flush(struct pcapng *p) {
    size_t len = p->len;
    p->len = 0;
    p->last = SIZE_MAX;
    return len == 0 ? BK_OK : p->put(p->ctx, p->buffer, len);
}

static enum bk_err make_room(struct pcapng *p, size_t len) {
    return p->len + len > p->cap ? pcapng_flush(p) : BK_OK;
}

enum bk_err pcapng_interface(struct pcapng *p, const char *name, const char *description) {
    static const uint8_t resolution = NANOSECONDS;
    enum bk_err err = make_room(p, 1024);
    if (err != BK_OK)
        return err;
    size_t begin = block_begin(p, BLOCK_INTERFACE);
    put32(p, LINKTYPE_RAW);
    put32(p, 0); /* no limit on a packet's length */
    put_text(p, OPTION_IF_NAME, name);
    put_text(p, OPTION_IF_DESCRIPTION, description);
    put_option(p, OPTION_IF_TSRESOL, &resolution, sizeof resolution);
    options_end(p);
    block_end(p, begin);
    p->last = SIZE_MAX;
    p->interfaces++;
    return BK_OK;
}

enum bk_err pcapng_write(struct pcapng *p, const struct pcapng_packet *packet) {
    bk_assert(packet->interface < p->interfaces);
    enum bk_err err = make_room(p, packet->len + 1024);
    if (err != BK_OK)
        return err;
    bk_assert(p->len + packet->len + 1024 <= p->cap);
    uint64_t at = (uint64_t)packet->at_ns;
    p->last = block_begin(p, BLOCK_PACKET);
    put32(p, packet->interface);
    put32(p, (uint32_t)(at >> 32));
    put32(p, (uint32_t)at);
    put32(p, (uint32_t)packet->len); /* captured, and as it was */
    put32(p, (uint32_t)packet->len);
    put_bytes(p, packet->bytes, packet->len);
    put16(p, OPTION_EPB_FLAGS);
    put16(p, 4);
    put32(p, packet->direction);
    if (packet->comment != NULL)
        put_text(p, OPTION_COMMENT, packet->comment);
    options_end(p);
    block_end(p, p->last);
    return BK_OK;
}

bool pcapng_remark(struct pcapng *p, const char *comment) {
    if (p->last == SIZE_MAX || p->len + 4 + PCAPNG_TEXT_MAX + 1 > p->cap)
        return false;
    p->len -= 8; /* the end of its options and its length are written again */
    put_text(p, OPTION_COMMENT, comment);
    options_end(p);
    block_end(p, p->last);
    return true;
}
