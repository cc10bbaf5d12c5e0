/* SPDX-License-Identifier: MIT */
#include "punch/ports.h"

#include "base/assert.h"
#include "base/rng.h"

enum { ROUNDS = 4 };

uint32_t port_set_count(const struct port_set *s) {
    uint32_t span = (uint32_t)(s->max - s->min) + 1;
    if (s->run == 0 || s->gap == 0)
        return span;
    uint32_t rest = span % s->gap;
    return span / s->gap * s->run + (rest < s->run ? rest : s->run);
}

uint16_t port_set_at(const struct port_set *s, uint32_t rank) {
    if (s->run == 0 || s->gap == 0)
        return (uint16_t)(s->min + rank);
    return (uint16_t)(s->min + rank / s->run * s->gap + rank % s->run);
}

void port_walk_init(struct port_walk *w, const struct port_set *set, const struct bk_rng *rng) {
    bk_assert(set->min <= set->max);
    *w = (struct port_walk){.set = *set, .count = port_set_count(set), .half_bits = 1};
    while (UINT32_C(1) << (2 * w->half_bits) < w->count)
        w->half_bits++;
    w->key = rng_u64(rng);
}

/* Any function will do; this one is a round of splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
static uint32_t mix(uint64_t key, uint32_t round, uint32_t half) {
    uint64_t z = key + ((uint64_t)round << 32 | half) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}

static uint32_t shuffled(const struct port_walk *w, uint32_t x) {
    uint32_t mask = (UINT32_C(1) << w->half_bits) - 1;
    uint32_t left = x >> w->half_bits, right = x & mask;
    for (uint32_t r = 0; r < ROUNDS; r++) {
        uint32_t held = right;
        right = left ^ (mix(w->key, r, right) & mask);
        left = held;
    }
    return left << w->half_bits | right;
}

/* The cycle through `i` comes back to the set, because it comes back to `i`; fewer than one number
 * in four lies within, so it takes a few steps. */
uint16_t port_walk_at(const struct port_walk *w, uint32_t i) {
    bk_assert(i < w->count);
    do
        i = shuffled(w, i);
    while (i >= w->count);
    return port_set_at(&w->set, i);
}
