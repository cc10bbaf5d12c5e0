/* SPDX-License-Identifier: MIT
 * Lists of NAT types, delays and loss rates on command lines of `bodkin sim`. */
#ifndef CLI_SIM_TYPES_H
#define CLI_SIM_TYPES_H

#include "nat/nat.h"

#include <stddef.h>
#include <stdint.h>

enum { SIM_TYPES_MAX = 64, SIM_VALUES_MAX = 16 };

struct sim_type {
    const char *name;
    struct nat_config config;
};

struct sim_types {
    struct sim_type types[SIM_TYPES_MAX];
    size_t count;
};

/* "home,EI-PP-APD"; NULL: the 27 of NATCracker. The list is cut at its commas and kept. Returns an
 * exit status; what is wrong was said. */
int sim_types_read(struct sim_types *t, char *list);
/* "0,1,2.5" times `scale`, each at most `max` then, at most SIM_VALUES_MAX of them. The same. */
int sim_values_read(const char *option, const char *list, int64_t scale, int64_t max, int64_t *out,
                    size_t *count);

#endif
