/* SPDX-License-Identifier: MIT
 * Helpers on `struct bk_rng`, and a seeded generator for simulations and tests. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <bodkin/env.h>
#include <stdint.h>

void rng_fill(const struct bk_rng *rng, void *out, size_t len);
uint32_t rng_u32(const struct bk_rng *rng);
uint64_t rng_u64(const struct bk_rng *rng);
/* Uniform in [0, bound), without modulo bias; bound >= 1. */
uint32_t rng_below(const struct bk_rng *rng, uint32_t bound);

/* xoshiro256** (Blackman and Vigna): fast, good, and NOT for secrets. Equal seeds give equal
 * streams on every machine. */
struct rng_seeded {
    uint64_t s[4];
};

void rng_seed(struct rng_seeded *r, uint64_t seed);
uint64_t rng_seeded_next(struct rng_seeded *r);
/* `r` as a `struct bk_rng`; it must outlive the users of the result. */
struct bk_rng rng_from_seeded(struct rng_seeded *r);

#endif
