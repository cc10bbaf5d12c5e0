/* SPDX-License-Identifier: MIT */
#include "turn/ledger.h"

#include "base/assert.h"
#include "base/links.h"
#include "base/waits.h"
#include "turn/bucket.h"

#include <string.h>

enum { RESERVED_MAX = 1024, FAMILIES = 2 };

/* A set of the ports of both families. */
struct port_set {
    uint8_t bits[FAMILIES][65536 / 8];
};

static void put_port(struct port_set *set, uint8_t family, uint16_t port, bool in) {
    uint8_t bit = (uint8_t)(1u << port % 8), *at = &set->bits[family][port / 8];
    *at = (uint8_t)(in ? *at | bit : *at & ~bit);
}

static bool has_port(const struct port_set *set, uint8_t family, uint16_t port) {
    return (set->bits[family][port / 8] >> port % 8 & 1) != 0;
}

/* One without allocations waits until what its user had sent is paid for by time: to come back at
 * once is no way to a full bucket. */
struct count {
    struct link by_user;
    struct wait wait;
    uint64_t user;
    uint32_t allocs, held[TURN_HELD];
    struct turn_bucket bucket; /* no rate: nobody asked yet */
};

struct note {
    struct link by_token;
    struct wait wait; /* until it is overdue */
    struct turn_reserved r;
};

/* What is a worker's own. */
struct desk {
    struct waits waits;   /* of its notes */
    struct port_set home; /* ports on their way back */
    uint32_t home_count;
};

struct turn_book {
    struct pool counts, notes;
    struct links by_user, by_token;
    struct waits leaving; /* counts without allocations */
    struct desk *desks;   /* one for each worker */
    uint16_t workers;
    struct bk_time now;
    struct port_set open;
    struct bk_alloc alloc;
};

static enum bk_err set_up(struct turn_book *b, uint32_t users_max) {
    enum bk_err err = pool_init(&b->counts, sizeof(struct count), users_max, &b->alloc);
    if (err == BK_OK)
        err = pool_init(&b->notes, sizeof(struct note), RESERVED_MAX, &b->alloc);
    if (err == BK_OK)
        err = links_init(&b->by_user, &b->counts, offsetof(struct count, by_user), &b->alloc);
    if (err == BK_OK)
        err = links_init(&b->by_token, &b->notes, offsetof(struct note, by_token), &b->alloc);
    waits_init(&b->leaving, &b->counts, offsetof(struct count, wait));
    b->desks = b->alloc.get(b->alloc.ctx, b->workers * sizeof *b->desks);
    if (b->desks == NULL)
        return BK_ERR_NO_MEMORY;
    for (uint16_t i = 0; i < b->workers; i++)
        waits_init(&b->desks[i].waits, &b->notes, offsetof(struct note, wait));
    return err;
}

enum bk_err turn_book_new(uint16_t workers, uint32_t users_max, const struct bk_alloc *alloc,
                          struct turn_book **out) {
    struct turn_book *b = alloc->get(alloc->ctx, sizeof *b);
    if (b == NULL)
        return BK_ERR_NO_MEMORY;
    b->alloc = *alloc;
    b->workers = workers;
    enum bk_err err = set_up(b, users_max);
    if (err == BK_OK)
        *out = b;
    else
        turn_book_free(b);
    return err;
}

void turn_book_free(struct turn_book *book) {
    if (book == NULL)
        return;
    struct bk_alloc alloc = book->alloc;
    links_fini(&book->by_user);
    links_fini(&book->by_token);
    pool_fini(&book->counts);
    pool_fini(&book->notes);
    if (book->desks != NULL)
        alloc.put(alloc.ctx, book->desks);
    alloc.put(alloc.ctx, book);
}

/* Users' numbers are the operator's, tokens are random: nobody aims at a chain. */
static uint32_t hash_of(uint64_t key) {
    return (uint32_t)(key ^ key >> 32) * UINT32_C(2654435761);
}

