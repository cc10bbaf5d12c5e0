/* SPDX-License-Identifier: MIT */
#include "server/turn_ledger.h"

#include "net/alloc.h"
#include <pthread.h>
#include <stdatomic.h>

enum { FAMILIES = 2, WORDS = 65536 / 32 };

struct server_ledger {
    pthread_mutex_t lock; /* guards `book` */
    struct turn_book *book;
    struct turn_ledger inside, face;
    _Atomic(uint32_t) open[FAMILIES][WORDS]; /* a bit for each relay port */
};

static bool locked_enter(void *ctx, uint64_t user, uint32_t max) {
    struct server_ledger *l = ctx;
    pthread_mutex_lock(&l->lock);
    bool in = l->inside.enter(l->inside.ctx, user, max);
    pthread_mutex_unlock(&l->lock);
    return in;
}

static void locked_leave(void *ctx, uint64_t user) {
    struct server_ledger *l = ctx;
    pthread_mutex_lock(&l->lock);
    l->inside.leave(l->inside.ctx, user);
    pthread_mutex_unlock(&l->lock);
}

static uint32_t locked_held(void *ctx, uint64_t user, enum turn_held what) {
    struct server_ledger *l = ctx;
    pthread_mutex_lock(&l->lock);
    uint32_t held = l->inside.held(l->inside.ctx, user, what);
    pthread_mutex_unlock(&l->lock);
    return held;
}

static void locked_hold(void *ctx, uint64_t user, enum turn_held what, int32_t more) {
    struct server_ledger *l = ctx;
    pthread_mutex_lock(&l->lock);
    l->inside.hold(l->inside.ctx, user, what, more);
    pthread_mutex_unlock(&l->lock);
}

static int64_t locked_lease(void *ctx, uint64_t user, uint64_t bytes_per_s, int64_t want,
                            struct bk_time now) {
    struct server_ledger *l = ctx;
    pthread_mutex_lock(&l->lock);
    int64_t lease = l->inside.lease(l->inside.ctx, user, bytes_per_s, want, now);
    pthread_mutex_unlock(&l->lock);
    return lease;
}

static void locked_settle(void *ctx, uint64_t user, int64_t credit) {
    struct server_ledger *l = ctx;
    pthread_mutex_lock(&l->lock);
    l->inside.settle(l->inside.ctx, user, credit);
    pthread_mutex_unlock(&l->lock);
}

static bool locked_reserve(void *ctx, const struct turn_reserved *r, struct bk_time now) {
    struct server_ledger *l = ctx;
    pthread_mutex_lock(&l->lock);
    bool room = l->inside.reserve(l->inside.ctx, r, now);
    pthread_mutex_unlock(&l->lock);
    return room;
}

static bool locked_redeem(void *ctx, uint64_t token, struct bk_time now,
                          struct turn_reserved *out) {
    struct server_ledger *l = ctx;
    pthread_mutex_lock(&l->lock);
    bool known = l->inside.redeem(l->inside.ctx, token, now, out);
    pthread_mutex_unlock(&l->lock);
    return known;
}

static bool locked_overdue(void *ctx, uint16_t worker, struct bk_time now,
                           struct turn_reserved *out) {
    struct server_ledger *l = ctx;
    pthread_mutex_lock(&l->lock);
    bool any = l->inside.overdue(l->inside.ctx, worker, now, out);
    pthread_mutex_unlock(&l->lock);
    return any;
}

static void set_open(void *ctx, uint8_t family, uint16_t port, bool open) {
    struct server_ledger *l = ctx;
    uint32_t bit = UINT32_C(1) << port % 32;
    if (open)
        atomic_fetch_or_explicit(&l->open[family][port / 32], bit, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&l->open[family][port / 32], ~bit, memory_order_relaxed);
}

static bool is_open(void *ctx, uint8_t family, uint16_t port) {
    struct server_ledger *l = ctx;
    uint32_t word = atomic_load_explicit(&l->open[family][port / 32], memory_order_relaxed);
    return (word >> port % 32 & 1) != 0;
}

enum bk_err server_ledger_new(uint16_t workers, uint32_t users_max, struct server_ledger **out) {
    const struct bk_alloc *alloc = net_alloc();
    struct server_ledger *l = alloc->get(alloc->ctx, sizeof *l);
    if (l == NULL)
        return BK_ERR_NO_MEMORY;
    enum bk_err err = turn_book_new(workers, users_max, alloc, &l->book);
    if (err != BK_OK || pthread_mutex_init(&l->lock, NULL) != 0) {
        turn_book_free(l->book);
        alloc->put(alloc->ctx, l);
        return BK_ERR_NO_MEMORY;
    }
    l->inside = turn_book_ledger(l->book);
    l->face = (struct turn_ledger){.enter = locked_enter,
                                   .leave = locked_leave,
                                   .held = locked_held,
                                   .hold = locked_hold,
                                   .lease = locked_lease,
                                   .settle = locked_settle,
                                   .reserve = locked_reserve,
                                   .redeem = locked_redeem,
                                   .overdue = locked_overdue,
                                   .set_open = set_open,
                                   .is_open = is_open,
                                   .ctx = l};
    *out = l;
    return BK_OK;
}

void server_ledger_free(struct server_ledger *l) {
    const struct bk_alloc *alloc = net_alloc();
    if (l == NULL)
        return;
    turn_book_free(l->book);
    pthread_mutex_destroy(&l->lock);
    alloc->put(alloc->ctx, l);
}

const struct turn_ledger *server_ledger_face(const struct server_ledger *l) {
    return &l->face;
}
