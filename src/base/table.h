/* SPDX-License-Identifier: MIT
 * A hash table from byte-string keys to 32-bit values (usually an index into a pool). It allocates
 * once, at creation: `capacity` entries fit, the next one is BK_ERR_FULL. Keys are hashed with
 * SipHash-2-4 under a random key, so nobody on the network can choose keys that collide. */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
    uint8_t *slots; /* slot_count slots: 1 byte used, key, 4 bytes value */
    size_t key_len, slot_len, slot_count;
    size_t count, capacity;
    uint64_t seed[2];
    struct bk_alloc alloc;
};

BK_MUST_USE enum bk_err table_init(struct table *t, size_t key_len, size_t capacity,
                                   const struct bk_rng *rng, const struct bk_alloc *alloc);
void table_fini(struct table *t);
/* Adds `key`, or replaces its value. BK_ERR_FULL: `capacity` keys are in. */
BK_MUST_USE enum bk_err table_put(struct table *t, const void *key, uint32_t value);
/* false: no such key; *out is untouched. `out` may be NULL. */
bool table_get(const struct table *t, const void *key, uint32_t *out);
/* false: no such key. */
bool table_remove(struct table *t, const void *key);

/* SipHash-2-4 (Aumasson and Bernstein). */
uint64_t siphash24(const uint64_t seed[2], const void *data, size_t len);

#endif
