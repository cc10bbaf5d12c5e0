/* SPDX-License-Identifier: MIT
 * The relay ports of one address: which are free, drawn at random (RFC 8656 section 7.2, and RFC
 * 6056: nobody outside should guess the next one), and whose the others are. Everything is O(1) but
 * a search for an even port in a pool that is nearly used up. */
#ifndef TURN_PORTS_H
#define TURN_PORTS_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stdint.h>

#define TURN_NOBODY UINT32_MAX

struct turn_ports {
    uint32_t *owner;        /* by port - first */
    uint16_t *list, *place; /* list[0..free_count) are free; place is the list's inverse */
    uint32_t count, free_count;
    uint16_t first;
    struct bk_alloc alloc;
};

/* Ports first..last. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err turn_ports_init(struct turn_ports *p, uint16_t first, uint16_t last,
                                        const struct bk_alloc *alloc);
void turn_ports_fini(struct turn_ports *p);

enum turn_parity { TURN_ANY_PORT, TURN_EVEN, TURN_EVEN_PAIR };

/* Takes a free port. TURN_EVEN_PAIR: an even one whose successor is free too; that one is not
 * taken. false: there is none. */
bool turn_ports_take(struct turn_ports *p, enum turn_parity parity, const struct bk_rng *rng,
                     uint16_t *out);
/* Takes this one. false: not free. */
bool turn_ports_take_this(struct turn_ports *p, uint16_t port);
void turn_ports_give_back(struct turn_ports *p, uint16_t port);
void turn_ports_set_owner(struct turn_ports *p, uint16_t port, uint32_t owner);
/* TURN_NOBODY: not one of ours, or free. */
uint32_t turn_ports_owner(const struct turn_ports *p, uint16_t port);
bool turn_ports_has(const struct turn_ports *p, uint16_t port);

#endif
