/* SPDX-License-Identifier: MIT
 * The Internet checksum (RFC 1071) and its incremental update (RFC 1624). Sums are 32 bits wide and
 * folded late: 65 535 words cannot overflow one. Private to nat/. */
#ifndef NAT_CHECKSUM_H
#define NAT_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

static inline uint16_t get16(const uint8_t *p) {
    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void put16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline uint32_t get32(const uint8_t *p) {
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static inline void put32(uint8_t *p, uint32_t value) {
    put16(p, (uint16_t)(value >> 16));
    put16(p + 2, (uint16_t)value);
}

static inline uint16_t sum_fold(uint32_t sum) {
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)(sum + (sum >> 16));
}

/* The sum of `len` bytes, an odd last one padded with zero; at most 128 KiB. */
static inline uint32_t sum_bytes(const uint8_t *p, size_t len) {
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += get16(p + i);
    return len % 2 == 0 ? sum : sum + (uint32_t)(p[len - 1] << 8);
}

/* Replaces the word at `p` and adds the change to *delta: ~m + m' of RFC 1624 equation 3. */
static inline void patch16(uint8_t *p, uint16_t value, uint32_t *delta) {
    *delta += (uint16_t)~get16(p);
    *delta += value;
    put16(p, value);
}

/* RFC 1624 equation 3: HC' = ~(~HC + ~m + m'). */
static inline uint16_t sum_update(uint16_t checksum, uint32_t delta) {
    return (uint16_t)~sum_fold((uint32_t)(uint16_t)~checksum + sum_fold(delta));
}

#endif
