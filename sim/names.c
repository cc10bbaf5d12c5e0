/* SPDX-License-Identifier: MIT */
#include "sim/names.h"

#include "base/assert.h"

#include <string.h>

void sim_names_add(struct sim_names *n, const char *name, struct bk_ip ip, node_id link) {
    size_t len = strlen(name);
    bk_assert(n->count < SIM_NAMES_MAX && len < SIM_NAME_TEXT_MAX);
    struct sim_name *row = &n->rows[n->count++];
    memcpy(row->text, name, len + 1);
    row->ip = ip;
    row->link = link;
}

size_t sim_names_find(const struct sim_names *n, const char *name, node_id link, struct bk_ip *out,
                      size_t cap) {
    size_t found = 0;
    for (size_t i = 0; i < n->count && found < cap; i++) {
        const struct sim_name *row = &n->rows[i];
        if (strcmp(row->text, name) == 0 && (row->link == WORLD_CORE || row->link == link))
            out[found++] = row->ip;
    }
    return found;
}
