/* SPDX-License-Identifier: MIT
 * Probabilities of hitting ports, without the C library's mathematics:
 * products, sums and one exponential of our own, so that every machine gets the
 * same digits. */
#ifndef PUNCH_CHANCE_H
#define PUNCH_CHANCE_H

#include <stdint.h>

/* e^-x for x >= 0. */
double chance_exp_minus(double x);

/* Two people choose `k` and `n` different ports out of `space`, at least one of
 * them at random: do they have one in common? 1 - C(space - k, n) / C(space,
 * n). `k`, `n` up to `space` count. */
double chance_common(uint32_t space, uint32_t k, uint32_t n);

/* Of a Poisson process that is expected to bring `mean` events: fewer than `n`
 * of them? 0 for means beyond 700, where nothing is worth predicting. */
double chance_fewer(double mean, uint32_t n);
/* The smallest n, at most `max`, with chance_fewer(mean, n) >= wanted; `max`
 * when there is none. */
uint32_t chance_window(double mean, double wanted, uint32_t max);

/* Both sides guess, both filters ask for the right address and port. Side A
 * opens n mappings at random out of space_a, aimed at `targets` different
 * ports, evenly; side B opens m at random out of space_b, aimed at different
 * ports of A. They meet when one mapping of A is aimed at a mapping of B that
 * is aimed back at it.
 *
 * B has a given target among its mappings with probability m / space_b, and
 * that mapping is aimed at one of the n / targets mappings of A that wait there
 * with (n / targets) / space_a. So
 *
 *     P = 1 - (1 - (m / space_b) (n / targets) / space_a)^targets
 *
 * With targets = n (one socket) that is the textbook's 1 - e^(-n m / (space_a
 * space_b)). With targets = 1 it is n m / (space_a space_b): the expected
 * number of meetings, which by the union bound no method can exceed. That takes
 * n sockets at A, because one socket has one mapping for one target. */
double chance_meet(uint32_t space_a, uint32_t n, uint32_t space_b, uint32_t m, uint32_t targets);

#endif