static uint32_t find_user(const struct turn_book *b, uint64_t user) {
    uint32_t i = links_first(&b->by_user, hash_of(user));
    while (i != POOL_NONE && ((struct count *)pool_at(&b->counts, i))->user != user)
        i = links_next(&b->by_user, i);
    return i;
}

static struct count *count_at(const struct turn_book *b, uint32_t i) {
    return pool_at(&b->counts, i);
}

/* Of who has one: an error here is ours. */
static struct count *count_of(const struct turn_book *b, uint64_t user) {
    uint32_t i = find_user(b, user);
    bk_assert(i != POOL_NONE);
    return count_at(b, i);
}

static void forget(struct turn_book *b, uint32_t i) {
    waits_set(&b->leaving, i, BK_NEVER, b->now);
    links_remove(&b->by_user, i);
    pool_give(&b->counts, i);
}

/* Those who have waited long enough; when there is no room, others too. */
static uint32_t take_count(struct turn_book *b) {
    const struct bk_time end_of_time = {INT64_MAX - 1};
    uint32_t i, n = 2;
    while (n-- > 0 && waits_take_due(&b->leaving, b->now, &i))
        forget(b, i);
    i = pool_take(&b->counts);
    if (i != POOL_NONE || !waits_take_due(&b->leaving, end_of_time, &i))
        return i;
    forget(b, i);
    return pool_take(&b->counts);
}

static bool book_enter(void *ctx, uint64_t user, uint32_t max) {
    struct turn_book *b = ctx;
    uint32_t i = find_user(b, user);
    bool fresh = i == POOL_NONE;
    if (fresh)
        i = max == 0 ? POOL_NONE : take_count(b);
    if (i == POOL_NONE)
        return false;
    struct count *c = count_at(b, i);
    if (c->allocs >= max)
        return false;
    c->user = user;
    if (fresh)
        links_add(&b->by_user, i, hash_of(user));
    else if (c->allocs == 0)
        waits_set(&b->leaving, i, BK_NEVER, b->now);
    c->allocs++;
    return true;
}

enum { LEAVING_MAX_S = 60 };

/* When the bucket is full again. */
static struct bk_time paid_at(const struct count *c) {
    const struct turn_bucket *k = &c->bucket;
    int64_t rate = (int64_t)k->bytes_per_s, missing = rate - k->credit;
    if (rate == 0 || missing <= 0)
        return k->at;
    int64_t s = missing / rate + 1;
    return bk_after(k->at, (s > LEAVING_MAX_S ? LEAVING_MAX_S : s) * BK_US_PER_S);
}

static void book_leave(void *ctx, uint64_t user) {
    struct turn_book *b = ctx;
    uint32_t i = find_user(b, user);
    bk_assert(i != POOL_NONE);
    struct count *c = count_at(b, i);
    if (--c->allocs > 0)
        return;
    struct bk_time paid = paid_at(c);
    if (bk_due(paid, b->now))
        forget(b, i);
    else
        waits_set(&b->leaving, i, paid, b->now);
}

static uint32_t book_held(void *ctx, uint64_t user, enum turn_held what) {
    return count_of(ctx, user)->held[what];
}

static void book_hold(void *ctx, uint64_t user, enum turn_held what, int32_t more) {
    uint32_t *held = &count_of(ctx, user)->held[what];
    bk_assert(more >= 0 || *held >= (uint32_t)-more);
    *held += (uint32_t)more;
}

static int64_t book_lease(void *ctx, uint64_t user, uint64_t bytes_per_s, int64_t want,
                          struct bk_time now) {
    struct turn_book *b = ctx;
    struct turn_bucket *k = &count_of(b, user)->bucket;
    b->now = bk_later(b->now, now);
    if (k->bytes_per_s == 0)
        turn_bucket_start(k, bytes_per_s, b->now);
    k->bytes_per_s = bytes_per_s; /* it may have changed */
    if (!turn_bucket_is_open(k, b->now))
        return 0;
    int64_t given = want < k->credit ? want : k->credit;
    turn_bucket_pay(k, (uint64_t)given);
    return given;
}

