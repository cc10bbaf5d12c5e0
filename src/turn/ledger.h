/* SPDX-License-Identifier: MIT
 * What several services must agree on when they make up one server, each in a thread of its own:
 * how many allocations a user has, and which port a reservation token stands for, since the kernel
 * may hand the second 5-tuple of a client to another of them. Rare operations; an implementation
 * for threads takes a lock. Without a ledger a service keeps its own. */
#ifndef TURN_LEDGER_H
#define TURN_LEDGER_H

#include <bodkin/time.h>
#include <stdbool.h>
#include <stdint.h>

struct turn_reserved {
    uint64_t token;
    struct bk_time expires;
    uint16_t port;
    uint8_t family;  /* its index */
    uint16_t worker; /* whose port it is: it goes back there when nobody comes for it */
};

struct turn_ledger {
    /* One more allocation for this user, unless there are `max`. */
    bool (*enter)(void *ctx, uint64_t user, uint32_t max);
    void (*leave)(void *ctx, uint64_t user);
    /* false: no room. */
    bool (*reserve)(void *ctx, const struct turn_reserved *r);
    /* Takes what the token stands for out of the ledger. false: unknown, or expired. */
    bool (*redeem)(void *ctx, uint64_t token, struct bk_time now, struct turn_reserved *out);
    /* Takes one of `worker`'s that nobody came for. false: none. */
    bool (*overdue)(void *ctx, uint16_t worker, struct bk_time now, struct turn_reserved *out);
    void *ctx;
};

#endif
