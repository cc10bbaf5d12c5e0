/* SPDX-License-Identifier: MIT
 * pool, links and waits against naive models, over many seeded steps. */
#include "../test.h"

#include "base/links.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/waits.h"

enum { MAX = 3000, STEPS = 60000 };

struct thing {
    uint32_t key;
    struct link link;
    struct wait wait;
    uint8_t filler[200]; /* so that there are several chunks */
};

struct model {
    bool in[MAX];
    uint32_t key[MAX];
    struct bk_time when[MAX];
};

static size_t taken;

static void *counting_get(void *ctx, size_t size) {
    taken++;
    return test_alloc.get(ctx, size);
}

static void counting_put(void *ctx, void *memory) {
    taken--;
    test_alloc.put(ctx, memory);
}

static const struct bk_alloc counting = {counting_get, counting_put, NULL};

/* Few different hashes, so that chains are long and hashes collide. */
static uint32_t hash_of(uint32_t key) {
    return key % 701 * 2654435761u;
}

static uint32_t find(const struct pool *p, const struct links *x, uint32_t key) {
    uint32_t i = links_first(x, hash_of(key));
    while (i != POOL_NONE && ((struct thing *)pool_at(p, i))->key != key)
        i = links_next(x, i);
    return i;
}

static void add(struct pool *p, struct links *x, struct model *m, uint32_t key) {
    uint32_t i = pool_take(p);
    assert_true(i < MAX && !m->in[i]);
    struct thing *t = pool_at(p, i);
    assert_int_equal(t->key, 0);
    t->key = m->key[i] = key;
    m->in[i] = true;
    m->when[i] = BK_NEVER;
    links_add(x, i, hash_of(key));
}

static void drop(struct pool *p, struct links *x, struct model *m, uint32_t i) {
    links_remove(x, i);
    pool_give(p, i);
    m->in[i] = false;
}

static void an_index_finds_what_is_there(void **state) {
    static struct model m;
    struct rng_seeded seeded;
    struct pool p;
    struct links x;
    uint32_t count = 0, next = 1;
    (void)state;
    memset(&m, 0, sizeof m);
    rng_seed(&seeded, 5);
    struct bk_rng rng = rng_from_seeded(&seeded);
    taken = 0;
    assert_int_equal(pool_init(&p, sizeof(struct thing), MAX, &counting), BK_OK);
    assert_int_equal(links_init(&x, &p, offsetof(struct thing, link), &counting), BK_OK);
    size_t at_first = taken;
    for (uint32_t step = 0; step < STEPS; step++) {
        bool growing = step / 10000 % 2 == 0; /* it fills and empties, several times */
        uint32_t i = rng_below(&rng, MAX);
        if ((rng_below(&rng, 5) != 0) == growing && count < MAX) {
            add(&p, &x, &m, next++);
            count++;
        } else if (m.in[i]) {
            assert_int_equal(find(&p, &x, m.key[i]), i);
            uint32_t gone = m.key[i];
            drop(&p, &x, &m, i);
            assert_int_equal(find(&p, &x, gone), POOL_NONE);
            count--;
        }
        assert_int_equal(p.count, count);
        assert_true(x.buckets <= count * 2 + 2 || x.buckets == 1 || !growing);
    }
    for (uint32_t i = 0; i < MAX; i++) {
        if (m.in[i]) {
            assert_int_equal(find(&p, &x, m.key[i]), i);
            drop(&p, &x, &m, i);
        }
    }
    assert_int_equal(p.count, 0);
    assert_int_equal(taken, at_first + 1); /* the chunk that is kept */
    assert_true(x.buckets <= 2);
    links_fini(&x);
    pool_fini(&p);
    assert_int_equal(taken, 0);
}

static void a_full_pool_says_so(void **state) {
    struct pool p;
    (void)state;
    assert_int_equal(pool_init(&p, 8, 3, &test_alloc), BK_OK);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(pool_take(&p), i);
    assert_int_equal(pool_take(&p), POOL_NONE);
    pool_give(&p, 1);
    assert_int_equal(pool_take(&p), 1);
    pool_fini(&p);
}

static void no_deadline_is_early_or_missed(void **state) {
    static struct model m;
    struct rng_seeded seeded;
    struct pool p;
    struct waits w;
    struct bk_time now = test_at_ms(1000);
    uint32_t i, due = 0;
    (void)state;
    memset(&m, 0, sizeof m);
    rng_seed(&seeded, 6);
    struct bk_rng rng = rng_from_seeded(&seeded);
    assert_int_equal(pool_init(&p, sizeof(struct thing), 100, &test_alloc), BK_OK);
    waits_init(&w, &p, offsetof(struct thing, wait));
    assert_true(bk_is_never(waits_deadline(&w)));
    for (i = 0; i < 100; i++) {
        assert_int_equal(pool_take(&p), i);
        m.when[i] = BK_NEVER;
    }
    for (uint32_t step = 0; step < STEPS; step++) {
        i = rng_below(&rng, 100);
        int64_t us = rng_below(&rng, 1u << rng_below(&rng, 30));
        m.when[i] = rng_below(&rng, 8) == 0 ? BK_NEVER : bk_after(now, us - 2);
        waits_set(&w, i, m.when[i], now);
        if (rng_below(&rng, 3) != 0)
            continue;
        /* sometimes exactly when asked to, sometimes late */
        struct bk_time at = waits_deadline(&w);
        now = bk_is_never(at) || rng_below(&rng, 2) == 0 ? bk_after(now, us) : bk_later(at, now);
        while (waits_take_due(&w, now, &i)) {
            assert_true(bk_due(m.when[i], now));
            m.when[i] = BK_NEVER;
            due++;
        }
        struct bk_time earliest = BK_NEVER;
        for (i = 0; i < 100; i++) {
            assert_false(bk_due(m.when[i], now));
            earliest = bk_earlier(earliest, m.when[i]);
        }
        assert_true(waits_deadline(&w).us > now.us && waits_deadline(&w).us <= earliest.us);
        assert_int_equal(bk_is_never(waits_deadline(&w)), bk_is_never(earliest));
    }
    assert_true(due > 1000);
    pool_fini(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_index_finds_what_is_there),
        cmocka_unit_test(a_full_pool_says_so),
        cmocka_unit_test(no_deadline_is_early_or_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
