/* SPDX-License-Identifier: MIT
 * How many pairs of real users the best methods could join: the oracle over weighted populations of
 * NATs. */
#ifndef SIM_ORACLE_POPULATION_H
#define SIM_ORACLE_POPULATION_H

#include <bodkin/nat_traits.h>
#include <stdbool.h>
#include <stddef.h>

/* Hosts of one kind. */
struct oracle_class {
    const char *name;
    double weight; /* share of the population's hosts */
    struct bk_nat_traits traits;
    double ipv6, port_mapping, inbound_first; /* share of the class that has it, independently */
};

/* The index-th population's letter; its title and where its weights come from. '\0': no more. */
char oracle_population(size_t index, const char **title, const char **source);
/* The index-th class of a population. false: no more. */
bool oracle_population_class(char population, size_t index, struct oracle_class *out);

/* Sets of techniques, each with one more than the last. NULL: no more. */
const char *oracle_level(size_t level);
/* The share of pairs, both drawn from the population, that meet directly with that set. */
double oracle_population_bound(char population, size_t level);

#endif
