/* SPDX-License-Identifier: MIT
 * From 64-bit hashes to 32-bit values, several values for one hash allowed. Keys are not kept: the
 * hashes must come from a keyed function (SipHash), and whoever looks one up verifies what it gets.
 * It grows by doubling, so the memory follows the number of agents, not the limit on them. */
#ifndef RUN_MULTIMAP_H
#define RUN_MULTIMAP_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct multimap_slot {
    uint64_t hash;
    uint32_t value;
    bool used;
};

struct multimap {
    struct multimap_slot *slots;
    size_t slot_count, count; /* slot_count: a power of two, or 0 */
    struct bk_alloc alloc;
};

void multimap_init(struct multimap *m, const struct bk_alloc *alloc);
void multimap_fini(struct multimap *m);
/* BK_ERR_NO_MEMORY: nothing was added. The same pair twice is two entries. */
BK_MUST_USE enum bk_err multimap_add(struct multimap *m, uint64_t hash, uint32_t value);
/* Removes one such entry. false: there is none. */
bool multimap_remove(struct multimap *m, uint64_t hash, uint32_t value);
bool multimap_has(const struct multimap *m, uint64_t hash, uint32_t value);
/* Walks the values of one hash; *at is 0 at first. No changes in between. false: no more. */
bool multimap_next(const struct multimap *m, uint64_t hash, size_t *at, uint32_t *value);

#endif
