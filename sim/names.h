/* SPDX-License-Identifier: MIT
 * Names in the simulated world: what DNS knows everywhere, and what mDNS (RFC 6762) knows on one
 * link, which here is one parent node. */
#ifndef SIM_NAMES_H
#define SIM_NAMES_H

#include "sim/world.h"

enum { SIM_NAMES_MAX = 64, SIM_NAME_TEXT_MAX = 256 };

struct sim_name {
    char text[SIM_NAME_TEXT_MAX];
    struct bk_ip ip;
    node_id link; /* mDNS: whose children hear it; WORLD_CORE: DNS, everybody */
};

struct sim_names {
    struct sim_name rows[SIM_NAMES_MAX];
    size_t count;
    int64_t delay_us; /* how long an answer takes */
};

/* Asserts past SIM_NAMES_MAX. A name may have several addresses. */
void sim_names_add(struct sim_names *n, const char *name, struct bk_ip ip, node_id link);
/* As seen by a host on `link`. Returns how many addresses, at most `cap`. */
size_t sim_names_find(const struct sim_names *n, const char *name, node_id link, struct bk_ip *out,
                      size_t cap);

#endif