static void book_settle(void *ctx, uint64_t user, int64_t credit) {
    struct turn_bucket *k = &count_of(ctx, user)->bucket;
    if (k->bytes_per_s != 0)
        k->credit += credit;
}

static void send_home(struct desk *d, const struct turn_reserved *r) {
    d->home_count += !has_port(&d->home, r->family, r->port);
    put_port(&d->home, r->family, r->port, true);
}

static bool book_reserve(void *ctx, const struct turn_reserved *r, struct bk_time now) {
    struct turn_book *b = ctx;
    struct desk *d = &b->desks[r->worker];
    b->now = bk_later(b->now, now); /* workers read their clocks at different moments */
    if (r->token == 0) {
        send_home(d, r);
        return true;
    }
    uint32_t i = pool_take(&b->notes);
    if (i == POOL_NONE)
        return false;
    ((struct note *)pool_at(&b->notes, i))->r = *r;
    links_add(&b->by_token, i, hash_of(r->token));
    waits_set(&d->waits, i, r->expires, b->now);
    return true;
}

static struct turn_reserved strike(struct turn_book *b, uint32_t i) {
    const struct turn_reserved r = ((struct note *)pool_at(&b->notes, i))->r;
    waits_set(&b->desks[r.worker].waits, i, BK_NEVER, b->now);
    links_remove(&b->by_token, i);
    pool_give(&b->notes, i);
    return r;
}

static bool book_redeem(void *ctx, uint64_t token, struct bk_time now, struct turn_reserved *out) {
    struct turn_book *b = ctx;
    uint32_t i = links_first(&b->by_token, hash_of(token));
    while (i != POOL_NONE && ((struct note *)pool_at(&b->notes, i))->r.token != token)
        i = links_next(&b->by_token, i);
    if (i == POOL_NONE || bk_due(((struct note *)pool_at(&b->notes, i))->r.expires, now))
        return false;
    *out = strike(b, i);
    return true;
}

/* Rare and short: eight kilobytes to look through, once something has come home. */
static bool come_home(struct desk *d, struct turn_reserved *out) {
    for (uint32_t at = 0; d->home_count > 0 && at < FAMILIES * 65536u; at++) {
        uint8_t family = (uint8_t)(at >> 16);
        uint16_t port = (uint16_t)at;
        if (port % 8 == 0 && d->home.bits[family][port / 8] == 0) {
            at += 7;
            continue;
        }
        if (!has_port(&d->home, family, port))
            continue;
        put_port(&d->home, family, port, false);
        d->home_count--;
        out->family = family;
        out->port = port;
        return true;
    }
    return false;
}

static bool book_overdue(void *ctx, uint16_t worker, struct bk_time now,
                         struct turn_reserved *out) {
    struct turn_book *b = ctx;
    uint32_t i;
    memset(out, 0, sizeof *out);
    out->worker = worker;
    b->now = bk_later(b->now, now);
    if (waits_take_due(&b->desks[worker].waits, b->now, &i)) {
        *out = strike(b, i);
        return true;
    }
    return come_home(&b->desks[worker], out);
}

static void book_set_open(void *ctx, uint8_t family, uint16_t port, bool open) {
    put_port(&((struct turn_book *)ctx)->open, family, port, open);
}

static bool book_is_open(void *ctx, uint8_t family, uint16_t port) {
    return has_port(&((const struct turn_book *)ctx)->open, family, port);
}

struct turn_ledger turn_book_ledger(struct turn_book *book) {
    const struct turn_ledger ledger = {
        .enter = book_enter,
        .leave = book_leave,
        .held = book_held,
        .hold = book_hold,
        .lease = book_lease,
        .settle = book_settle,
        .reserve = book_reserve,
        .redeem = book_redeem,
        .overdue = book_overdue,
        .set_open = book_set_open,
        .is_open = book_is_open,
        .ctx = book,
    };
    return ledger;
}
