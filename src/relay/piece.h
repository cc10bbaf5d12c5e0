/* SPDX-License-Identifier: MIT
 * A run of bytes that belongs to somebody else: what scatter-gather calls take and give. */
#ifndef RELAY_PIECE_H
#define RELAY_PIECE_H

#include <stddef.h>
#include <stdint.h>

struct relay_piece {
    const uint8_t *data;
    size_t len;
};

static inline size_t relay_pieces_len(const struct relay_piece *pieces, size_t count) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += pieces[i].len;
    return sum;
}

#endif
