/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include "base/assert.h"

void rng_fill(const struct bk_rng *rng, void *out, size_t len) {
    rng->fill(rng->ctx, out, len);
}

uint32_t rng_u32(const struct bk_rng *rng) {
    return (uint32_t)rng_u64(rng);
}

/* Assembled from bytes, so that a seed means the same on little- and big-endian machines. */
uint64_t rng_u64(const struct bk_rng *rng) {
    uint8_t b[8];
    uint64_t value = 0;
    rng->fill(rng->ctx, b, sizeof b);
    for (int i = 7; i >= 0; i--)
        value = value << 8 | b[i];
    return value;
}

uint32_t rng_below(const struct bk_rng *rng, uint32_t bound) {
    bk_assert(bound >= 1);
    uint32_t reject_below = (0u - bound) % bound; /* 2^32 mod bound */
    uint32_t value;
    do
        value = rng_u32(rng);
    while (value < reject_below);
    return value % bound;
}

/* SplitMix64 spreads a small seed over the whole state. */
void rng_seed(struct rng_seeded *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t z = seed;
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        r->s[i] = z ^ z >> 31;
    }
}

static uint64_t rotate_left(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

uint64_t rng_seeded_next(struct rng_seeded *r) {
    uint64_t *s = r->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

static void seeded_fill(void *ctx, void *out, size_t len) {
    uint8_t *p = out;
    while (len > 0) {
        uint64_t value = rng_seeded_next(ctx);
        for (int i = 0; i < 8 && len > 0; i++, len--) {
            *p++ = (uint8_t)value;
            value >>= 8;
        }
    }
}

struct bk_rng rng_from_seeded(struct rng_seeded *r) {
    struct bk_rng rng = {.fill = seeded_fill, .ctx = r};
    return rng;
}
