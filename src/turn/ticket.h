/* SPDX-License-Identifier: MIT
 * MOBILITY-TICKET, RFC 8016 section 3: which allocation a client that has moved means. Sealed, so
 * that nobody but this server reads or makes one, and different each time it is given out, so that
 * nobody on the way can follow a client by it. No tickets are kept: what is in one must fit the
 * allocation it names. */
#ifndef TURN_TICKET_H
#define TURN_TICKET_H

#include "crypto/aead.h"

#include <bodkin/env.h>

enum { TURN_TICKET_LEN = 12 + 16 + AEAD_TAG_LEN };

struct turn_ticket {
    uint16_t worker;
    uint32_t alloc; /* its index there */
    uint64_t id;    /* turn_alloc.ticket */
};

/* Made of the service's secrets, turn_service_set_secret(). */
struct turn_ticket_keys {
    uint8_t current[AEAD_KEY_256], previous[AEAD_KEY_256];
    bool has_previous;
};

void turn_ticket_keys_set(struct turn_ticket_keys *k, const uint8_t current[32],
                          const uint8_t previous[32]);
void turn_ticket_seal(const struct turn_ticket_keys *k, const struct turn_ticket *t,
                      const struct bk_rng *rng, uint8_t out[TURN_TICKET_LEN]);
/* false: not one of ours. */
bool turn_ticket_open(const struct turn_ticket_keys *k, const uint8_t *bytes, size_t len,
                      struct turn_ticket *out);

#endif
