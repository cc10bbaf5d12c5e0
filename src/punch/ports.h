/* SPDX-License-Identifier: MIT
 * Sets of ports, and walks through them in random order without memory for the ports: a permutation
 * by a Feistel network over the next power of four, which steps over numbers beyond the set. */
#ifndef PUNCH_PORTS_H
#define PUNCH_PORTS_H

#include <bodkin/env.h>
#include <stdint.h>

/* [min, max], or of it only `run` ports from `min` on and again every `gap` (RFC 7597 section 5.1).
 */
struct port_set {
    uint16_t min, max; /* min <= max */
    uint16_t run, gap; /* run <= gap; 0: all */
};

uint32_t port_set_count(const struct port_set *set);
/* The rank-th port, rank below port_set_count(). */
uint16_t port_set_at(const struct port_set *set, uint32_t rank);

struct port_walk {
    struct port_set set;
    uint32_t count;
    uint32_t half_bits; /* of a number, in each half of the network */
    uint64_t key;
};

void port_walk_init(struct port_walk *walk, const struct port_set *set, const struct bk_rng *rng);
/* The i-th port of the walk, i below walk->count; all are different. */
uint16_t port_walk_at(const struct port_walk *walk, uint32_t i);

#endif
