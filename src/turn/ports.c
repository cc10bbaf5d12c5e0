/* SPDX-License-Identifier: MIT */
#include "turn/ports.h"

#include "base/assert.h"
#include "base/rng.h"

#include <string.h>

enum { DRAWS = 64 }; /* for an even port, before searching */

/* Own port number k is the k % 2 of pair k / 2 of this worker's; pairs begin at even ports. */
static uint32_t port_of(const struct turn_ports *p, uint32_t k) {
    return (p->first & ~1u) + (k / 2 * p->workers + p->worker) * 2 + k % 2;
}

static uint32_t number_of(const struct turn_ports *p, uint32_t port) {
    return (port - (p->first & ~1u)) / 2 / p->workers * 2 + port % 2;
}

uint16_t turn_ports_worker(const struct turn_ports *p, uint16_t port) {
    return (uint16_t)((port - (p->first & ~1u)) / 2 % p->workers);
}

enum bk_err turn_ports_init(struct turn_ports *p, uint16_t first, uint16_t last, uint16_t worker,
                            uint16_t workers, const struct bk_alloc *alloc) {
    struct turn_ports made = {
        .alloc = *alloc, .first = first, .worker = worker, .workers = workers};
    uint32_t pairs = last / 2u - first / 2u + 1;
    made.count = (uint32_t)last - first + 1;
    made.own_count = made.free_count = (pairs + workers - 1 - worker) / workers * 2;
    made.owner = alloc->get(alloc->ctx, made.count * sizeof *made.owner +
                                            (size_t)made.own_count * 2 * sizeof *made.list);
    if (made.owner == NULL)
        return BK_ERR_NO_MEMORY;
    made.list = (uint16_t *)(made.owner + made.count);
    made.place = made.list + made.own_count;
    *p = made;
    if (first % 2 == 1) /* half a pair at either end */
        (void)turn_ports_take_this(p, (uint16_t)(first - 1));
    if (last % 2 == 0)
        (void)turn_ports_take_this(p, (uint16_t)(last + 1));
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

static uint32_t listed(const struct turn_ports *p, uint32_t at) {
    return p->list[at] ^ at;
}

static uint32_t place_of(const struct turn_ports *p, uint32_t k) {
    return p->place[k] ^ k;
}

/* Any number: the ends of the range are asked about, too. */
static bool is_free(const struct turn_ports *p, uint32_t port) {
    if (port < (p->first & ~1u) || turn_ports_worker(p, (uint16_t)port) != p->worker)
        return false;
    uint32_t k = number_of(p, port);
    return port <= UINT16_MAX && k < p->own_count && place_of(p, k) < p->free_count;
}

static void swap(struct turn_ports *p, uint32_t a, uint32_t b) {
    uint32_t x = listed(p, a), y = listed(p, b);
    p->list[a] = (uint16_t)(y ^ a);
    p->list[b] = (uint16_t)(x ^ b);
    p->place[y] = (uint16_t)(a ^ y);
    p->place[x] = (uint16_t)(b ^ x);
}

bool turn_ports_take_this(struct turn_ports *p, uint16_t port) {
    if (!is_free(p, port))
        return false;
    swap(p, place_of(p, number_of(p, port)), p->free_count - 1);
    p->free_count--;
    return true;
}

void turn_ports_give_back(struct turn_ports *p, uint16_t port) {
    bk_assert(turn_ports_has(p, port) && turn_ports_worker(p, port) == p->worker &&
              !is_free(p, port));
    p->owner[port - p->first] = 0;
    swap(p, place_of(p, number_of(p, port)), p->free_count);
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
        port = port_of(p, listed(p, at));
        found = fits(p, port, parity);
    }
    for (uint32_t i = 0; !found && i < p->free_count; i++) {
        port = port_of(p, listed(p, (at + i) % p->free_count));
        found = fits(p, port, parity);
    }
    if (!found)
        return false;
    *out = (uint16_t)port;
    return turn_ports_take_this(p, *out);
}

void turn_ports_set_owner(struct turn_ports *p, uint16_t port, uint32_t owner) {
    bk_assert(turn_ports_has(p, port) && !is_free(p, port));
    p->owner[port - p->first] = owner == TURN_NOBODY ? 0 : owner + 1;
}

uint32_t turn_ports_owner(const struct turn_ports *p, uint16_t port) {
    return turn_ports_has(p, port) ? p->owner[port - p->first] - 1 : TURN_NOBODY;
}
