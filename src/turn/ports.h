/* SPDX-License-Identifier: MIT
 * The relay ports of one address: which are free, drawn at random (RFC 8656 section 7.2, and RFC
 * 6056: nobody outside should guess the next one), and whose the others are. Several workers deal
 * them out among each other in pairs, an even port and the next; here are all, but only this
 * worker's own are ever free. Everything is O(1) but a search for an even port in a pool that is
 * nearly used up. Memory is touched only where ports are used. */
#ifndef TURN_PORTS_H
#define TURN_PORTS_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stdint.h>

#define TURN_NOBODY UINT32_MAX

struct turn_ports {
    uint32_t *owner; /* by port - first, plus one; 0: nobody's */
    /* Own ports are numbered; list[0..free_count) are free, place is the list's inverse. Both hold
     * what they hold XOR their index, so that zeros are the order at the start. */
    uint16_t *list, *place;
    uint32_t count, own_count, free_count;
    uint16_t first, worker, workers;
    struct bk_alloc alloc;
};

/* Ports first..last, of which `worker` (below `workers`) has its share. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err turn_ports_init(struct turn_ports *p, uint16_t first, uint16_t last,
                                        uint16_t worker, uint16_t workers,
                                        const struct bk_alloc *alloc);
void turn_ports_fini(struct turn_ports *p);

enum turn_parity { TURN_ANY_PORT, TURN_EVEN, TURN_EVEN_PAIR };

/* Takes a free port. TURN_EVEN_PAIR: an even one whose successor is free too; that one is not
 * taken. false: there is none. */
bool turn_ports_take(struct turn_ports *p, enum turn_parity parity, const struct bk_rng *rng,
                     uint16_t *out);
/* Takes this one. false: not free, or not ours. */
bool turn_ports_take_this(struct turn_ports *p, uint16_t port);
/* One of our own. */
void turn_ports_give_back(struct turn_ports *p, uint16_t port);
/* Of any port in the range. */
void turn_ports_set_owner(struct turn_ports *p, uint16_t port, uint32_t owner);
/* TURN_NOBODY: not in the range, or nobody's here. */
uint32_t turn_ports_owner(const struct turn_ports *p, uint16_t port);
bool turn_ports_has(const struct turn_ports *p, uint16_t port);
/* Whose share it belongs to; it is in the range. */
uint16_t turn_ports_worker(const struct turn_ports *p, uint16_t port);

#endif
