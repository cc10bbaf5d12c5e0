/* SPDX-License-Identifier: MIT
 * What several services must agree on when they make up one server, each in a thread of its own:
 * what a user has, and which port a reservation token stands for, since the kernel may hand the
 * second 5-tuple of a client to another of them. Rare operations; an implementation for threads
 * takes a lock (server/turn_ledger.h). Without a ledger a service keeps its own.
 *
 * Bandwidth is lent: a service takes a few milliseconds' worth of bytes at once, spends them
 * without asking anybody, and comes again. What a user may send in a second is so exceeded by what
 * the services have in hand, about a hundredth each.
 *
 * A port that is redeemed at another worker than its own is used there, and goes home through the
 * ledger when it is closed: reserve() without a token, which is overdue at once. */
#ifndef TURN_LEDGER_H
#define TURN_LEDGER_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stdint.h>

struct turn_reserved {
    uint64_t token; /* 0: nobody's, on its way home */
    struct bk_time expires;
    uint16_t port;
    uint8_t family;  /* its index */
    uint16_t worker; /* whose port it is: it goes back there when nobody comes for it */
};

/* What is counted besides allocations. */
enum turn_held { TURN_HELD_PERMISSIONS, TURN_HELD_CHANNELS, TURN_HELD };

struct turn_ledger {
    /* One more allocation for this user (or address, account.h), unless there are `max`. */
    bool (*enter)(void *ctx, uint64_t user, uint32_t max);
    void (*leave)(void *ctx, uint64_t user);
    /* How many he has; and so many more or fewer. Only of who has an allocation. */
    uint32_t (*held)(void *ctx, uint64_t user, enum turn_held what);
    void (*hold)(void *ctx, uint64_t user, enum turn_held what, int32_t more);
    /* Up to `want` bytes of what he may send now, at that rate; 0: nothing, ask in a while. */
    int64_t (*lease)(void *ctx, uint64_t user, uint64_t bytes_per_s, int64_t want,
                     struct bk_time now);
    /* Gives back what was not spent of that, or (below 0) owns up to what was overspent; before
     * leave(). Who leaves with a debt finds it there when he comes back. */
    void (*settle)(void *ctx, uint64_t user, int64_t credit);
    /* false: no room; what goes home always has room. */
    bool (*reserve)(void *ctx, const struct turn_reserved *r, struct bk_time now);
    /* Takes what the token stands for out of the ledger. false: unknown, or expired. */
    bool (*redeem)(void *ctx, uint64_t token, struct bk_time now, struct turn_reserved *out);
    /* Takes one of `worker`'s that nobody came for. false: none. */
    bool (*overdue)(void *ctx, uint16_t worker, struct bk_time now, struct turn_reserved *out);
    /* Relay ports that are open at any worker: clients of one server may be each other's peers. */
    void (*set_open)(void *ctx, uint8_t family, uint16_t port, bool open);
    bool (*is_open)(void *ctx, uint8_t family, uint16_t port);
    void *ctx;
};

struct turn_book; /* opaque: a ledger's memory, for one thread */

/* For `workers` workers, and up to `users_max` users and addresses with allocations. */
BK_MUST_USE enum bk_err turn_book_new(uint16_t workers, uint32_t users_max,
                                      const struct bk_alloc *alloc, struct turn_book **out);
void turn_book_free(struct turn_book *book);
/* The book as a ledger; it must outlive its users. */
struct turn_ledger turn_book_ledger(struct turn_book *book);

#endif
