/* SPDX-License-Identifier: MIT
 * Chunks and the packets made of them. Chunks that were never used stay untouched, so a pool that
 * is configured large but used little costs address space, not memory. */
#include "relay/hub_int.h"

#include <string.h>

void queue_pool_init(struct relay_hub *h) {
    h->chunk_free = NONE;
    h->chunk_fresh = 0;
    h->chunks_free = h->chunks;
}

uint32_t pool_reserve(const struct relay_hub *h) {
    return h->chunks / 16;
}

uint8_t *chunk_data(const struct relay_hub *h, uint32_t chunk) {
    return h->data + (size_t)chunk * RELAY_HUB_CHUNK;
}

static uint32_t chunk_take(struct relay_hub *h, uint32_t reserve) {
    if (h->chunks_free <= reserve)
        return NONE;
    uint32_t i = h->chunk_free;
    if (i != NONE)
        h->chunk_free = h->chunk[i].next;
    else
        i = h->chunk_fresh++;
    h->chunks_free--;
    h->chunk[i] = (struct chunk){.next = NONE, .next_packet = NONE, .last = i, .count = 1};
    return i;
}

uint32_t packet_new(struct relay_hub *h, uint32_t off, uint32_t reserve) {
    uint32_t i = chunk_take(h, reserve);
    if (i != NONE)
        h->chunk[i].off = h->chunk[i].end = (uint16_t)off;
    return i;
}

void packet_free(struct relay_hub *h, uint32_t packet) {
    h->chunks_free += h->chunk[packet].count;
    h->chunk[h->chunk[packet].last].next = h->chunk_free;
    h->chunk_free = packet;
}

bool packet_append(struct relay_hub *h, uint32_t packet, const uint8_t *data, size_t len,
                   uint32_t reserve) {
    struct chunk *first = &h->chunk[packet];
    while (len > 0) {
        struct chunk *c = &h->chunk[first->last];
        size_t room = RELAY_HUB_CHUNK - (size_t)c->end;
        if (room == 0) {
            uint32_t more = chunk_take(h, reserve);
            if (more == NONE)
                return false;
            c->next = more;
            first->last = more;
            first->count++;
            continue;
        }
        size_t n = len < room ? len : room;
        memcpy(chunk_data(h, first->last) + c->end, data, n);
        c->end = (uint16_t)(c->end + n);
        first->bytes += (uint32_t)n;
        data += n;
        len -= n;
    }
    return true;
}

void packet_move_start(struct relay_hub *h, uint32_t packet, uint32_t off) {
    struct chunk *c = &h->chunk[packet];
    c->bytes = c->bytes + c->off - off;
    c->off = (uint16_t)off;
}

const uint8_t *packet_flat(const struct relay_hub *h, uint32_t packet) {
    const struct chunk *first = &h->chunk[packet];
    if (first->count == 1)
        return chunk_data(h, packet) + first->off;
    size_t at = 0;
    for (uint32_t i = packet; i != NONE; i = h->chunk[i].next) {
        size_t n = (size_t)h->chunk[i].end - h->chunk[i].off;
        memcpy(h->scratch + at, chunk_data(h, i) + h->chunk[i].off, n);
        at += n;
    }
    return h->scratch;
}

void packets_push(struct relay_hub *h, struct packets *q, uint32_t packet) {
    h->chunk[packet].next_packet = NONE;
    if (q->first == NONE)
        q->first = packet;
    else
        h->chunk[q->last].next_packet = packet;
    q->last = packet;
}

uint32_t packets_pop(struct relay_hub *h, struct packets *q) {
    uint32_t packet = q->first;
    if (packet == NONE)
        return NONE;
    q->first = h->chunk[packet].next_packet;
    if (q->first == NONE)
        q->last = NONE;
    return packet;
}
