/* SPDX-License-Identifier: MIT
 * ChannelData, RFC 8656 section 12.4: a channel number, a length, and the data. */
#ifndef WIRE_CHANNEL_H
#define WIRE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHANNEL_HEADER_LEN = 4,
    CHANNEL_MIN = 0x4000, /* RFC 8656 section 12 */
    CHANNEL_MAX = 0x4fff,
    CHANNEL_OLD_MAX = 0x7fff, /* RFC 5766 section 11, and clients that still go by it */
};

struct channel_data {
    uint16_t number; /* CHANNEL_MIN..CHANNEL_OLD_MAX */
    const uint8_t *data;
    size_t len;
};

/* Is it ChannelData by its first byte? RFC 8656 section 12, table 3. */
static inline bool channel_is_data(const uint8_t *bytes, size_t len) {
    return len > 0 && bytes[0] >= CHANNEL_MIN >> 8 && bytes[0] <= CHANNEL_MAX >> 8;
}

/* The same with RFC 5766's numbers: for servers, whose port nothing else comes to. */
static inline bool channel_is_old_data(const uint8_t *bytes, size_t len) {
    return len > 0 && bytes[0] >= CHANNEL_MIN >> 8 && bytes[0] <= CHANNEL_OLD_MAX >> 8;
}

/* Reads one message. false: shorter than it claims, RFC 8656 section 12.6: drop it. What follows
 * the data is padding (section 12.5). */
static inline bool channel_read(const uint8_t *bytes, size_t len, struct channel_data *out) {
    if (!channel_is_old_data(bytes, len) || len < CHANNEL_HEADER_LEN)
        return false;
    size_t data_len = (size_t)bytes[2] << 8 | bytes[3];
    if (data_len > len - CHANNEL_HEADER_LEN)
        return false;
    out->number = (uint16_t)(bytes[0] << 8 | bytes[1]);
    out->data = bytes + CHANNEL_HEADER_LEN;
    out->len = data_len;
    return true;
}

/* The four bytes that go before `len` bytes of data. */
static inline void channel_write_header(uint8_t out[CHANNEL_HEADER_LEN], uint16_t number,
                                        size_t len) {
    out[0] = (uint8_t)(number >> 8);
    out[1] = (uint8_t)number;
    out[2] = (uint8_t)(len >> 8);
    out[3] = (uint8_t)len;
}

#endif
