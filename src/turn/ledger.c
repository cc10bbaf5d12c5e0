/* SPDX-License-Identifier: MIT */
#include "turn/ledger.h"

#include "base/assert.h"
#include "base/links.h"
#include "base/waits.h"

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

struct count {
    struct link by_user;
    uint64_t user;
    uint32_t allocs;
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
    struct desk *desks; /* one for each worker */
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

static bool book_enter(void *ctx, uint64_t user, uint32_t max) {
    struct turn_book *b = ctx;
    uint32_t i = find_user(b, user);
    bool fresh = i == POOL_NONE;
    if (fresh)
        i = max == 0 ? POOL_NONE : pool_take(&b->counts);
    if (i == POOL_NONE)
        return false;
    struct count *c = pool_at(&b->counts, i);
    if (c->allocs >= max)
        return false;
    c->user = user;
    c->allocs++;
    if (fresh)
        links_add(&b->by_user, i, hash_of(user));
    return true;
}

static void book_leave(void *ctx, uint64_t user) {
    struct turn_book *b = ctx;
    uint32_t i = find_user(b, user);
    bk_assert(i != POOL_NONE);
    if (--((struct count *)pool_at(&b->counts, i))->allocs > 0)
        return;
    links_remove(&b->by_user, i);
    pool_give(&b->counts, i);
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
        book_enter,   book_leave,    book_reserve, book_redeem,
        book_overdue, book_set_open, book_is_open, book,
    };
    return ledger;
}
