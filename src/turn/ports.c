/* SPDX-License-Identifier: MIT */
#include "turn/ports.h"

#include "base/assert.h"
#include "base/rng.h"

#include <string.h>

enum { DRAWS = 64 }; /* for an even port, before searching */

enum bk_err turn_ports_init(struct turn_ports *p, uint16_t first, uint16_t last,
                            const struct bk_alloc *alloc) {
    memset(p, 0, sizeof *p);
    p->alloc = *alloc;
    p->first = first;
    p->count = p->free_count = (uint32_t)last - first + 1;
    p->owner = alloc->get(alloc->ctx, p->count * (sizeof *p->owner + 2 * sizeof *p->list));
    if (p->owner == NULL)
        return BK_ERR_NO_MEMORY;
    p->list = (uint16_t *)(p->owner + p->count);
    p->place = p->list + p->count;
    for (uint32_t i = 0; i < p->count; i++) {
        p->owner[i] = TURN_NOBODY;
        p->list[i] = p->place[i] = (uint16_t)i;
    }
    return BK_OK;
}

void turn_ports_fini(struct turn_ports *p) {
    if (p->owner != NULL)
        p->alloc.put(p->alloc.ctx, p->owner);
    memset(p, 0, sizeof *p);
}

bool turn_ports_has(const struct turn_ports *p, uint16_t port) {
    return port >= p->first && (uint32_t)port - p->first < p->count;
}

static bool is_free(const struct turn_ports *p, uint32_t port) {
    return port <= UINT16_MAX && turn_ports_has(p, (uint16_t)port) &&
           p->place[port - p->first] < p->free_count;
}

static void swap(struct turn_ports *p, uint32_t a, uint32_t b) {
    uint16_t x = p->list[a], y = p->list[b];
    p->list[a] = y;
    p->list[b] = x;
    p->place[y] = (uint16_t)a;
    p->place[x] = (uint16_t)b;
}

bool turn_ports_take_this(struct turn_ports *p, uint16_t port) {
    if (!is_free(p, port))
        return false;
    swap(p, p->place[port - p->first], p->free_count - 1);
    p->free_count--;
    return true;
}

void turn_ports_give_back(struct turn_ports *p, uint16_t port) {
    uint16_t i = (uint16_t)(port - p->first);
    bk_assert(turn_ports_has(p, port) && !is_free(p, port));
    p->owner[i] = TURN_NOBODY;
    swap(p, p->place[i], p->free_count);
    p->free_count++;
}

static bool fits(const struct turn_ports *p, uint32_t port, enum turn_parity parity) {
    if (parity == TURN_ANY_PORT)
        return true;
    return port % 2 == 0 && (parity == TURN_EVEN || is_free(p, port + 1));
}

bool turn_ports_take(struct turn_ports *p, enum turn_parity parity, const struct bk_rng *rng,
                     uint16_t *out) {
    uint32_t at = 0, port = 0;
    bool found = false;
    for (int i = 0; p->free_count > 0 && !found && i < DRAWS; i++) {
        at = rng_below(rng, p->free_count);
        port = (uint32_t)p->first + p->list[at];
        found = fits(p, port, parity);
    }
    for (uint32_t i = 0; !found && i < p->free_count; i++) {
        port = (uint32_t)p->first + p->list[(at + i) % p->free_count];
        found = fits(p, port, parity);
    }
    if (!found)
        return false;
    *out = (uint16_t)port;
    return turn_ports_take_this(p, *out);
}

void turn_ports_set_owner(struct turn_ports *p, uint16_t port, uint32_t owner) {
    bk_assert(turn_ports_has(p, port) && !is_free(p, port));
    p->owner[port - p->first] = owner;
}

uint32_t turn_ports_owner(const struct turn_ports *p, uint16_t port) {
    return turn_ports_has(p, port) ? p->owner[port - p->first] : TURN_NOBODY;
}
